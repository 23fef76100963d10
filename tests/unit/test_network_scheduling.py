"""What is taken off its agent: a router carries nothing, a network gives no addresses; given back, they do again."""

from __future__ import annotations

from pileus.network.live.directory import Directory
from pileus.network.reconcile.rows import router_want
from tests.network_rows import Rows, new_store


def test_a_router_that_is_taken_off_is_down() -> None:
    rows = Rows(new_store())
    router = rows.insert("router")
    for scheduled, up in ((None, True), (0, False), (1, True)):
        rows.store.update("router", router, {"scheduled": scheduled})
        assert router_want(rows.store, rows.row("router", router)).up is up
    rows.store.update("router", router, {"admin_state_up": 0})
    assert router_want(rows.store, rows.row("router", router)).up is False


def test_a_network_that_is_taken_off_gives_no_addresses() -> None:
    rows = Rows(new_store())
    network, subnet = rows.network("10.0.0.0/24")
    six = rows.subnet(network, "fd00::/64", ipv6_address_mode="dhcpv6-stateful")
    port = rows.insert("port", network_id=network, mac_address="fa:16:3e:00:00:01", device_id="d", device_owner="compute:nova")
    for place, (where, address) in enumerate(((subnet, "10.0.0.5"), (six, "fd00::5"))):
        found = {"port_id": port, "subnet_id": where, "network_id": network, "ip_address": address, "position": place}
        rows.store.insert("fixed_ip", found)
    directory = Directory(rows.store)
    for scheduled, served in ((None, True), (0, False), (1, True)):
        rows.store.update("network", network, {"scheduled": scheduled})
        assert (directory.by_mac(network, "fa:16:3e:00:00:01") is not None) is served
        assert bool(directory.by_mac6(network, "fa:16:3e:00:00:01")) is served
