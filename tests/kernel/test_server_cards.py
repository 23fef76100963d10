"""Network cards that come and go while a guest runs, and what its network tells it later on: real guests under TCG, one at a time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.site import Site

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="qemu-system-x86_64 is not installed"),
    pytest.mark.skipif(not shutil.which("ssh"), reason="openssh-client is not installed"),
]
BOOT = 120  # seconds until a guest answers, on a machine that is busy with other things


@pytest.fixture
def site(home: Path) -> Iterator[Site]:
    site = Site(home)
    site.up()
    yield site
    site.pileus("destroy", "--yes")


class Guest:
    """A server that is reached by its floating IP."""

    def __init__(self, site: Site, name: str, lan: dict[str, str]) -> None:
        self.site = site
        site.keypair()
        self.id = site.create(name, site.image(), lan)
        site.becomes(self.id, "ACTIVE")
        self.address = site.floating(self.id, lan)
        self.says("true", "", BOOT)

    def tells(self, command: str) -> str | None:
        """What a command in the guest prints; None when it fails, or a guest that is short of time does not end it."""
        try:
            done = self.site.ssh(self.address, command)
        except subprocess.TimeoutExpired:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def says(self, command: str, part: str, seconds: float = 60) -> str:
        """Wait until what a command prints has a part."""
        found: tuple[str] = self.site.until(
            lambda: (said,) if (said := self.tells(command)) is not None and part in said else None, seconds
        )
        return found[0]

    def cards(self) -> list[str]:
        return sorted((self.tells("ls -d /sys/class/net/eth*") or "").replace("/sys/class/net/", "").split())

    def ports(self) -> list[str]:
        found = self.site.call("GET", f"/compute/v2.1/servers/{self.id}/os-interface")["interfaceAttachments"]
        return [port["port_id"] for port in found]

    def attach(self, **values: Any) -> str:
        shown = self.site.call("POST", f"/compute/v2.1/servers/{self.id}/os-interface", {"interfaceAttachment": values})
        return str(shown["interfaceAttachment"]["port_id"])

    def detach(self, port: str) -> None:
        self.site.call("DELETE", f"/compute/v2.1/servers/{self.id}/os-interface/{port}")

    def last_action(self) -> tuple[str, str | None]:
        newest = self.site.call("GET", f"/compute/v2.1/servers/{self.id}/os-instance-actions")["instanceActions"][0]
        return newest["action"], newest["message"]


def network(site: Site, cidr: str) -> str:
    id = site.call("POST", "/network/v2.0/networks", {"network": {"name": cidr}})["network"]["id"]
    site.call("POST", "/network/v2.0/subnets", {"subnet": {"network_id": id, "ip_version": 4, "cidr": cidr}})
    return str(id)


def test_cards_come_and_go(site: Site) -> None:
    lan = site.lan()
    guest, second = Guest(site, "first", lan), network(site, "10.7.0.0/24")
    (before,) = site.guests().values()
    boot = guest.tells("cat /proc/sys/kernel/random/boot_id")
    assert guest.cards() == ["eth0"]

    # seen inside, with an address, without a new start; and told of by the metadata
    port = guest.attach(net_id=second, tag="back")
    site.until(lambda: guest.cards() == ["eth0", "eth1"], 60)
    guest.says("ip -4 -o addr show eth1", "10.7.0.2/24")
    assert guest.ports()[1:] == [port]
    assert guest.last_action() == ("attach_interface", None)
    assert '"tags": ["back"]' in guest.says("curl -s http://169.254.169.254/openstack/latest/meta_data.json", "devices")
    assert port in guest.says("curl -s http://169.254.169.254/openstack/latest/network_data.json", "links")
    assert list(site.guests().values()) == [before]

    # the control plane is killed while it is to go
    guest.detach(port)
    os.kill(site.control, signal.SIGKILL)
    site.up()
    site.until(lambda: len(guest.ports()) == 1, 60)
    assert guest.cards() == ["eth0"]
    with pytest.raises(AssertionError, match="404"):
        site.call("GET", f"/network/v2.0/ports/{port}")
    assert guest.tells("cat /proc/sys/kernel/random/boot_id") == boot

    # one that was there before, after every kind of start
    mine = site.call("POST", "/network/v2.0/ports", {"port": {"network_id": second}})["port"]["id"]
    guest.attach(port_id=mine)
    site.until(lambda: guest.cards() == ["eth0", "eth1"], 60)
    site.act(guest.id, "reboot", {"type": "HARD"})
    site.becomes(guest.id, "ACTIVE")
    guest.says("ip -4 -o addr show eth1", "10.7.0.", BOOT)
    site.act(guest.id, "os-stop")
    site.becomes(guest.id, "SHUTOFF")
    guest.detach(mine)
    assert len(guest.ports()) == 1
    third = guest.attach(net_id=second)
    site.act(guest.id, "os-start")
    site.becomes(guest.id, "ACTIVE")
    guest.says("ip -4 -o addr show eth1", "10.7.0.", BOOT)

    # a port that is deleted, and a card that the guest was started with
    site.call("DELETE", f"/network/v2.0/ports/{third}")
    site.until(lambda: guest.cards() == ["eth0"], 60)
    site.call("DELETE", f"/network/v2.0/ports/{mine}")
    (first,) = guest.ports()
    guest.attach(net_id=second)
    guest.detach(first)
    site.until(lambda: first not in guest.ports(), 60)
    assert guest.last_action() == ("detach_interface", None)
    assert not site.pings(guest.address)


def test_a_guest_hears_of_changes_and_of_ipv6(site: Site) -> None:
    lan = site.lan()
    guest_network = lan["network"]
    six = {"network_id": guest_network, "ip_version": 6, "cidr": "2001:db8:6::/64"}
    modes = {"ipv6_ra_mode": "dhcpv6-stateless", "ipv6_address_mode": "dhcpv6-stateless"}
    subnet6 = site.call("POST", "/network/v2.0/subnets", {"subnet": {**six, **modes}})["subnet"]["id"]
    (router,) = site.call("GET", "/network/v2.0/routers")["routers"]
    site.call("PUT", f"/network/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": subnet6})
    guest = Guest(site, "first", lan)
    (port,) = site.call("GET", f"/network/v2.0/ports?device_id={guest.id}")["ports"]
    (own,) = [ip["ip_address"] for ip in port["fixed_ips"] if ":" in ip["ip_address"]]
    guest.says("ip -6 -o addr show eth0", own)
    guest.says("ping6 -c 2 -w 10 2001:db8:6::1", "2 received")
    guest.says("cat /etc/resolv.conf", "nameserver fe80::a9fe:a9fe%eth0")

    # name servers of both kinds change, and a renewed lease brings them
    for subnet in site.call("GET", f"/network/v2.0/subnets?network_id={guest_network}")["subnets"]:
        server = "10.0.2.53" if subnet["ip_version"] == 4 else "2001:db8:6::53"
        site.call("PUT", f"/network/v2.0/subnets/{subnet['id']}", {"subnet": {"dns_nameservers": [server]}})
    guest.says("sudo /bin/kill -SIGUSR1 $(cat /var/run/udhcpc.eth0.pid) && echo asked", "asked")
    guest.says("cat /etc/resolv.conf", "nameserver 10.0.2.53")
    said = guest.says("cat /etc/resolv.conf", "nameserver 2001:db8:6::53")
    assert "169.254.169.254" not in said
    assert "a9fe" not in said

    # groups of a port are exchanged while its guest runs
    site.until(lambda: site.pings(guest.address))
    (default,) = [group for group in site.call("GET", "/network/v2.0/security-groups?name=default")["security_groups"]
                  if group["project_id"] == port["project_id"]]  # fmt: skip
    site.call("PUT", f"/network/v2.0/ports/{port['id']}", {"port": {"security_groups": [default["id"]]}})
    site.until(lambda: not site.pings(guest.address), 60)
    site.call("PUT", f"/network/v2.0/ports/{port['id']}", {"port": {"security_groups": port["security_groups"]}})
    site.until(lambda: site.pings(guest.address), 60)
