"""libnftables by ctypes: run a text of nft commands as one transaction in the network namespace of the calling thread.

Not here: which texts (rules.py). Source: libnftables(3).
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import functools
import queue
import threading
import time
from collections.abc import Callable

from pileus.errors import HostError

NAMES = ("libnftables.so.1", "libnftables.so")
SHOWN = 1200  # characters of an error
QUIET = 0.1  # seconds for which a namespace is left alone before a socket in it is closed
MOST = 64  # sockets that wait for that; each of libnftables comes with 135 KiB


class NftError(HostError):
    """The kernel or the library refused a transaction; nothing of it was done."""


@functools.cache
def _library() -> ctypes.CDLL:
    for name in NAMES:
        with contextlib.suppress(OSError):
            library = ctypes.CDLL(name)
            break
    else:
        raise HostError("libnftables is not installed: install the package nftables (Debian, Fedora) or libnftables1")
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    for call in ("nft_ctx_free", "nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_get_error_buffer", "nft_ctx_get_output_buffer"):
        getattr(library, call).argtypes = [ctypes.c_void_p]
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library


class Closer:
    """Closes sockets in a thread of its own, when their namespace has been quiet for a while.

    The kernel lets the close of any netfilter socket wait until what the namespace's last transaction removed is freed: 8 to 20 ms. All
    that time it holds the namespace's rules, which a new link there waits for, which all changes of links anywhere wait for.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[str | None, Callable[[], None]] | None] = queue.SimpleQueue()
        self._used: dict[str | None, float] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="closer", daemon=True)
        self._thread.start()

    def later(self, place: str | None, close: Callable[[], None]) -> None:
        """Close what was used in the namespace `place` until now."""
        self._used[place] = time.monotonic()
        self._queue.put((place, close))

    def close(self) -> None:
        self._ending.set()
        self._queue.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while item := self._queue.get():
            place, close = item
            while (left := self._used.get(place, 0.0) + QUIET - time.monotonic()) > 0 and self._queue.qsize() < MOST:
                if self._ending.wait(left):
                    break
            with contextlib.suppress(OSError):
                close()
            if self._queue.empty():
                self._used.clear()


def run(commands: str, later: Callable[[Callable[[], None]], None]) -> str:
    """Carry out `commands`, all or nothing; returns what they print. Raises NftError with the library's words.

    `later` takes what closes the socket that this needed.
    """
    library = _library()
    context = library.nft_ctx_new(0)
    if not context:
        raise HostError("libnftables cannot be set up: too many open files?")
    try:
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        status = library.nft_run_cmd_from_buffer(context, commands.encode())
        if status:
            words = (library.nft_ctx_get_error_buffer(context) or b"").decode(errors="replace")
            raise NftError(f"nft: {words[:SHOWN].strip() or f'status {status}'}")
        return (library.nft_ctx_get_output_buffer(context) or b"").decode(errors="replace")
    finally:
        later(functools.partial(library.nft_ctx_free, context))
