"""A micro guest for tests: QEMU under TCG, its user-mode network, a stub of the metadata service, keys. Holds no test itself."""

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

MARKS = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="qemu-system-x86_64 is not installed"),
    pytest.mark.skipif(not shutil.which("ssh"), reason="openssh-client is not installed"),
]
SCRIPT = b"#!/bin/sh\necho user-data says $(id -u) on $(hostname)\necho ran >>/root/ran\n"
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

    def serve_user_data(self) -> bytes:
        return self.user_data

    @contextlib.contextmanager
    def serve(self, port: int = 0) -> Iterator[int]:
        pages = {"/openstack/latest/meta_data.json": self.meta_data, "/openstack/latest/user_data": self.serve_user_data}
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

        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
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
        self.log.touch()
        self.start()
        return self

    def start(self) -> None:
        self.qmp_path.unlink(missing_ok=True)
        self.mark = self.log.stat().st_size
        self.started = time.monotonic()
        with (self.folder / "qemu.err").open("ab") as said:  # warnings of what TCG lacks of the CPU model
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stderr=said)

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def age(self) -> float:
        return time.monotonic() - self.started

    def console(self) -> str:
        """What this start of the guest has printed so far."""
        return self.log.read_bytes()[self.mark :].decode(errors="replace").replace("\r", "")

    def expect(self, pattern: str, timeout: float = 120) -> re.Match[str]:
        """Wait for a line of the console; says what there was instead."""
        end = time.monotonic() + timeout
        while not (match := re.search(pattern, self.console(), re.M)):
            assert time.monotonic() < end, f"no {pattern!r} on the console in {timeout} s:\n{self.console()}"
            assert self.process.poll() is None, f"QEMU ended:\n{self.console()}"
            time.sleep(0.01)
        return match

    def banner(self, timeout: float = 120) -> float:
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
        words += ["-o", "ConnectTimeout=60", "-p", str(self.port)]
        identity = ["-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"] if key else []
        argv = ["ssh", *words, *identity, *options, "cirros@127.0.0.1", command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, env=env)

    def say(self, key: Path, command: str) -> str:
        """What a command in the guest prints; it must succeed."""
        done = self.ssh(key, command)
        assert done.returncode == 0, f"{command!r} ended with {done.returncode}: {done.stdout}{done.stderr}\n{self.console()}"
        return done.stdout.strip()

    def qmp(self, command: str, **arguments: Any) -> None:
        """A command to QEMU; it must succeed."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(str(self.qmp_path))
            stream = s.makefile("rw")
            stream.readline()
            for message in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                stream.write(json.dumps(message) + "\n")
                stream.flush()
                while "return" not in (answer := json.loads(stream.readline())):
                    assert "error" not in answer, f"{message}: {answer}"


def micro(*packages: str) -> MicroImage:
    """The image, from the cache when it is there."""
    return build_micro(Paths.resolve().cache, list(packages), lambda stage, part: None)


def make_keys(folder: Path) -> dict[str, Path]:
    """A private key of each type that a guest accepts; the public one lies beside it."""
    made = {}
    for kind in ("ed25519", "ecdsa", "rsa"):
        made[kind] = folder / kind
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"test {kind}", "-f", made[kind]], check=True)
    return made


def public(key: Path) -> str:
    return Path(f"{key}.pub").read_text()


@contextlib.contextmanager
def alive(folder: Path, image: MicroImage, metadata: Metadata, **how: Any) -> Iterator[Guest]:
    with metadata.serve() as port, Guest(folder, image, metadata_port=port, **how) as guest:
        yield guest


def powered_off(guest: Guest) -> float:
    """Press the power button; seconds until QEMU has ended by itself."""
    pressed = time.monotonic()
    guest.qmp("system_powerdown")
    assert guest.process.wait(timeout=60) == 0
    return time.monotonic() - pressed


def password_login(guest: Guest, folder: Path) -> subprocess.CompletedProcess[str]:
    ask = folder / "askpass"
    ask.write_text("#!/bin/sh\necho gocubsgo\n")
    ask.chmod(0o755)
    env = {"PATH": "/usr/bin:/bin", "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
    return guest.ssh(None, "id -un", "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1", env=env)


def config_drive(folder: Path, metadata: Metadata, kind: str) -> Path:
    """A config drive as Nova makes it, ISO 9660 or VFAT."""
    files = folder / "drive" / "openstack" / "latest"
    files.mkdir(parents=True)
    (files / "meta_data.json").write_bytes(metadata.meta_data())
    (files / "user_data").write_bytes(metadata.user_data)
    image = folder / f"config.{kind}"
    if kind == "iso":
        subprocess.run(["genisoimage", "-quiet", "-J", "-r", "-V", "config-2", "-o", image, folder / "drive"], check=True)
    else:
        image.write_bytes(bytes(2 << 20))
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        subprocess.run(["mkfs.vfat", "-n", "config-2", image], check=True, env=env, stdout=subprocess.DEVNULL)
        subprocess.run(["mcopy", "-s", "-i", image, folder / "drive" / "openstack", "::"], check=True, env=env)
    return image
