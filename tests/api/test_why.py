"""`pileus why` over HTTP, on the fake drivers: who may ask what, what is told of strangers, and facts of the host in the verdict."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pileus.app import App
from pileus.drivers.fake.network import FakeNetworks
from pileus.network.host import Heard
from tests.api.network import N
from tests.conftest import Answer, Client


class Land:
    """A project's own network behind a router, with servers web and db in a group that lets ping and TCP 80 in."""

    def __init__(self, app: App, api: Client, who: str) -> None:
        self.app, self.api, self.who = app, api, who
        assert isinstance(app.drivers.networks, FakeNetworks)
        self.net = app.drivers.networks
        self.ports: dict[str, str] = {}

    async def __call__(self, method: str, path: str, body: Any = None, *, token: str = "") -> Answer:
        return await self.api(method, path, body, token=token or self.who)

    async def made(self, path: str, body: Any, token: str = "") -> dict[str, Any]:
        answer = await self("POST", path, body, token=token)
        assert answer.status in (200, 201, 202), answer.text
        found: dict[str, Any] = next(iter(answer.body.values()))
        return found

    async def build(self, cidr: str = "10.0.2.0/24") -> Land:
        await self.api.member(f"project-{self.who}", self.who)
        network = (await self.made(f"{N}/networks", {"network": {"name": f"lan-{self.who}"}}))["id"]
        self.network = network
        wish = {"name": "sub", "network_id": network, "ip_version": 4, "cidr": cidr}
        self.subnet = (await self.made(f"{N}/subnets", {"subnet": wish}))["id"]
        self.public = (await self("GET", f"{N}/networks?name=public"))["networks"][0]["id"]
        wish = {"name": "r", "external_gateway_info": {"network_id": self.public}}
        self.router = (await self.made(f"{N}/routers", {"router": wish}))["id"]
        assert (await self("PUT", f"{N}/routers/{self.router}/add_router_interface", {"subnet_id": self.subnet})).status == 200
        self.group = (await self.made(f"{N}/security-groups", {"security_group": {"name": "open"}}))["id"]
        await self.rule(protocol="icmp")
        self.tcp = await self.rule(protocol="tcp", port_range_min=80, port_range_max=80)
        for name, last in (("web", 5), ("db", 6)):
            await self.server(name, f"{cidr.rpartition('.')[0]}.{last}")
        await self.app.loop.settle()
        return self

    async def rule(self, **values: Any) -> str:
        wish = {"security_group_id": self.group, "direction": "ingress", "ethertype": "IPv4", **values}
        return str((await self.made(f"{N}/security-group-rules", {"security_group_rule": wish}))["id"])

    async def server(self, name: str, address: str) -> str:
        wish = {"name": f"{name}-port", "network_id": self.network, "fixed_ips": [{"ip_address": address}], "security_groups": [self.group]}
        port = (await self.made(f"{N}/ports", {"port": wish}))["id"]
        self.ports[name] = port
        images = (await self("GET", "/image/v2/images"))["images"]
        if not images:
            answer = await self("POST", "/image/v2/images", {"name": "blank", "disk_format": "raw", "container_format": "bare"})
            id = answer["id"]
            assert (await self.api("PUT", f"/image/v2/images/{id}/file", b"\0" * 4096, token=self.who)).status == 204
        else:
            id = images[0]["id"]
        flavor = (await self("GET", "/compute/v2.1/flavors"))["flavors"][0]["id"]
        body = {"name": name, "imageRef": id, "flavorRef": flavor, "networks": [{"port": port}]}
        server = await self.made("/compute/v2.1/servers", {"server": body})
        await self.app.loop.settle()
        return str(server["id"])

    async def why(self, source: str, destination: str, *, token: str = "", **more: Any) -> dict[str, Any]:
        body = {"source": source, "destination": destination, **more}
        answer = await self("POST", "/pileus/v1/traces", body, token=token)
        assert answer.status == 200, answer.text
        found: dict[str, Any] = answer["trace"]
        return found

    async def cause(self, source: str, destination: str, **more: Any) -> str:
        verdict = (await self.why(source, destination, **more))["verdict"]
        assert verdict["passes"] is False, verdict
        return str(verdict["cause"])


