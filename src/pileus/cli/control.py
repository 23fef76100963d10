"""What the control plane's process does around the cloud itself: its lock, its log, its word that it is ready.

`pileus up` starts it as `python -m pileus control OPTIONS` and hands over the listening socket. Not here: the cloud (`app.py`).
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from pileus import __version__
from pileus.config import Paths, Settings
from pileus.drivers.datacenter import syscalls

Serve = Callable[[Paths, Settings, socket.socket, Callable[[dict[str, object]], None]], None]


def run(options: str, serve: Serve) -> int:
    """Serve until told to end; returns the exit status.

    options: JSON of listener, lock and ready (descriptors; ready may be null), drivers, and port.
    """
    wish: dict[str, Any] = json.loads(options)
    os.umask(0o077)  # the data folder can be walked through by guests' uids: every file says itself who may read it
    syscalls.set_name("pileus")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for name in ("listener", "lock", "ready"):
        if wish[name] is not None:
            os.set_inheritable(wish[name], False)  # it would be held by whatever this process starts
    paths = Paths.resolve()
    settings = msgspec.structs.replace(Settings.load(paths), drivers=wish["drivers"], port=wish["port"])
    listener = socket.socket(fileno=wish["listener"])

    def ready(facts: dict[str, object]) -> None:
        said = {"pid": os.getpid(), "endpoint": f"http://127.0.0.1:{wish['port']}", "version": __version__, **facts}
        file = paths.run / "control.json"
        new = Path(f"{file}.new")
        new.write_text(json.dumps(said) + "\n")
        new.replace(file)
        if wish["ready"] is None:
            print(f"Pileus answers at {said['endpoint']}", file=sys.stderr, flush=True)
        else:
            os.write(wish["ready"], json.dumps(said).encode() + b"\n")
            os.close(wish["ready"])

    serve(paths, settings, listener, ready)
    return 0
