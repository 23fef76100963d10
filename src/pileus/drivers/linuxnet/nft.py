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
from collections.abc import Callable

from pileus.errors import HostError

NAMES = ("libnftables.so.1", "libnftables.so")
SHOWN = 1200  # characters of an error


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
    """Closes in a thread of its own what takes long to close.

    The kernel lets the close of any netfilter socket wait until what the namespace's last transaction removed is freed: 8 to 20 ms, which
    otherwise would be the longest part of every change.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="closer", daemon=True)
        self._thread.start()

    def later(self, close: Callable[[], None]) -> None:
        self._queue.put(close)

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while close := self._queue.get():
            with contextlib.suppress(OSError):
                close()


def run(commands: str, closer: Closer) -> str:
    """Carry out `commands`, all or nothing; returns what they print. Raises NftError with the library's words."""
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
        closer.later(functools.partial(library.nft_ctx_free, context))
