"""The floor of every request: Falcon on uvicorn and uvloop, one route, one constant answer. `python -m tests.bench.bare FD` serves on it.

Not here: anything of ours. What the product's requests cost is held against this, in the same run, on the same machine.
"""

from __future__ import annotations

import socket
import sys

import falcon
import falcon.asgi
import uvicorn

ANSWER = b'{"server": {"id": "6a1f5b0e-6a63-4f0c-8a52-1d4f1f2c7a11", "name": "vm"}}'


class Constant:
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, id: str) -> None:
        resp.content_type = "application/json"
        resp.data = ANSWER


def main() -> None:
    app = falcon.asgi.App()
    app.add_route("/compute/v2.1/servers/{id}", Constant())
    listener = socket.socket(fileno=int(sys.argv[1]))
    config = uvicorn.Config(app, loop="uvloop", http="httptools", log_level="error", access_log=False, lifespan="off", ws="none")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