@pytest.fixture
async def land(app: App, api: Client) -> Land:
    return await Land(app, api, "alice").build()


async def test_a_packet_passes_and_every_hop_is_told(land: Land) -> None:
    told = await land.why("web", "db", tcp=80)
    assert (told["source"], told["destination"], told["packet"]) == ("web (10.0.2.5)", "db (10.0.2.6)", "TCP 80")
    assert told["verdict"]["passes"] is True
    assert told["verdict"]["mend"] == []
    there = [hop["place"] for hop in told["hops"] if hop["way"] == "there"]
    assert there == ["guest", "tap", "anti-spoof", "security group", "network", "security group", "tap", "guest"]
    assert {hop["way"] for hop in told["hops"]} == {"there", "back"}
    through = [hop["place"] for hop in (await land.why("web", "outside"))["hops"] if hop["way"] == "there"]
    assert through[4:] == ["network", "router", "network", "outside"]


async def test_ends_by_every_kind_of_word(land: Land) -> None:
    for source in ("web", land.ports["web"], "web-port", "10.0.2.5"):
        for target in ("db", land.ports["db"], "10.0.2.6"):
            told = await land.why(source, target)
            assert told["verdict"]["passes"] is True, told
    assert (await land.why("web", "host-10-0-2-6.openstacklocal"))["hops"][0]["place"] == "DNS"
    for words in (("web", "nosuch"), ("nosuch", "db"), ("10.0.2.99", "db")):
        assert (await land("POST", "/pileus/v1/traces", {"source": words[0], "destination": words[1]})).status == 404
    assert (await land("POST", "/pileus/v1/traces", {"source": "web", "destination": "web"})).status == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"source": "web"},
        {"source": "web", "destination": "db", "tcp": 0},
        {"source": "web", "destination": "db", "tcp": 70000},
        {"source": "web", "destination": "db", "tcp": 80, "udp": 80},
        {"source": "web", "destination": "db", "size": -1},
        {"source": "web", "destination": 5},
        {"source": "", "destination": "db"},
        {"source": "web", "destination": "db", "more": 1},
    ],
)
async def test_what_is_no_question(api: Client, body: Any) -> None:
    answer = await api("POST", "/pileus/v1/traces", body)
    assert answer.status == 400
    assert answer["error"]["message"]


async def test_who_may_ask(land: Land, api: Client) -> None:
    body = {"source": "web", "destination": "db"}
    assert (await api("POST", "/pileus/v1/traces", body, token=None)).status == 401
    assert (await land("POST", "/pileus/v1/traces", body, token="admin")).status == 200
    await api.member("project-alice", "ray", "reader")
    assert (await land("POST", "/pileus/v1/traces", body, token="ray")).status == 403
    await api.member("project-bob", "bob")
    for source, target in (("web", "db"), (land.ports["web"], "outside"), ("10.0.2.5", "10.0.2.6")):
        answer = await land("POST", "/pileus/v1/traces", {"source": source, "destination": target}, token="bob")
        assert answer.status == 404, answer.text
    assert (await land("POST", "/pileus/v1/mends", {"kind": "port", "id": land.ports["web"]}, token="bob")).status == 404
    assert (await land("POST", "/pileus/v1/mends", {"kind": "port", "id": land.ports["web"]}, token="ray")).status == 403
    assert (await land("POST", "/pileus/v1/mends", {"kind": "wire", "id": None})).status == 400


