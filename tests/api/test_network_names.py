"""Names of ports, networks and floating IPs in DNS."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.network import N, error, make, new_client, public, show, subnet
from tests.conftest import Client


@pytest.fixture
def net() -> Client:
    return new_client()


async def test_a_ports_name(net: Client) -> None:
    network = (await subnet(net, "10.0.2.0/24"))["network_id"]
    plain = await make(net, "ports", network_id=network)
    assert not {"dns_name", "dns_assignment"} & plain.keys(), "of a port without a name nothing is said"
    port = await make(net, "ports", network_id=network, dns_name="Web")
    ip = port["fixed_ips"][0]["ip_address"]
    assert port["dns_name"] == "web"
    assert port["dns_assignment"] == [{"ip_address": ip, "hostname": "web", "fqdn": "web.openstacklocal."}]
    listed = await net("GET", f"{N}/ports?dns_name=web&fields=id", token="alice")
    assert listed["ports"] == [{"id": port["id"]}]
    changed = await net("PUT", f"{N}/ports/{port['id']}", {"port": {"dns_name": "mail.openstacklocal."}}, token="alice")
    assert changed["port"]["dns_assignment"][0]["fqdn"] == "mail.openstacklocal."
    changed = await net("PUT", f"{N}/ports/{port['id']}", {"port": {"dns_name": ""}}, token="alice")
    assert "dns_name" not in changed["port"]


async def test_domains(net: Client) -> None:
    network = await make(net, "networks", dns_domain="My.Lab.")
    assert network["dns_domain"] == "my.lab."
    assert "dns_domain" not in await make(net, "networks")
    changed = await net("PUT", f"{N}/networks/{network['id']}", {"network": {"dns_domain": ""}}, token="alice")
    assert "dns_domain" not in changed["network"]
    floating = await make(net, "floatingips", floating_network_id=await public(net), dns_name="www", dns_domain="my.lab.")
    assert (floating["dns_name"], floating["dns_domain"]) == ("www", "my.lab.")
    assert (await show(net, "floatingips", floating["id"]))["dns_name"] == "www"


@pytest.mark.parametrize(
    ("what", "values", "words"),
    [
        ("port", {"dns_name": "-x"}, "Name '-x' must not start or end with a hyphen"),
        ("port", {"dns_name": "a..b"}, "Encountered an empty component"),
        ("port", {"dns_name": "a_b"}, "Name 'a_b' must be 1-63 characters long"),
        ("port", {"dns_name": "x" * 64}, "must be 1-63 characters long"),
        ("port", {"dns_name": "a.1"}, "TLD '1' must not be all numeric"),
        ("port", {"dns_name": "a.example.org."}, "Its higher level labels must be equal to the dns_domain"),
        ("port", {"dns_name": "a." * 129}, "exceeds the 255 character FQDN limit"),
        ("port", {"dns_name": 5}, "'5' is not a valid string"),
        ("network", {"dns_domain": "my.lab"}, "'my.lab' is not a FQDN"),
    ],
)
async def test_what_is_no_name(net: Client, what: str, values: dict[str, Any], words: str) -> None:
    more = {"network_id": (await make(net, "networks"))["id"]} if what == "port" else {}
    refused = error(await net("POST", f"{N}/{what}s", {what: {**more, **values}}, token="alice"))
    assert refused[:2] == (400, "HTTPBadRequest")
    assert words in refused[2]


async def test_a_floating_ips_name_has_no_domain(net: Client) -> None:
    body = {"floating_network_id": await public(net), "dns_name": "www.my.lab."}
    refused = error(await net("POST", f"{N}/floatingips", {"floatingip": body}, token="alice"))
    assert "It should be a relative domain name" in refused[2]
