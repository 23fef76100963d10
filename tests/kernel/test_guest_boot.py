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


SCRIPT = b"#!/bin/sh\necho user-data says $(id -u) on $(hostname)\necho ran >>/root/ran\n"


def test_fast_path(image: MicroImage, keys: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kernel and initrd by qboot: address, SSH by three kinds of key, sudo, user data once, reboot, power button; root is the disk."""
    metadata = Metadata(keys=[public(key) for key in keys.values()], user_data=SCRIPT)
    with alive(tmp_path, image, metadata) as guest:
        lease = (guest.expect(r"^dhcp: eth0 has 169\.254\.169\.15/24"), guest.age())[1]
        banner = guest.banner()
        for kind, key in keys.items():
            assert guest.say(key, "id -un") == "cirros", kind
        guest.expect(r"^user-data says 0 on first$")
        guest.expect(r"^user-data: ended with status 0$")
        guest.expect(r"^host key: ecdsa SHA256:")
        key = keys["ed25519"]
        assert guest.say(key, "sudo id -u; sudo cat /root/ran; hostname").split() == ["0", "ran", "first"]
        assert guest.say(key, "df / | tail -n 1 | cut -d' ' -f1") == "/dev/vda2"
        host_keys = guest.say(key, "for k in /etc/dropbear/*_host_key; do sudo dropbearkey -y -f $k; done | grep Fingerprint")
        assert host_keys.count("SHA256:") == 2

        started = guest.say(key, "cat /proc/sys/kernel/random/boot_id")
        guest.ssh(key, "touch kept; sudo reboot")
        guest.mark = guest.log.stat().st_size
        guest.expect(r"^=== up ")
        assert guest.say(key, "cat /proc/sys/kernel/random/boot_id") != started
        assert guest.say(key, "ls kept; sudo cat /root/ran").split() == ["kept", "ran"], "user data runs once per server"
        assert "user-data says" not in guest.console()
        assert guest.say(key, "for k in /etc/dropbear/*_host_key; do sudo dropbearkey -y -f $k; done | grep Fingerprint") == host_keys
        off = powered_off(guest)
    with capsys.disabled():
        print(f"\n  fast path: lease {lease:.2f} s, SSH banner {banner:.2f} s after QEMU's start; power button to end {off:.2f} s")
    assert off < 3


def test_boots_by_itself_through_the_bios(
    image: MicroImage, keys: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SeaBIOS, syslinux, the disk alone, on the older machine type; the root grows to a larger disk; reboot works here too."""
    key = keys["ecdsa"]
    with alive(tmp_path, image, Metadata(keys=[public(key)]), fast=False, size="3G") as guest:
        lease = (guest.expect(r"^dhcp: eth0 has"), guest.age())[1]
        banner = guest.banner()
        guest.expect(r"^=== up ")
        end = time.monotonic() + 60
        while int(guest.say(key, "df -m / | tail -n 1 | awk '{print $2}'")) < 2900:
            assert time.monotonic() < end, guest.say(key, "df -m /; cat /proc/partitions")
            time.sleep(0.5)
        guest.ssh(key, "sudo reboot")
        guest.mark = guest.log.stat().st_size
        guest.expect(r"^=== up ")
        assert int(guest.say(key, "df -m / | tail -n 1 | awk '{print $2}'")) >= 2900
        assert guest.say(key, "sudo dmesg | grep -ci 'ext4-fs error\\|corrupt'; true") == "0"
        off = powered_off(guest)
    with capsys.disabled():
        print(f"\n  BIOS path: lease {lease:.2f} s, SSH banner {banner:.2f} s after QEMU's start; power button to end {off:.2f} s")
    subprocess.run(["qemu-img", "check", "-q", guest.overlay], check=True)


def test_another_server_from_the_same_disk(image: MicroImage, keys: dict[str, Path], tmp_path: Path) -> None:
    """A snapshot that boots as another server: new host keys, new name, its user data; and the password shut off, then on again."""
    key = keys["ed25519"]
    with alive(tmp_path, image, Metadata(keys=[public(key)], user_data=SCRIPT)) as guest:
        guest.expect(r"^=== up ")
        first = guest.say(key, "sudo dropbearkey -y -f /etc/dropbear/dropbear_ed25519_host_key | grep Fingerprint")
        powered_off(guest)
    other = Metadata(
        uuid="0d6c5f3e-0000-4000-8000-000000000002", hostname="second", user_data=SCRIPT, meta={"pileus:password_login": "False", "x": "y"}
    )
    with alive(tmp_path, image, other) as guest:
        guest.expect(r"^user-data says 0 on second$")
        guest.expect(r"^=== up ")
        assert guest.say(key, "sudo dropbearkey -y -f /etc/dropbear/dropbear_ed25519_host_key | grep Fingerprint") != first
        assert guest.say(key, "sudo cat /root/ran").split() == ["ran", "ran"]
        assert password_login(guest, tmp_path).returncode == 255
        powered_off(guest)
    other.meta = {}
    with alive(tmp_path, image, other) as guest:
        guest.expect(r"^=== up ")
        assert password_login(guest, tmp_path).stdout == "cirros\n"


def password_login(guest: Guest, folder: Path) -> subprocess.CompletedProcess[str]:
    ask = folder / "askpass"
    ask.write_text("#!/bin/sh\necho gocubsgo\n")
    ask.chmod(0o755)
    env = {"PATH": "/usr/bin:/bin", "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
    return guest.ssh(None, "id -un", "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1", env=env)


def test_tools_and_dhcp_options(image: MicroImage, keys: dict[str, Path], tmp_path: Path) -> None:
    """What clients and test suites call inside a guest; and what a lease with options 26, 119 and 121 does."""
    key = keys["ed25519"]
    with alive(tmp_path, image, Metadata(keys=[public(key)])) as guest:
        guest.expect(r"^=== up ")

        def say(command: str) -> str:
            return guest.say(key, command)

        assert say("set -o pipefail; false | true || echo caught") == "caught"
        assert say("curl -s -o /dev/null -w '%{http_code}' http://169.254.169.254/openstack/latest/meta_data.json") == "200"
        assert say("ping -c1 -w5 -M do -s 1000 169.254.169.2 | grep -c 'bytes from'") == "1"
        assert "disk" in say("lsblk -lb -o NAME,SIZE,TYPE | grep '^vda '")
        assert say("sudo blkid -L cirros-rootfs") == "/dev/vda2"
        say("truncate -s 20M a b && sudo mkfs.vfat a >/dev/null && sudo mkfs -t ext4 -q b && sudo mkdir -p /mnt/a /mnt/b")
        say("sudo mount -o loop a /mnt/a && sudo mount -o loop b /mnt/b && echo 1 | sudo tee /mnt/a/x /mnt/b/x")
        say("sudo umount /mnt/a /mnt/b")
        say("nc -lk -p 4000 -e echo hello >/dev/null 2>&1 </dev/null &")
        say("for i in $(seq 50); do nc 127.0.0.1 4000 </dev/null >/dev/null 2>&1 && exit; sleep 0.2; done; exit 1")
        assert say("for i in 1 2; do nc 127.0.0.1 4000 </dev/null; done") == "hello\nhello"
        assert say("ip -o addr show eth0 | grep -c 'inet 169.254.169.15/24'") == "1"
        assert say("umask") == "0022"
        assert say("sudo grep -c '^root:\\*:' /etc/shadow") == "1"
        assert say("ls -ld / /usr /etc/passwd /usr/bin/curl | awk '{print $3 $4}' | sort -u") == "rootroot"

        leases = len(re.findall("^dhcp: eth0", guest.console(), re.M))
        say("sudo kill -USR1 $(cat /var/run/udhcpc.eth0.pid)")
        end = time.monotonic() + 30
        while len(re.findall("^dhcp: eth0", guest.console(), re.M)) == leases:
            assert time.monotonic() < end, "no renewal after SIGUSR1"
            time.sleep(0.1)
        lease = (
            "interface=eth0 ip=169.254.169.15 mask=24 mtu=1400 router=169.254.169.1 dns='10.9.9.9 10.9.9.8' search='a.lab b.lab' "
            "staticroutes='169.254.169.254/32 169.254.169.2 0.0.0.0/0 169.254.169.3 10.7.0.0/16 0.0.0.0'"
        )
        say(f"sudo env {lease} /usr/lib/pileus/dhcp-event renew")
        assert say("cat /sys/class/net/eth0/mtu") == "1400"
        assert say("cat /etc/resolv.conf").split("\n") == ["search a.lab b.lab", "nameserver 10.9.9.9", "nameserver 10.9.9.8"]
        routes = say("ip route | sed 's/$/ /'")
        for line in ("default via 169.254.169.3 ", "169.254.169.254 via 169.254.169.2 ", "10.7.0.0/16 dev eth0 "):
            assert line in routes, f"{line!r} is not in\n{routes}"
        assert "169.254.169.1 " not in routes, "the router option does not count beside option 121"


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


@pytest.mark.parametrize("kind", ["iso", "vfat"])
def test_config_drive(kind: str, image: MicroImage, keys: dict[str, Path], tmp_path: Path) -> None:
    """No metadata service at all: name, keys and user data come from the drive, whose label is found by blkid."""
    tool = {"iso": "genisoimage", "vfat": "mcopy"}[kind]
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")
    key = keys["ecdsa"]
    metadata = Metadata(hostname="driven", keys=[public(key)], user_data=SCRIPT)
    with Guest(tmp_path, image, metadata_port=None, drive=config_drive(tmp_path, metadata, kind)) as guest:
        guest.expect(r"^user-data says 0 on driven$")
        guest.expect(r"^=== up ")
        assert guest.say(key, "sudo blkid -L config-2") == "/dev/vdb"
        assert json.loads(guest.say(key, "sudo mount /dev/vdb /mnt && cat /mnt/openstack/latest/meta_data.json"))["uuid"] == metadata.uuid


def test_without_metadata_the_boot_goes_on(image: MicroImage, tmp_path: Path) -> None:
    """Nobody answers at 169.254.169.254: SSH is there within a few seconds all the same, the password once asking is given up."""
    with Guest(tmp_path, image, metadata_port=None) as guest:
        lease = (guest.expect(r"^dhcp: eth0 has"), guest.age())[1]
        assert guest.banner() - lease < 12
        guest.expect(r"^\S+ login:$")
        assert password_login(guest, tmp_path).returncode == 255, "metadata may still come, and forbid it"
        guest.expect(r"^metadata: no config drive and no answer")
        assert password_login(guest, tmp_path).stdout == "cirros\n"


def test_packages_are_added(keys: dict[str, Path], tmp_path: Path) -> None:
    """`python3` with what it needs runs in the smallest guest."""
    image = build_micro(Paths.resolve().cache, ["python3"], lambda stage, part: None)
    key = keys["ed25519"]
    with alive(tmp_path, image, Metadata(keys=[public(key)])) as guest:
        guest.expect(r"^=== up ")
        code = "import http.server, json, asyncio, ssl, sqlite3; print(json.dumps([asyncio.run(asyncio.sleep(0, 1))]))"
        assert json.loads(guest.say(key, f"python3 -c '{code}'")) == [1]
        assert guest.say(key, "python3 -c 'import json; print(json.__cached__)'").endswith(".pyc")
        assert int(guest.say(key, "sudo find / -xdev -newer /etc/hostname -name '*.pyc' | wc -l")) == 0, "nothing had to be compiled"


def test_login_on_the_console(image: MicroImage, tmp_path: Path) -> None:
    """What is typed at the prompt on the serial line; and what programs print there begins its own line."""
    path = tmp_path / "serial"
    guest = Guest(tmp_path, image, metadata_port=None)
    guest.argv[guest.argv.index("chardev:con") - 2] = f"socket,id=con,path={path},server=on,wait=on,logfile={guest.log}"
    with guest, socket.socket(socket.AF_UNIX) as serial:
        end = time.monotonic() + 60
        while serial.connect_ex(str(path)):
            assert time.monotonic() < end
            time.sleep(0.05)
        reader = threading.Thread(target=lambda: any(not serial.recv(4096) for _ in iter(int, 1)), daemon=True)
        reader.start()  # else QEMU, and with it the guest, waits for us
        guest.expect(r"^\S+ login:$")
        guest.expect(r"^metadata: no config drive")
        serial.sendall(b"cirros\n")
        guest.expect(r"^Password:")
        serial.sendall(b"gocubsgo\n")
        guest.expect(r"^\$ ")
        serial.sendall(b"sudo sh -c 'echo id is $(id -u), term is $TERM'\n")
        guest.expect(r"^id is 0, term is vt100$")