async def test_of_a_stranger_nothing_is_told(land: Land, app: App, api: Client) -> None:
    bob = await Land(app, api, "bob").build("10.0.2.0/24")
    wish = {"floating_network_id": bob.public, "port_id": bob.ports["web"]}
    address = (await bob.made(f"{N}/floatingips", {"floatingip": wish}))["floating_ip_address"]
    await app.loop.settle()
    told = await land.why("web", address, tcp=80)
    assert told["verdict"]["passes"] is None
    assert "lan-bob" not in json.dumps(told)
    assert bob.ports["web"] not in json.dumps(told)
    assert (await bob.why("outside", "web", tcp=80))["verdict"]["passes"] is True
    answer = await land("POST", "/pileus/v1/traces", {"source": "10.0.2.5", "destination": "10.0.2.6"}, token="admin")
    assert answer.status == 409, "an admin sees two of each"


async def test_the_rows_say_what_is_wrong(land: Land) -> None:
    assert await land.cause("web", "db", tcp=22) == "no-ingress-rule"
    assert await land.cause("outside", "web", tcp=80) == "no-floating-ip"
    assert await land.cause("web", "10.0.2.77") == "nobody"
    assert await land.cause("web", "db", size=1451) == "mtu"
    await land("PUT", f"{N}/ports/{land.ports['db']}", {"port": {"admin_state_up": False}})
    await land.app.loop.settle()
    assert await land.cause("web", "db") == "port-down"
    assert await land.cause("db", "web") == "port-down"
    await land("PUT", f"{N}/routers/{land.router}", {"router": {"admin_state_up": False}})
    await land.app.loop.settle()
    assert await land.cause("web", "outside") == "router-down"


async def test_the_mend_names_things_as_a_shell_takes_them(land: Land) -> None:
    answer = await land("PUT", f"{N}/security-groups/{land.group}", {"security_group": {"name": "two words; rm"}})
    assert answer.status == 200
    verdict = (await land.why("web", "db", udp=53))["verdict"]
    assert verdict["mend"] == ["openstack security group rule create --ingress --protocol udp --dst-port 53 'two words; rm'"]
    await land.made(f"{N}/security-groups", {"security_group": {"name": "two words; rm"}})
    verdict = (await land.why("web", "db", udp=53))["verdict"]
    assert verdict["mend"][0].endswith(f" {land.group}"), "a name that two have is none"


async def test_what_guests_say(land: Land) -> None:
    own = Heard(answers=frozenset({"10.0.2.5", "10.0.2.6"}), reply="refused")
    land.net.put_heard(land.ports["db"], own)
    told = (await land.why("web", "db", tcp=80))["verdict"]
    assert (told["cause"], "not to blame" in told["words"]) == ("service", True)
    land.net.put_heard(land.ports["db"], Heard(answers=frozenset({"10.0.2.99"})))
    told = (await land.why("web", "db", tcp=80))["verdict"]
    assert (told["cause"], "10.0.2.99" in told["words"]) == ("guest-address", True)
    land.net.put_heard(land.ports["db"], Heard())
    assert await land.cause("web", "db", tcp=80) == "guest-silent"
    await land("PUT", f"{N}/subnets/{land.subnet}", {"subnet": {"enable_dhcp": False}})
    assert await land.cause("web", "db", tcp=80) == "dhcp-off"
    land.net.put_heard(land.ports["db"], Heard(answers=frozenset({"10.0.2.6"}), reply="prohibited"))
    assert await land.cause("web", "db", tcp=80) == "guest-firewall"


async def test_somebodys_hand_on_the_host_and_its_mending(land: Land) -> None:
    land.net.put_flaw(land.ports["db"], "chain in_x has 0 rules in place of 2")
    verdict = (await land.why("web", "db"))["verdict"]
    assert (verdict["cause"], verdict["mend"]) == ("drift", [f"pileus mend port {land.ports['db']}"])
    assert "0 rules in place of 2" in verdict["words"]
    told = (await land("POST", "/pileus/v1/mends", {"kind": "port", "id": land.ports["db"]}))["mend"]
    assert (told["found"], told["left"]) == (["chain in_x has 0 rules in place of 2"], [])
    assert (await land.why("web", "db"))["verdict"]["passes"] is True
    place = f"{land.network}/{land.ports['db'][:11]}"
    assert land.app.fake
    del land.app.fake.part("ports")[place]
    verdict = (await land.why("web", "db"))["verdict"]
    assert (verdict["cause"], len(verdict["mend"])) == ("drift", 2), verdict
    told = (await land("POST", "/pileus/v1/mends", {"kind": "port", "id": land.ports["db"]}))["mend"]
    assert "make_tap" in told["found"]
    assert (await land.why("web", "db"))["verdict"]["passes"] is True


