"""DHCPv6 and router advertisements as bytes: what is malformed, what is nobody's, and options that a port's owner chose."""

from __future__ import annotations

import ipaddress
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.network.live import advertisement, dhcp6
from pileus.network.live.directory import AdvertisedLeg, Lodger

NETWORK = str(uuid.uuid4())
SERVER = dhcp6.server_id(NETWORK)
CLIENT = bytes.fromhex("00030001fa163e010203")
STATEFUL = "dhcpv6-stateful"


def lodger(address: str = "fd00::5", mode: str | None = STATEFUL, ra: str | None = STATEFUL, **port: Any) -> Lodger:
    subnet = {"cidr": "fd00::/64", "ipv6_address_mode": mode, "ipv6_ra_mode": ra, "dns_nameservers": "[]"}
    return Lodger({"dns_name": "", "extra_dhcp_opts": "[]", **port}, address, subnet, 1450, "fe80::a9fe:a9fe")


def message(kind: int, *options: tuple[int, bytes], client: bool = True) -> dhcp6.Message:
    return dhcp6.Message(kind, b"abc", [*([(dhcp6.CLIENT_ID, CLIENT)] if client else []), *options])


@given(st.binary(max_size=200), st.sampled_from([*range(14)]))
def test_no_bytes_are_too_strange(data: bytes, kind: int) -> None:
    for each in (data, bytes([kind]) + data, bytes([kind]) + b"abc" + dhcp6.written([(1, CLIENT), (3, data), (2, SERVER), (25, data)])):
        request = dhcp6.decode(each)
        if request is not None:
            dhcp6.client_mac(request, "fe80::1")
            answer = dhcp6.answer(request, [lodger()], SERVER)
            assert answer is None or dhcp6.read_options(dhcp6.encode(answer)[4:]) is not None


def test_who_asks() -> None:
    request = message(dhcp6.SOLICIT)
    assert dhcp6.client_mac(request, "fe80::f816:3eff:fe99:1") == "fa:16:3e:99:00:01", "the sender's address comes first"
    assert dhcp6.client_mac(request, "fe80::1234") == "fa:16:3e:01:02:03", "then its own name"
    timed = dhcp6.Message(1, b"abc", [(1, bytes.fromhex("00010001deadbeeffa163e010203"))])
    assert dhcp6.client_mac(timed, "fe80::1") == "fa:16:3e:01:02:03"
    assert dhcp6.client_mac(dhcp6.Message(1, b"abc", [(1, b"\0\4" + b"u" * 16)]), "fe80::1") == ""


@pytest.mark.parametrize(
    ("request_", "lodgers"),
    [
        (message(dhcp6.SOLICIT), []),
        (message(dhcp6.SOLICIT), [lodger(mode="slaac", ra="slaac")]),
        (message(dhcp6.SOLICIT, client=False), [lodger()]),
        (message(dhcp6.SOLICIT, (dhcp6.SERVER_ID, SERVER)), [lodger()]),
        (message(dhcp6.REQUEST), [lodger()]),
        (message(dhcp6.RENEW, (dhcp6.SERVER_ID, b"another")), [lodger()]),
        (message(dhcp6.INFORMATION, (dhcp6.SERVER_ID, b"another")), [lodger()]),
        (message(dhcp6.CONFIRM), [lodger()]),
    ],
)
def test_silence(request_: dhcp6.Message, lodgers: list[Lodger]) -> None:
    assert dhcp6.answer(request_, lodgers, SERVER) is None


def test_what_a_subnet_that_says_nothing_means() -> None:
    """Neutron's DHCP agent gives addresses there too."""
    answer = dhcp6.answer(message(dhcp6.SOLICIT, (dhcp6.IA_NA, bytes(12))), [lodger(mode=None, ra=None)], SERVER)
    assert answer
    assert ipaddress.IPv6Address("fd00::5").packed in (answer.get(dhcp6.IA_NA) or b"")


