"""What is inside a micro guest, seen while it runs: tools, leases, identity, console, devices. One guest at a time.

Not here: the ways to boot (test_guest_boot.py); Pileus' own networks and its QEMU driver.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from pileus.guest.build import MicroImage
from tests.kernel.guest_boot import MARKS, SCRIPT, Guest, Metadata, alive, config_drive, free_port, make_keys, micro, password_login, public

pytestmark = MARKS


@pytest.fixture(scope="module")
def image() -> MicroImage:
    return micro()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_keys(tmp_path_factory.mktemp("keys"))


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
    """Nobody answers at 169.254.169.254: SSH is there within a few seconds all the same, the known password once asking is given up.

    And then a login on the console, with what is typed there; what programs print there begins a line of its own.
    """
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
        lease = (guest.expect(r"^dhcp: eth0 has"), guest.age())[1]
        assert guest.banner() - lease < 12
        guest.expect(r"^cirros login:$")
        assert password_login(guest, tmp_path).returncode == 255, "metadata may still come, and forbid it"
        guest.expect(r"^metadata: no config drive and no answer")
        assert password_login(guest, tmp_path).stdout == "cirros\n"
        for typed, shown in (
            (b"cirros", "^Password:"),
            (b"gocubsgo", r"^\$ "),
            (b"sudo sh -c 'echo I am $(id -u) on $TERM'", "^I am 0 on vt100$"),
        ):
            serial.sendall(typed + b"\n")
            guest.expect(shown)


class Wavering(Metadata):
    """Breaks off when it is asked for user data for the first time."""

    def serve_user_data(self) -> bytes:
        if self.asked.count("/openstack/latest/user_data") == 1:
            raise ConnectionAbortedError
        return SCRIPT


@pytest.mark.slow
def test_metadata_that_comes_late(image: MicroImage, keys: dict[str, Path], tmp_path: Path) -> None:
    """The metadata service is away while the guest boots, and breaks off once more: the guest becomes who it is all the same."""
    port, key = free_port(), keys["ed25519"]
    metadata = Wavering(hostname="late", keys=[public(key)])
    with Guest(tmp_path, image, metadata_port=port) as guest:
        guest.expect(r"^metadata: no config drive and no answer")
        guest.expect(r"^=== up ")
        with metadata.serve(port):
            guest.expect(r"^metadata: 169.254.169.254 answers now")
            guest.expect(r"^user-data says 0 on late$")
            assert guest.say(key, "hostname") == "late"
            assert metadata.asked.count("/openstack/latest/user_data") == 2


def test_devices_come_and_go(image: MicroImage, keys: dict[str, Path], tmp_path: Path) -> None:
    """An interface plugged into a running guest gets its address by itself, again after it was pulled; a volume can be used."""
    key = keys["ed25519"]
    with Metadata(keys=[public(key)]).serve() as port:
        guest = Guest(tmp_path, image, metadata_port=port)
        guest.argv += ["-netdev", "user,id=n1,restrict=on,net=10.5.0.0/24"]
        for number in (1, 2):
            guest.argv += ["-device", f"pcie-root-port,id=slot{number},chassis={number}"]
        volume = tmp_path / "volume.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", volume, "64M"], check=True)
        with guest:
            guest.expect(r"^=== up ")
            guest.say(key, "until pidof uevent; do sleep 0.2; done")
            for _ in range(2):
                guest.mark = guest.log.stat().st_size
                guest.qmp("device_add", driver="virtio-net-pci", netdev="n1", id="nic1", bus="slot1")
                guest.expect(r"^dhcp: eth1 has 10\.5\.0\.15/24")
                assert "10.5.0.15/24" in guest.say(key, "ip -4 -o addr show eth1")
                guest.qmp("device_del", id="nic1")
                guest.say(key, "while [ -e /sys/class/net/eth1 ] || pgrep -f 'udhcpc.* eth1'; do sleep 0.2; done")
            guest.qmp("blockdev-add", **{"driver": "qcow2", "node-name": "v", "file": {"driver": "file", "filename": str(volume)}})
            guest.qmp("device_add", driver="virtio-blk-pci", drive="v", id="vdb", bus="slot2")
            guest.say(key, "until [ -b /dev/vdb ]; do sleep 0.2; done; sudo mkfs.ext4 -q /dev/vdb && sudo mount /dev/vdb /mnt")
            assert "67108864" in guest.say(key, "lsblk -lb -o NAME,SIZE | grep vdb")


def test_disk_and_config_drive_that_are_not_virtio(image: MicroImage, keys: dict[str, Path], tmp_path: Path) -> None:
    """Through the BIOS from a SCSI disk, the config drive being an IDE CD-ROM."""
    if not shutil.which("genisoimage"):
        pytest.skip("genisoimage is not installed")
    key = keys["ed25519"]
    drive = config_drive(tmp_path, Metadata(hostname="ide", keys=[public(key)]), "iso")
    guest = Guest(tmp_path, image, metadata_port=None, fast=False)
    at = guest.argv.index("virtio-blk-pci,drive=d0")
    guest.argv[at - 1 : at + 1] = ["-device", "virtio-scsi-pci,id=s", "-device", "scsi-hd,drive=d0,bus=s.0"]
    guest.argv += [
        "-blockdev",
        f"driver=raw,node-name=cd,read-only=on,file.driver=file,file.filename={drive}",
        "-device",
        "ide-cd,drive=cd",
    ]
    with guest:
        guest.expect(r"^=== up ")
        assert guest.say(key, "hostname; df / | tail -n 1 | cut -d' ' -f1").split() == ["ide", "/dev/sda2"]