@pytest.mark.parametrize(("kind", "id"), [("server", "x"), ("port", None), ("wire", "x"), (5, "x")])
async def test_what_cannot_be_mended(api: Client, kind: Any, id: Any) -> None:
    answer = await api("POST", "/pileus/v1/mends", {"kind": kind, "id": id})
    assert answer.status == (200 if kind == "wire" else 400)


async def test_a_server_that_is_off(land: Land) -> None:
    server = (await land("GET", "/compute/v2.1/servers?name=db"))["servers"][0]["id"]
    await land("POST", f"/compute/v2.1/servers/{server}/action", {"os-stop": None})
    await land.app.loop.settle()
    verdict = (await land.why("web", "db"))["verdict"]
    assert (verdict["cause"], verdict["mend"]) == ("server-stopped", ["openstack server start db"])


async def test_names(land: Land) -> None:
    name = "host-10-0-2-6.openstacklocal"
    assert (await land.why("web", name))["verdict"]["passes"] is True
    assert await land.cause("web", "host-10-0-2-99.openstacklocal") == "dns-name"
    assert await land.cause("web", "www.example.org") == "dns-upstream"
    for servers, cause, mended in (
        (["10.0.2.77"], "dns-server", "openstack subnet unset --dns-nameserver 10.0.2.77 sub"),
        (["0.0.0.0"], "dns-none", "openstack subnet set --no-dns-nameservers sub"),
    ):
        await land("PUT", f"{N}/subnets/{land.subnet}", {"subnet": {"dns_nameservers": servers}})
        verdict = (await land.why("web", name))["verdict"]
        assert (verdict["cause"], verdict["mend"][0]) == (cause, mended)
    await land("PUT", f"{N}/subnets/{land.subnet}", {"subnet": {"dns_nameservers": ["10.0.2.77", "192.0.2.53"]}})
    told = await land.why("web", name)
    assert told["verdict"]["passes"] is True, "the second server does"
    assert "differs" in {hop["mark"] for hop in told["hops"]}


async def test_ipv6(land: Land) -> None:
    wish = {"name": "six", "network_id": land.network, "ip_version": 6, "cidr": "fd00:2::/64"}
    subnet = (await land.made(f"{N}/subnets", {"subnet": wish}))["id"]
    for name, last in (("web", 5), ("db", 6)):
        fixed = [{"ip_address": f"10.0.2.{last}"}, {"subnet_id": subnet, "ip_address": f"fd00:2::{last}"}]
        assert (await land("PUT", f"{N}/ports/{land.ports[name]}", {"port": {"fixed_ips": fixed}})).status == 200
    await land.app.loop.settle()
    assert await land.cause("fd00:2::5", "fd00:2::6") == "no-ingress-rule"
    verdict = (await land.why("fd00:2::5", "fd00:2::6"))["verdict"]
    assert verdict["mend"] == ["openstack security group rule create --ingress --ethertype IPv6 --protocol ipv6-icmp open"]
    await land.rule(protocol="ipv6-icmp", ethertype="IPv6")
    await land.app.loop.settle()
    assert (await land.why("web", "fd00:2::6"))["verdict"]["passes"] is True
    assert await land.cause("10.0.2.5", "fd00:2::6") == "version"