def test_several_addresses_and_what_is_not_given() -> None:
    asks = [(dhcp6.IA_NA, b"\0\0\0\1" + bytes(8)), (dhcp6.IA_TA, b"\0\0\0\2"), (dhcp6.IA_PD, b"\0\0\0\3" + bytes(8))]
    answer = dhcp6.answer(message(dhcp6.SOLICIT, *asks), [lodger(), lodger("fd00::6")], SERVER)
    assert answer
    own = answer.get(dhcp6.IA_NA) or b""
    assert all(ipaddress.IPv6Address(address).packed in own for address in ("fd00::5", "fd00::6"))
    for code, start, status in ((dhcp6.IA_TA, 4, dhcp6.NO_ADDRESSES), (dhcp6.IA_PD, 12, dhcp6.NO_PREFIX)):
        inner = dhcp6.read_options((answer.get(code) or b"")[start:])
        assert inner
        assert inner[0][1][:2] == status.to_bytes(2)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("dns-server", "2001:db8::1,[2001:db8::2]", {23: bytes.fromhex("20010db8" + "0" * 23 + "1" + "20010db8" + "0" * 23 + "2")}),
        ("23", "2001:db8::1", {23: bytes.fromhex("20010db8" + "0" * 23 + "1")}),
        ("domain-search", "a.b", {24: b"\1a\1b\0"}),
        ("bootfile-url", "tftp://[::1]/x", {59: b"tftp://[::1]/x"}),
        ("bootfile-param", "a,bc", {60: b"\0\1a\0\2bc"}),
        ("information-refresh-time", "600", {32: b"\0\0\2\x58"}),
        ("ntp-server", "2001:db8::1", {56: b"\0\1\0\x10" + bytes.fromhex("20010db8" + "0" * 23 + "1")}),
        ("200", "words", {200: b"words"}),
        ("dns-server", "10.0.0.1", {}),
        ("preference", "300", {}),
        ("no-such-name", "x", {}),
        ("1", "x", {}),
        ("13", "x", {}),
        ("70000", "x", {}),
    ],
)
def test_options_that_a_ports_owner_chose(name: str, value: str, found: dict[int, bytes]) -> None:
    assert dhcp6.extra([{"opt_name": name, "opt_value": value, "ip_version": 6}]) == found
    assert dhcp6.extra([{"opt_name": name, "opt_value": value, "ip_version": 4}]) == {}


def test_chosen_options_come_first_and_no_server_may_be_said() -> None:
    chosen = [{"opt_name": "domain-search", "opt_value": "my.lab", "ip_version": 6}]
    answer = dhcp6.answer(message(dhcp6.INFORMATION), [lodger(extra_dhcp_opts=json.dumps(chosen))], SERVER)
    assert answer
    assert answer.get(dhcp6.SEARCH) == b"\2my\3lab\0"
    mute = lodger()
    mute.subnet["dns_nameservers"] = '["::"]'
    answer = dhcp6.answer(message(dhcp6.INFORMATION), [mute], SERVER)
    assert answer
    assert answer.get(dhcp6.NAMESERVERS) is None


def test_an_advertisement() -> None:
    subnet = {"cidr": "fd00::/64", "ipv6_ra_mode": "slaac", "dns_nameservers": '["::"]'}
    leg = AdvertisedLeg("fa:16:3e:01:02:03", 1450, [subnet], ["fe80::a9fe:a9fe"])
    data = advertisement.written(leg, ["fd00:1::/64"])
    assert data[0] == 134
    assert int.from_bytes(data[6:8]) == 9000
    options, offset = [], 16
    while offset < len(data):
        options.append(data[offset])
        offset += data[offset + 1] * 8
    assert offset == len(data), "each option says its length in units of 8"
    assert options == [1, 5, 3, 3], "its MAC, the MTU, the prefix, one that is no more; no resolver, since the subnet has none"
    assert int.from_bytes(advertisement.farewell(leg.mac)[6:8]) == 0
    subnet["dns_nameservers"] = "[]"
    named = advertisement.written(leg)
    assert len(named) % 8 == 0
    assert ipaddress.IPv6Address("fe80::a9fe:a9fe").packed in named
