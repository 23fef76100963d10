"""nft texts and netlink messages without a kernel: what a rule, a guard and a table say; what netlink's bytes mean."""

from __future__ import annotations

import struct
import time
from functools import partial

import pytest

from pileus.drivers.linuxnet import machine, netlink, nfnetlink, nft, router, rtnetlink, rules, translation
from pileus.network.host import Floating, Members, Pair, PortWant, RouterWant, Rule
from pileus.network.reconcile import rows

ALLOWED = {
    "meta nfproto ipv4 accept": Rule(direction="ingress", version=4),
    "meta nfproto ipv6 accept": Rule(direction="egress", version=6, prefix="::/0"),
    "meta nfproto ipv4 ip saddr 10.0.0.0/8 meta l4proto 6 th dport 22 accept": Rule(
        direction="ingress", version=4, protocol=6, low=22, high=22, prefix="10.0.0.0/8"
    ),
    "meta nfproto ipv4 ip daddr 10.0.0.0/8 meta l4proto 17 th dport 1-9 accept": Rule(
        direction="egress", version=4, protocol=17, low=1, high=9, prefix="10.0.0.0/8"
    ),
    "meta nfproto ipv4 meta l4proto 1 icmp type 8 icmp code 0 accept": Rule(direction="ingress", version=4, protocol=1, low=8, high=0),
    "meta nfproto ipv4 meta l4proto 1 icmp type 8 accept": Rule(direction="ingress", version=4, protocol=1, low=8),
    "meta nfproto ipv6 meta l4proto 58 icmpv6 type 128 accept": Rule(direction="ingress", version=6, protocol=58, low=128),
    "meta nfproto ipv6 ip6 saddr @m6_aabb meta l4proto 132 accept": Rule(direction="ingress", version=6, protocol=132, group="aa-bb"),
    "meta nfproto ipv4 meta l4proto 47 accept": Rule(direction="egress", version=4, protocol=47),
}


@pytest.mark.parametrize("text", ALLOWED)
def test_a_rule_in_words(text: str) -> None:
    assert rules.allow(ALLOWED[text]) == text


def test_prefixes_are_put_together() -> None:
    found = rules.collapse(["10.0.2.1", "10.0.2.0/30", "10.0.2.4", "fd00::1", "10.0.2.9/24"], 4)
    assert found == ["10.0.2.0/24"]
    assert rules.collapse(["10.0.2.1", "fd00::1"], 6) == ["fd00::1"]
    assert rules.among("ip saddr", ["0.0.0.0/0"]) == ""


def test_link_local() -> None:
    assert rules.link_local("fa:16:3e:12:34:56") == "fe80::f816:3eff:fe12:3456"


def test_antispoof_knows_whose_pair_is_whose() -> None:
    want = PortWant(
        id="p" * 36, network_id="n", mac="fa:16:3e:00:00:01", addresses=("10.0.2.1",), pairs=(Pair("10.0.2.9", "fa:16:3e:00:00:09"),)
    )
    found = rules.antispoof(want)
    assert "ether saddr fa:16:3e:00:00:01 meta protocol ip ip saddr { 10.0.2.1 } accept" in found
    assert "ether saddr fa:16:3e:00:00:09 meta protocol ip ip saddr { 10.0.2.9 } accept" in found
    assert found[-1] == "drop"
    assert not any("10.0.2.9" in rule and "00:00:01" in rule for rule in found)


def test_a_guard_is_replaced_as_a_whole() -> None:
    want = PortWant(id="p" * 36, network_id="n", mac="fa:16:3e:00:00:01", addresses=("10.0.2.1",), groups=("g-1",))
    new = rules.guard(want, 7)
    assert "delete element" not in new
    assert "from_tapppppppppppp meta mark set 7\n" in new
    assert "to_tapppppppppppp meta mark set 7 accept\n" in new
    assert "jump in_g1\n" in new
    again = rules.guard(want, 8, before="0123456789abcdef 7")
    assert "delete element inet pileus egress { 7 }" in again
    assert "egress { 8 : goto out_tapppppppppppp }" in again
    stateless = rules.guard(PortWant(id="p" * 36, network_id="n", mac="fa:16:3e:00:00:01", stateful=False), 7)
    assert f"ingress {{ {7 + rules.STATELESS} : goto" in stateless
    open_ = rules.guard(PortWant(id="p" * 36, network_id="n", mac="fa:16:3e:00:00:01", secure=False), 7)
    assert f"to_tapppppppppppp meta mark set {rules.OPEN} accept" in open_
    assert "add rule bridge pileus from_tapppppppppppp accept\n" in open_
    assert "inet pileus egress" not in open_