async def test_the_control_plane_is_still_at_it(land: Land, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pileus.network.live.tracer.PATIENCE", 0.3)
    assert land.app.fake
    del land.app.fake.part("ports")[f"{land.network}/{land.ports['db'][:11]}"]
    land.app.loop.reasons["port", land.ports["db"]] = "the host is slow today"
    verdict = (await land.why("web", "db"))["verdict"]
    assert (verdict["cause"], "slow today" in verdict["words"]) == ("in-flight", True)
    land.app.loop.reasons.clear()
    assert await land.cause("web", "db") == "drift"


async def test_a_port_that_a_trunk_carries(land: Land) -> None:
    other = (await land.made(f"{N}/networks", {"network": {"name": "vlan"}}))["id"]
    wish = {"network_id": other, "ip_version": 4, "cidr": "10.0.7.0/24"}
    await land.made(f"{N}/subnets", {"subnet": wish})
    ports = []
    for last, name in ((5, "inner"), (6, "peer")):
        wish = {"name": name, "network_id": other, "fixed_ips": [{"ip_address": f"10.0.7.{last}"}], "security_groups": [land.group]}
        ports.append((await land.made(f"{N}/ports", {"port": wish}))["id"])
    body = {
        "name": "t",
        "port_id": land.ports["web"],
        "sub_ports": [{"port_id": ports[0], "segmentation_type": "vlan", "segmentation_id": 7}],
    }
    trunk = (await land.made(f"{N}/trunks", {"trunk": body}))["id"]
    await land.app.loop.settle()
    told = await land.why("inner", "peer")
    assert told["hops"][0]["name"] == "web", "the server of the port that carries it"
    assert told["verdict"]["cause"] == "unbound"
    await land("PUT", f"{N}/trunks/{trunk}", {"trunk": {"admin_state_up": False}})
    await land.app.loop.settle()
    verdict = (await land.why("inner", "peer"))["verdict"]
    assert (verdict["cause"], verdict["mend"]) == ("trunk-down", ["openstack network trunk set --enable t"])


async def test_a_rule_for_ranges_that_have_a_name(land: Land) -> None:
    assert (await land("DELETE", f"{N}/security-group-rules/{land.tcp}")).status == 204
    ranges = (await land.made(f"{N}/address-groups", {"address_group": {"name": "offices", "addresses": ["10.9.0.0/16"]}}))["id"]
    await land.rule(protocol="tcp", port_range_min=80, port_range_max=80, remote_address_group_id=ranges)
    await land.app.loop.settle()
    verdict = (await land.why("web", "db", tcp=80))["verdict"]
    assert (verdict["cause"], verdict["mend"]) == ("remote-group", ["openstack address group set --address 10.0.2.5/32 offices"])
    answer = await land("PUT", f"{N}/address-groups/{ranges}/add_addresses", {"addresses": ["10.0.2.5/32"]})
    assert answer.status == 200
    await land.app.loop.settle()
    assert (await land.why("web", "db", tcp=80))["verdict"]["passes"] is True


async def test_a_stateless_group_does_not_know_answers(land: Land) -> None:
    group = (await land.made(f"{N}/security-groups", {"security_group": {"name": "bare", "stateful": False}}))["id"]
    land.group = group
    await land.rule(protocol="tcp", port_range_min=80, port_range_max=80)
    await land("PUT", f"{N}/ports/{land.ports['web']}", {"port": {"security_groups": [group]}})
    await land.app.loop.settle()
    told = await land.why("web", "db", tcp=80)
    verdict = told["verdict"]
    assert (verdict["cause"], told["hops"][-1]["way"]) == ("stateless", "back")
    assert verdict["mend"] == [
        "openstack security group rule create --ingress --protocol tcp --dst-port 1024:65535 --remote-ip 10.0.2.6/32 bare"
    ]


async def test_there_is_no_proxy_without_packets(api: Client) -> None:
    assert (await api("GET", "/pileus/v1/socks"))["socks"] == {"port": 0}
    assert (await api("PUT", "/pileus/v1/socks", {"port": 1080})).status == 409
    assert (await api("PUT", "/pileus/v1/socks", {"port": 0}))["socks"] == {"port": 0}
    for bad in (-1, 65536, True, "1080", None):
        assert (await api("PUT", "/pileus/v1/socks", {"port": bad})).status == 400
    await api.member("project-alice", "alice")
    assert (await api("PUT", "/pileus/v1/socks", {"port": 0}, token="alice")).status == 403
