"""The micro guest boots, for real, by both paths, and is one server after another. One guest at a time.

Not here: what is inside (test_guest_boot_inside.py); Pileus' own networks and its QEMU driver.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pileus.guest.build import MicroImage
from tests.kernel.guest_boot import MARKS, SCRIPT, Metadata, alive, make_keys, micro, password_login, powered_off, public

pytestmark = MARKS


@pytest.fixture(scope="module")
def image() -> MicroImage:
    return micro()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_keys(tmp_path_factory.mktemp("keys"))


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


def test_packages_are_added(keys: dict[str, Path], tmp_path: Path) -> None:
    """`python3` with what it needs runs in the smallest guest. Run again by test_a_plain_user_builds_one_that_boots."""
    image = micro("python3")
    info = subprocess.run(["qemu-img", "info", "--output=json", image.disk], check=True, capture_output=True).stdout
    assert json.loads(info)["virtual-size"] < 1 << 30, "it fits the smallest flavor's disk"
    key = keys["ed25519"]
    with alive(tmp_path, image, Metadata(keys=[public(key)])) as guest:
        guest.expect(r"^=== up ")
        code = "import http.server, json, asyncio, ssl, sqlite3; print(json.dumps([asyncio.run(asyncio.sleep(0, 1))]))"
        assert json.loads(guest.say(key, f"python3 -c '{code}'")) == [1]
        assert guest.say(key, "python3 -c 'import json; print(json.__cached__)'").endswith(".pyc")
        assert int(guest.say(key, "sudo find / -xdev -newer /etc/hostname -name '*.pyc' | wc -l")) == 0, "nothing had to be compiled"
        assert guest.say(key, "sudo find / -xdev ! -user root ! -path '/home/cirros*'") == ""
        assert guest.say(key, "stat -c '%U:%G %a' ~ ~/.ssh /usr/bin/sudo /tmp").split("\n") == [
            "cirros:cirros 755", "cirros:cirros 700", "root:root 4755", "root:root 1777",
        ]  # fmt: skip


def test_a_plain_user_builds_one_that_boots(as_user: Callable[..., str]) -> None:
    """With an empty cache and without subordinate ids: nothing of a build needs root, and every file has its owner all the same."""
    assert "1 passed" in as_user("single", __file__, "packages_are_added", timeout=400, PILEUS_CACHE="")
