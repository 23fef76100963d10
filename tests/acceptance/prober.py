"""Tries TCP connections from wherever it is started: `python -m tests.acceptance.prober`, a JSON question and an answer a line.

{"try": [address, port, seconds]} answers "open", "refused" or "silent"; {"until": [word, address, port, seconds]} tries until that is
so and answers the moment (seconds of CLOCK_MONOTONIC) at which the first try with this outcome began, or null.
"""

from __future__ import annotations

import json
import socket
import sys
import time

PATIENCE = 0.2  # seconds for one of many tries


def attempt(address: str, port: int, seconds: float) -> str:
    try:
        socket.create_connection((address, port), seconds).close()
    except TimeoutError:
        return "silent"
    except OSError:
        return "refused"
    return "open"


def until(word: str, address: str, port: int, seconds: float) -> float | None:
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        if attempt(address, port, PATIENCE) == word:
            return began
        time.sleep(0.02)
    return None


def main() -> None:
    for line in sys.stdin:
        question = json.loads(line)
        answer = attempt(*question["try"]) if "try" in question else until(*question["until"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
