"""The life of a server as its owner sees it: HTTP, pings and SSH through a floating IP; real guests under TCG, one at a time."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pileus.config import Paths
from pileus.guest.build import build_micro
from tests.kernel.site import Site

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="qemu-system-x86_64 is not installed"),
    pytest.mark.skipif(not shutil.which("ssh"), reason="openssh-client is not installed"),
]
BOOT = 120  # seconds until a guest answers, on a machine that is busy with other things
USER_DATA = "IyEvYmluL3NoCmVjaG8gIm9uZSBwbHVzIG9uZSBpcyAkKCgxICsgMSkpIgo="  # echo "one plus one is $((1 + 1))"


@pytest.fixture
def site(home: Path) -> Iterator[Site]:
    site = Site(home)
    site.up()
    yield site
    site.pileus("destroy", "--yes")


@pytest.fixture(scope="module")
def shared_cache() -> Iterator[Path]:
    """The micro image where another user can read it, and build it anew should its sources have changed meanwhile."""
    micro = build_micro(Paths.resolve().cache, [], lambda stage, part: None)
    folder = Path(tempfile.mkdtemp(prefix="pileus-cache-", dir="/tmp"))
    target = folder / "micro" / micro.disk.parent.name
    target.mkdir(parents=True)
    for path in (folder, target.parent):
        path.chmod(0o777)
    for file in micro.disk.parent.iterdir():
        try:
            os.link(file, target / file.name)
        except OSError:
            shutil.copy2(file, target / file.name)
    yield folder
    shutil.rmtree(folder)


def answers(site: Site, address: str, command: str) -> str:
    """What a command in the guest prints, once SSH lets us in."""

    def said() -> tuple[str] | None:
        done = site.ssh(address, command)
        return (done.stdout.strip(),) if done.returncode == 0 else None

    found: tuple[str] = site.until(said, BOOT)
    return found[0]


def test_a_server_lives(site: Site) -> None:
    lan, image = site.lan(), site.image()
    site.keypair()
    id = site.create("first", image, lan, config_drive=True, user_data=USER_DATA, metadata={"colour": "blue"})
    address = site.floating(id, lan)
    server = site.becomes(id, "ACTIVE")
    assert server["OS-EXT-STS:power_state"] == 1
    assert [a["addr"] for a in server["addresses"]["lan"]] == ["10.0.2.2", address] or address in str(server["addresses"])
    site.until(lambda: site.pings(address), BOOT)

    # it knows who it is, by both ways
    assert answers(site, address, "hostname") == "first"
    assert answers(site, address, "curl -s http://169.254.169.254/latest/meta-data/public-ipv4") == address
    assert answers(site, address, "curl -s http://169.254.169.254/latest/meta-data/local-ipv4") == "10.0.2.2"
    mounted = "sudo mount -r $(sudo blkid -L config-2) /mnt; cat /mnt/openstack/latest/meta_data.json; sudo umount /mnt"
    assert '"meta": {"colour": "blue"}' in answers(site, address, mounted)
    site.until(lambda: "one plus one is 2" in site.console(id))
    assert "\r" not in site.console(id)

    # the guest is killed: started again on the same disk
    answers(site, address, "echo kept > note; sync")
    before = site.guests()[id]
    os.kill(before[0], signal.SIGKILL)
    after = site.until(lambda: (now := site.guests()).get(id) not in (None, before) and now[id])
    assert answers(site, address, "cat note") == "kept"
    boot_id = answers(site, address, "cat /proc/sys/kernel/random/boot_id")

    # the control plane is killed: the guest goes on, and is adopted
    os.kill(site.control, signal.SIGKILL)
    site.up()
    assert site.server(id)["status"] == "ACTIVE"
    assert site.guests()[id] == after
    assert answers(site, address, "cat /proc/sys/kernel/random/boot_id") == boot_id

    # it reboots, asked first
    site.act(id, "reboot", {"type": "SOFT"})
    site.becomes(id, "ACTIVE")
    assert site.guests()[id] != after
    assert answers(site, address, "cat /proc/sys/kernel/random/boot_id; cat note").split("\n")[1:] == ["kept"]
    assert "Power down" in site.console(id)

    # it powers itself off, and is started by its owner
    site.ssh(address, "sudo poweroff")
    assert site.becomes(id, "SHUTOFF")["OS-EXT-STS:power_state"] == 4
    assert site.guests() == {}
    assert "Power down" in site.console(id)
    site.act(id, "os-start")
    site.becomes(id, "ACTIVE")
    assert answers(site, address, "cat note") == "kept"

    # a power cut of everything
    site.pileus("down")
    site.up()
    site.becomes(id, "ACTIVE")
    site.until(lambda: site.pings(address), BOOT)

    site.call("DELETE", f"/compute/v2.1/servers/{id}")
    site.until(lambda: not site.call("GET", "/compute/v2.1/servers")["servers"])
    assert list((site.home / "data/servers").iterdir()) == []
    assert not site.pings(address)


def test_a_disk_boots_by_itself(site: Site) -> None:
    """Through SeaBIOS: the way of every image that names no kernel."""
    lan = site.lan()
    site.keypair()
    micro = build_micro(Paths.resolve().cache, [], lambda stage, part: None)
    id = site.create("second", site.upload("plain", "qcow2", micro.disk), lan)
    address = site.floating(id, lan)
    site.becomes(id, "ACTIVE")
    assert answers(site, address, "hostname") == "second"
    site.act(id, "os-stop")
    site.becomes(id, "SHUTOFF")
    assert "Power down" in site.console(id), "it was asked, not killed"


def test_a_server_in_short(site: Site) -> None:
    """What a plain user's cloud must do as well."""
    lan, image = site.lan(), site.image()
    site.keypair()
    id = site.create("third", image, lan)
    address = site.floating(id, lan)
    assert answers(site, address, "hostname") == "third"
    before = site.guests()[id]
    os.kill(site.control, signal.SIGKILL)
    site.up()
    assert site.guests()[id] == before
    site.act(id, "reboot", {"type": "HARD"})
    site.becomes(id, "ACTIVE")
    assert site.guests()[id] != before
    site.pileus("down")
    assert {path.stat().st_uid for path in site.home.rglob("*")} == {os.getuid()}
    site.up()
    site.call("DELETE", f"/compute/v2.1/servers/{id}")
    site.until(lambda: not site.call("GET", "/compute/v2.1/servers")["servers"])
    assert list((site.home / "data/servers").iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user: this run is the unprivileged one")
@pytest.mark.parametrize("map", ["subuid", "single"])
def test_as_a_plain_user(as_user: Callable[..., str], shared_cache: Path, map: str) -> None:
    """Without root, with or without users of their own for guests."""
    assert "1 passed" in as_user(map, __file__, "in_short", timeout=500, PILEUS_CACHE=str(shared_cache))
