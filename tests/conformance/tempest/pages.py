"""A web server on loopback with two images, for the tests that have an image downloaded. Not here: that the cloud may fetch from it."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CLUSTER = 65536


def qcow2(size: int = 1 << 20) -> bytes:
    """The smallest whole qcow2 image, version 2: header, a table of references, its block, and a first table in which nothing is used."""
    header = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, size, 0, 1, 3 * CLUSTER, CLUSTER, 1, 0, 0)
    references = struct.pack(">Q", 2 * CLUSTER)
    block = struct.pack(">4H", 1, 1, 1, 1)
    return b"".join(part.ljust(CLUSTER, b"\0") for part in (header, references, block, b""))


FILES = {"/image.raw": b"an image's bytes " * 4096, "/image.qcow2": qcow2()}


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = FILES.get(self.path.partition("?")[0])
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content or b"")

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing is said of each request."""


@contextmanager
def served() -> Iterator[str]:
    """The pages' root, for as long as they are served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
