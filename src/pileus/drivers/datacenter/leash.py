"""`python leash.py FD PROGRAM...`: run a program until it ends or the other side of FD closes. Standard library only.

For programs on the host's side that must end with the datacenter and cannot see that for themselves.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys


def main(lifeline: int, argv: list[str]) -> int:
    """The program's exit status; 0 when it was ended because the lifeline closed."""
    process = subprocess.Popen(argv)
    signal.signal(signal.SIGTERM, lambda *_: process.kill())
    handle = os.pidfd_open(process.pid)
    poll = select.poll()
    poll.register(lifeline, 0)  # 0: a hang-up is reported always
    poll.register(handle, select.POLLIN)
    if any(fd == lifeline for fd, _ in poll.poll()):
        process.terminate()
        process.wait()
        return 0
    return process.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
