"""One upload larger than the memory of many machines: the control plane stays as small as it was, and goes on answering others."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import statistics
import threading
import time
import urllib.parse
from collections.abc import Iterator

import pytest

from tests.conformance.cloud import Cloud

SIZE = int(float(os.environ.get("PILEUS_LARGE_GB", "8.5")) * 1_000_000_000)
BLOCK = 1 << 20


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def blocks(size: int, digest: hashlib._Hash) -> Iterator[bytes]:
    """Bytes without a run of zeros, hashed as they go."""
    block = os.urandom(BLOCK)
    while size:
        block = block[1:] + block[:1]
        piece = block[:size]
        digest.update(piece)
        size -= len(piece)
        yield piece


@pytest.mark.slow
def test_memory_stays_flat_and_others_are_answered(capsys: pytest.CaptureFixture[str]) -> None:
    with Cloud() as cloud:
        pid = int(json.loads(cloud.run("status", "-f", "json").stdout)["pids"]["control"])
        token = cloud.login()
        address = urllib.parse.urlsplit(cloud.url)
        headers = {"X-Auth-Token": token, "Content-Type": "application/json"}

        def ask(method: str, path: str, body: object = None, kind: str = "application/json") -> tuple[int, bytes]:
            connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)
            data = json.dumps(body) if isinstance(body, dict) else body
            connection.request(method, f"/image{path}", data, {**headers, "Content-Type": kind})  # type: ignore[arg-type]
            answer = connection.getresponse()
            found = answer.status, answer.read()
            connection.close()
            return found

        id = json.loads(ask("POST", "/v2/images", {"disk_format": "aki", "container_format": "aki"})[1])["id"]
        before, most, waits, done = memory_mb(pid), 0.0, [], threading.Event()

        def others() -> None:
            nonlocal most
            while not done.wait(0.02):
                began = time.perf_counter()
                assert ask("GET", f"/v2/images/{id}")[0] == 200
                waits.append((time.perf_counter() - began) * 1000)
                most = max(most, memory_mb(pid))

        thread = threading.Thread(target=others)
        thread.start()
        digest, began = hashlib.sha512(), time.perf_counter()
        try:
            status, text = ask("PUT", f"/v2/images/{id}/file", blocks(SIZE, digest), "application/octet-stream")
        finally:
            done.set()
            thread.join()
        seconds = time.perf_counter() - began
        assert status == 204, text
        shown = json.loads(ask("GET", f"/v2/images/{id}")[1])
        assert (shown["status"], shown["size"], shown["os_hash_value"]) == ("active", SIZE, digest.hexdigest())
        assert ask("DELETE", f"/v2/images/{id}")[0] == 204
    p99 = statistics.quantiles(waits, n=100)[98]
    with capsys.disabled():
        print(
            f"\nupload of {SIZE / 1e9:g} GB: {seconds:.0f} s, {SIZE / 1e6 / seconds:.0f} MB/s; memory {before:.0f} MB, {most:.0f} at most"
        )
        told = f"median {statistics.median(waits):.1f} ms, p99 {p99:.1f} ms, worst {max(waits):.0f} ms"
        print(f"{len(waits)} other requests meanwhile: {told}")
    assert most < before + 40