def test_names_fit() -> None:
    """The kernel's limits: 15 characters of a device, 127 of a chain; and part names come back from chains."""
    group = "12345678-1234-1234-1234-123456789abc"
    assert len(rules.tap_name(group)) <= 15
    assert len(router.leg_name(group, external=True)) <= 15
    for kind in ("rules", "members"):
        chain = rules.part_seal(f"{kind}:{group}")
        assert len(chain) < 127
        assert rules.part_name(chain) == f"{kind}:{group}"
    assert rules.part_name("seal_tap12345678-12") is None
    assert rules.part_name("seal") is None


def test_a_router_translates_only_when_told() -> None:
    want = RouterWant(id="r", snat="192.168.37.5", floating=(Floating("192.168.37.10", "10.0.2.1"),))
    words, _ = translation.router_words(want)
    whole = translation.load_router(want, "")
    assert "snat ip to 192.168.37.5" in whole
    assert "add element inet pileus floating { 192.168.37.10 : 10.0.2.1 }" in whole
    assert "delete table" not in translation.load_router(want, words), "a floating IP changes the maps only"
    assert "snat ip to 1" not in translation.load_router(RouterWant(id="r"), "")
    assert translation.router_words(want)[0] == translation.router_words(RouterWant(id="r", snat="192.168.37.5"))[0]


def test_what_is_new_removes_nothing() -> None:
    """The kernel frees what was removed in its own time, and others would wait for it."""
    group = "12345678-1234-1234-1234-123456789abc"
    port = PortWant(id="p" * 36, network_id="n", mac="fa:16:3e:00:00:01", addresses=("10.0.2.1",), groups=(group,))
    for text in (
        rules.load_skeleton(is_new=True),
        rules.guard(port, 7),
        rules.load_part(Members(group=group, prefixes=("10.0.2.1",)), is_new=True),
        translation.load_router(RouterWant(id="r", snat="192.168.37.5"), "", is_new=True),
    ):
        assert "delete" not in text
        assert 'comment "' in text, "it is sealed"
    for text in (
        rules.load_skeleton(),
        rules.guard(port, 7, before="0123456789abcdef 7"),
        rules.load_part(Members(group=group)),
        translation.load_router(RouterWant(id="r"), ""),
    ):
        assert "delete" in text


def test_sockets_are_closed_when_their_namespace_has_been_quiet() -> None:
    closer, closed, begin = nft.Closer(), dict[str, float](), time.monotonic()

    def close(name: str) -> None:
        closed[name] = time.monotonic() - begin

    closer.later("busy", partial(close, "first"))
    closer.later("other", partial(close, "second"))
    time.sleep(nft.QUIET / 2)
    closer.later("busy", partial(close, "third"))
    while len(closed) < 3:
        assert time.monotonic() - begin < 10
        time.sleep(0.01)
    assert closed["first"] >= nft.QUIET * 1.4, "its namespace was used again meanwhile"
    closer.later("busy", partial(close, "last"))
    closer.close()
    assert "last" in closed, "the end waits for nothing"


def test_a_crowd_of_sockets_does_not_wait() -> None:
    closer, closed = nft.Closer(), list[int]()
    for number in range(nft.MOST * 3):
        closer.later("busy", partial(closed.append, number))
    time.sleep(nft.QUIET / 2)
    assert len(closed) >= nft.MOST
    closer.close()
    assert closed == list(range(nft.MOST * 3))


