"""The micro guest boots, for real: QEMU under TCG, its user-mode network, a stub of the metadata service. One guest at a time.

Not here: Pileus' own networks and its QEMU driver; this is about what is inside the image.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pileus.config import Paths
from pileus.guest.build import MicroImage, build_micro

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="qemu-system-x86_64 is not installed"),
    pytest.mark.skipif(not shutil.which("ssh"), reason="openssh-client is not installed"),
]
RELAY = """
import os, select, socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
while True:
    for r in select.select([0, s], [], [])[0]:
        data = os.read(0, 65536) if r == 0 else s.recv(65536)
        if not data: sys.exit()
        s.sendall(data) if r == 0 else os.write(1, data)
"""


@dataclass
class Metadata:
    """A metadata service with what Nova would say of one server."""

    uuid: str = "6f1e0a52-3b8e-4ad1-9f0b-5f3d4c2b1a00"
    hostname: str = "first.novalocal"
    keys: list[str] = field(default_factory=list)
    meta: dict[str, str] = field(default_factory=dict)
    user_data: bytes = b""
    asked: list[str] = field(default_factory=list)

    def meta_data(self) -> bytes:
        keys = {f"key{n}": key for n, key in enumerate(self.keys)}
        document = {
            "uuid": self.uuid, "hostname": self.hostname, "name": "it's \u00e9", "public_keys": keys, "meta": self.meta,
            "random_seed": "A" * 684, "launch_index": 0, "devices": [], "keys": [{"name": "key0", "data": "x"}],
        }  # fmt: skip
        return json.dumps(document).encode()

    @contextlib.contextmanager
    def serve(self) -> Iterator[int]:
        pages = {"/openstack/latest/meta_data.json": self.meta_data, "/openstack/latest/user_data": lambda: self.user_data}
        asked = self.asked

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                body = pages[self.path]() if self.path in pages else b""
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Guest:
    """One QEMU, with everything it writes below `folder`."""

    def __init__(
        self, folder: Path, image: MicroImage, *, metadata_port: int | None, fast: bool = True, drive: Path | None = None, size: str = "1G"
    ) -> None:
        self.folder, self.image, self.fast, self.port = folder, image, fast, free_port()
        folder.mkdir(exist_ok=True)
        self.overlay, self.log = folder / "disk.qcow2", folder / "console.log"
        if not self.overlay.exists():
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image.disk, self.overlay, size], check=True)
        net = f"user,id=n0,restrict=on,net=169.254.169.0/24,dhcpstart=169.254.169.15,hostfwd=tcp:127.0.0.1:{self.port}-:22"
        if metadata_port:
            (folder / "relay.py").write_text(RELAY)
            net += f",guestfwd=tcp:169.254.169.254:80-cmd:{sys.executable} -I -S {folder}/relay.py {metadata_port}"
        self.qmp_path = folder / "qmp"
        self.argv = [
            "qemu-system-x86_64", "-nodefaults", "-machine", "q35" if fast else "pc", "-accel", "tcg", "-cpu", "EPYC" if fast else "max",
            "-m", "128", "-display", "none", "-chardev", f"file,id=con,path={self.log},append=on", "-serial", "chardev:con",
            "-qmp", f"unix:{self.qmp_path},server=on,wait=off", "-device", "virtio-rng-pci",
            "-blockdev", f"driver=qcow2,node-name=d0,file.driver=file,file.filename={self.overlay}", "-device", "virtio-blk-pci,drive=d0",
            "-netdev", net, "-device", "virtio-net-pci,netdev=n0,romfile=",
        ]  # fmt: skip
        if fast:
            self.argv += ["-bios", "qboot.rom", "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", image.cmdline]
        if drive:
            self.argv += ["-blockdev", f"driver=raw,node-name=d1,read-only=on,file.driver=file,file.filename={drive}"]
            self.argv += ["-device", "virtio-blk-pci,drive=d1"]

    def __enter__(self) -> Guest:
        self.qmp_path.unlink(missing_ok=True)
        self.log.touch()
        self.mark = self.log.stat().st_size
        self.started = time.monotonic()
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def age(self) -> float:
        return time.monotonic() - self.started

    def console(self) -> str:
        """What this start of the guest has printed so far."""
        return self.log.read_bytes()[self.mark :].decode(errors="replace").replace("\r", "")

    def expect(self, pattern: str, timeout: float = 40) -> re.Match[str]:
        """Wait for a line of the console; says what there was instead."""
        end = time.monotonic() + timeout
        while not (match := re.search(pattern, self.console(), re.M)):
            assert time.monotonic() < end, f"no {pattern!r} on the console in {timeout} s:\n{self.console()}"
            assert self.process.poll() is None, f"QEMU ended:\n{self.console()}"
            time.sleep(0.01)
        return match

    def banner(self, timeout: float = 40) -> float:
        """Seconds from the start of QEMU until the SSH server introduced itself."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as s:
                s.settimeout(1)
                if s.recv(64).startswith(b"SSH-"):
                    return self.age()
            time.sleep(0.02)
        raise AssertionError(f"no SSH banner in {timeout} s:\n{self.console()}")

    def ssh(self, key: Path | None, command: str, *options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        words = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        words += ["-o", "ConnectTimeout=20", "-p", str(self.port)]
        identity = ["-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"] if key else []
        argv = ["ssh", *words, *identity, *options, "cirros@127.0.0.1", command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, env=env)

    def say(self, key: Path, command: str) -> str:
        """What a command in the guest prints; it must succeed."""
        done = self.ssh(key, command)
        assert done.returncode == 0, f"{command!r} ended with {done.returncode}: {done.stdout}{done.stderr}\n{self.console()}"
        return done.stdout.strip()

    def qmp(self, *commands: str) -> None:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(str(self.qmp_path))
            stream = s.makefile("rw")
            stream.readline()
            for command in ("qmp_capabilities", *commands):
                stream.write(json.dumps({"execute": command}) + "\n")
                stream.flush()
                while "return" not in json.loads(stream.readline()):
                    pass


@pytest.fixture(scope="module")
def image() -> MicroImage:
    return build_micro(Paths.resolve().cache, [], lambda stage, part: None)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    made = {}
    for kind in ("ed25519", "ecdsa", "rsa"):
        made[kind] = folder / kind
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"test {kind}", "-f", made[kind]], check=True)
    return made


def public(key: Path) -> str:
    return Path(f"{key}.pub").read_text()