def test_a_protocol_that_nobody_knows_lets_nothing_pass() -> None:
    assert rows._number("nonsense", 4) is None
    assert (rows._number(None, 4), rows._number("ip", 4), rows._number("hopopt", 6), rows._number("0", 4)) == (-1,) * 4
    assert (rows._number("icmp", 4), rows._number("icmp", 6), rows._number("17", 6)) == (1, 58, 17)


def test_large_texts_are_cut_between_lines() -> None:
    members = Members(group="12345678-1234-1234-1234-123456789abc", prefixes=tuple(f"10.{n >> 7}.{n & 127}.1" for n in range(5000)))
    text = rules.load_part(members)
    pieces = machine.chunks(text)
    assert len(pieces) > 1
    assert "".join(pieces) == text
    assert all(len(piece) < 100_000 for piece in pieces)
    assert "seal" in pieces[-1], "the seal comes last"
    assert machine.chunks("") == []


# -- netlink ----------------------------------------------------------------------------------------------------------------------


def test_attributes_there_and_back() -> None:
    data = netlink.attribute(1, "name") + netlink.attribute(2, 5) + netlink.nested(3, netlink.attribute(1, b"x"))
    found = netlink.attributes(data)
    assert netlink.text(found[1]) == "name"
    assert struct.unpack("=I", found[2]) == (5,)
    assert netlink.attributes(found[3]) == {1: b"x"}
    assert netlink.attributes(b"\0\0\0\0") == {}


def test_routes_and_addresses_are_read_as_they_are_written() -> None:
    message = rtnetlink.add_route("10.9.0.0/16", nexthop="10.0.2.9")
    assert rtnetlink.read_route(message.payload) == ("10.9.0.0/16", "10.0.2.9", 0)
    assert rtnetlink.read_route(rtnetlink.add_route("0.0.0.0/0", index=3).payload) == ("0.0.0.0/0", "", 3)
    assert rtnetlink.read_route(rtnetlink.add_route("::/0", nexthop="fd00::1").payload) == ("::/0", "fd00::1", 0)
    assert rtnetlink.read_address(rtnetlink.add_address(4, "10.0.2.1/24").payload) == (4, "10.0.2.1/24")
    assert rtnetlink.read_neighbour(rtnetlink.add_neighbour(4, "10.0.2.1", "fa:16:3e:00:00:01").payload) == (
        4,
        "10.0.2.1",
        "fa:16:3e:00:00:01",
    )


def test_a_flow_is_read() -> None:
    def ends(source: str, target: str, ports: bytes, protocol: int) -> bytes:
        one, two = (bytes(map(int, text.split("."))) for text in (source, target))
        ip = netlink.nested(1, netlink.attribute(1, one), netlink.attribute(2, two))
        return ip + netlink.nested(2, netlink.attribute(1, bytes([protocol])), ports)

    tcp = netlink.attribute(2, struct.pack("!H", 40000)) + netlink.attribute(3, struct.pack("!H", 22))
    origin, reply = ends("192.0.2.1", "192.168.37.10", tcp, 6), ends("10.0.2.1", "192.0.2.1", tcp, 6)
    payload = b"\2\0\0\0" + netlink.nested(1, origin) + netlink.nested(2, reply) + netlink.attribute(12, b"\0\0\0\5")
    flow = nfnetlink._flow(payload, 2)
    assert flow
    assert (flow.protocol, flow.source, flow.target, flow.source_port, flow.target_port) == (6, "192.0.2.1", "192.168.37.10", 40000, 22)
    assert (flow.answer_source, flow.answer_target) == ("10.0.2.1", "192.0.2.1")
    icmp = netlink.attribute(4, b"\0\1") + netlink.attribute(5, b"\x08") + netlink.attribute(6, b"\0")
    origin, reply = ends("10.0.2.1", "10.0.2.2", icmp, 1), ends("10.0.2.2", "10.0.2.1", icmp, 1)
    flow = nfnetlink._flow(b"\2\0\0\0" + netlink.nested(1, origin) + netlink.nested(2, reply), 2)
    assert flow
    assert flow.target_port == 8 * 256
