"""What rows want of the host: wants out of tables. Not here: what the host has (a driver tells) and what is done about it (plan.py)."""

from __future__ import annotations

import ipaddress
import json
from typing import Literal

from pileus.kit.loop import Key
from pileus.kit.store import Row, Store
from pileus.network.host import (
    METADATA6,
    Carrier,
    Chains,
    Floating,
    Forwarding,
    GroupWant,
    Leg,
    Members,
    Neighbour,
    NetworkWant,
    Pair,
    Part,
    PortWant,
    Route,
    RouterWant,
    Rule,
)
from pileus.network.reconcile.quality import paces_of, quality_of
from pileus.network.types.rules import PROTOCOLS, number_of

INTERFACE, GATEWAY, PLACE, FOOT = "network:router_interface", "network:router_gateway", "network:floatingip", "network:dhcp"
FEET = (FOOT, "network:distributed")  # ports whose addresses are the host's own on a network
LEGS = (INTERFACE, GATEWAY)
SUB_PORT = "trunk:subport"  # owner of a port that another one carries
OUTSIDE_MAX = 112  # length of a prefix in which the last address is the outside host's; in a smaller one it may be needed
WIRE = "public"  # the physical network that the outside host is on
# a port that a guest is bound to, unless the router's or the network's own
BOUND = "p.gone = 0 AND p.device_id <> '' AND p.device_owner NOT LIKE 'network:%'"


def is_bound(port: Row) -> bool:
    return bool(not port["gone"] and port["device_id"] and not port["device_owner"].startswith("network:"))


def network_want(store: Store, row: Row) -> NetworkWant:
    subnets = store.find("subnet", {"network_id": row["id"]}, order="id")
    feet = store.query(
        "SELECT f.subnet_id, f.ip_address FROM fixed_ip f JOIN port p ON p.id = f.port_id"
        " WHERE f.network_id = ? AND p.gone = 0 AND p.device_owner IN (?, ?) ORDER BY f.ip_address",
        row["id"],
        *FEET,
    )
    lengths = {subnet["id"]: _length(subnet) for subnet in subnets}
    have = {foot["subnet_id"] for foot in feet}
    own = [f"{foot['ip_address']}/{lengths[foot['subnet_id']]}" for foot in feet if foot["subnet_id"] in lengths]
    if has_ipv6(store, row["id"]):
        own.append(f"{METADATA6}/64")
    return NetworkWant(
        id=row["id"],
        gone=bool(row["gone"]),
        up=bool(row["admin_state_up"]),
        mtu=row["mtu"],
        addresses=tuple(own),
        on_link=tuple(subnet["cidr"] for subnet in subnets if subnet["ip_version"] == 4 and subnet["id"] not in have),
        uplink=row["physical_network"] == WIRE,
        outside=_outside(store, row["id"], subnets) if row["physical_network"] == WIRE and row["admin_state_up"] else (),
    )


def _outside(store: Store, network_id: str, subnets: list[Row]) -> tuple[str, ...]:
    """The outside host in IPv6, which nobody translates: its place in the public network's subnets, and where routers' networks are."""
    found: list[str] = []
    for subnet in subnets:
        cidr = ipaddress.ip_network(subnet["cidr"])
        if cidr.version == 6 and cidr.prefixlen <= OUTSIDE_MAX:
            found.append(f"{cidr[-1]}/{cidr.prefixlen}")
    if found:
        ways = store.query(
            "SELECT DISTINCT s.cidr, (SELECT g.ip_address FROM fixed_ip g JOIN subnet o ON o.id = g.subnet_id"
            " WHERE g.port_id = r.gateway_port_id AND o.ip_version = 6 ORDER BY g.position LIMIT 1) AS way"
            " FROM router r JOIN port p ON p.device_id = r.id AND p.device_owner = ? AND p.gone = 0"
            " JOIN fixed_ip f ON f.port_id = p.id JOIN subnet s ON s.id = f.subnet_id AND s.ip_version = 6"
            " WHERE r.gateway_network_id = ? AND r.gone = 0 ORDER BY s.cidr, r.rowid",
            INTERFACE,
            network_id,
        )
        found += {way["cidr"]: f"{way['cidr']} via {way['way']}" for way in reversed(ways) if way["way"]}.values()
    return tuple(sorted(found, key=lambda item: (" via " in item, item)))


def has_ipv6(store: Store, network_id: str) -> bool:
    return bool(store.find("subnet", {"network_id": network_id, "ip_version": 6}, limit=1))


def _length(subnet: Row) -> int:
    return ipaddress.ip_network(subnet["cidr"]).prefixlen


# -- ports --------------------------------------------------------------------------------------------------------------------


def port_want(store: Store, row: Row) -> PortWant:
    network = store.get("network", row["network_id"], hidden=True)
    groups = store.query(
        "SELECT g.id, g.stateful FROM port_security_group b JOIN security_group g ON g.id = b.security_group_id"
        " WHERE b.port_id = ? AND g.gone = 0 ORDER BY g.id",
        row["id"],
    )
    pairs = json.loads(row["allowed_address_pairs"])
    carrier, carried = _carrier(store, row)
    return PortWant(
        id=row["id"],
        gone=bool(row["gone"]),
        network_id=row["network_id"],
        tap=is_bound(row) and carried,
        up=bool(row["admin_state_up"]),
        mac=row["mac_address"],
        mtu=network["mtu"] if network else 1450,
        addresses=tuple(addresses_of(store, row["id"])),
        pairs=tuple(sorted(Pair(pair["ip_address"], pair.get("mac_address") or row["mac_address"]) for pair in pairs)),
        secure=bool(row["port_security_enabled"]),
        groups=tuple(group["id"] for group in groups),
        stateful=all(group["stateful"] for group in groups),
        noted=noted(store, row),
        carrier=carrier,
        quality=quality_of(store, row["qos_policy_id"] or (network["qos_policy_id"] if network else None)),
    )


def noted(store: Store, row: Row) -> tuple[str, ...]:
    """What is to be noted down of a port's packets."""
    events = {log["event"] for log in logs_of(store, row)}
    return tuple(event for event in ("ACCEPT", "DROP") if events & {event, "ALL"})


def logs_of(store: Store, port: Row) -> list[Row]:
    """The logs that are kept of a port: by its own name, by that of a group it is in, or of all of its project."""
    return store.query(
        "SELECT * FROM network_log l WHERE enabled = 1 AND coalesce(target_id, :port) = :port AND CASE WHEN resource_id IS NULL"
        " THEN target_id = :port OR project_id = :project ELSE resource_id IN"
        " (SELECT security_group_id FROM port_security_group WHERE port_id = :port) END",
        port=port["id"],
        project=port["project_id"],
    )


def is_noted(store: Store, network_id: str) -> bool:
    """Whether a log is kept of any port on a network."""
    if not store.first("network_log", {"enabled": 1}):
        return False
    return any(logs_of(store, port) for port in store.find("port", {"network_id": network_id}))


def _carrier(store: Store, row: Row) -> tuple[Carrier | None, bool]:
    """The port that carries a port, and whether there is anything to be carried: a guest at its other end, and a trunk that is enabled."""
    if row["device_owner"] != SUB_PORT:
        return None, True
    found = store.query(
        "SELECT p.*, s.segmentation_id, t.admin_state_up AS enabled FROM sub_port s JOIN trunk t ON t.id = s.trunk_id"
        " JOIN port p ON p.id = t.port_id WHERE s.port_id = ?",
        row["id"],
    )
    if not found:
        return None, False
    parent = found[0]
    carrier = Carrier(parent["id"], parent["network_id"], parent["segmentation_id"])
    return carrier, bool(is_bound(parent) and parent["enabled"])


def carried_by(store: Store, port_id: str) -> list[str]:
    """The ports that a port carries."""
    sql = "SELECT s.port_id FROM sub_port s JOIN trunk t ON t.id = s.trunk_id WHERE t.port_id = ? ORDER BY s.port_id"
    return [row["port_id"] for row in store.query(sql, port_id)]


def port_status(store: Store, want: PortWant) -> str:
    """What a port on which nothing is left to be done is: a guest's frames pass, or they do not."""
    network = store.get("network", want.network_id)
    up = want.tap and want.up and not want.gone and network and network["admin_state_up"]
    return "ACTIVE" if up else "DOWN"


def addresses_of(store: Store, port_id: str) -> list[str]:
    return [ip["ip_address"] for ip in store.find("fixed_ip", {"port_id": port_id}, order="position")]


# -- security groups -------------------------------------------------------------------------------------------------------------


def group_want(store: Store, row: Row) -> GroupWant:
    id = row["id"]
    if row["gone"]:
        return GroupWant(id=id, gone=True)
    rules = rules_of(store, id)
    remotes = sorted({rule.group for rule in rules if rule.group})
    members = {group: Members(group=group, prefixes=members_of(store, group)) for group in {id, *remotes}}
    parts: dict[str, list[Part]] = {}
    for network in _networks_with(store, "b.security_group_id = ?", id):
        parts[network] = [*(members[group] for group in remotes), Chains(group=id, rules=rules)]
    refer = "b.security_group_id IN (SELECT security_group_id FROM security_group_rule WHERE remote_group_id = ?)"
    for network in _networks_with(store, refer, id):
        here = parts.setdefault(network, [])
        if members[id] not in here:
            here.insert(0, members[id])
    return GroupWant(id=id, parts={network: tuple(found) for network, found in parts.items()})


def address_group_want(store: Store, id: str) -> GroupWant:
    """The addresses of an address group, wherever rules name it. It is kept on a host as a security group's members are."""
    if store.get("address_group", id) is None:
        return GroupWant(id=id, gone=True)
    members = Members(group=id, prefixes=members_of(store, id))
    refer = "b.security_group_id IN (SELECT security_group_id FROM security_group_rule WHERE remote_address_group_id = ?)"
    return GroupWant(id=id, parts=dict.fromkeys(_networks_with(store, refer, id), (members,)))


def named_by(store: Store, group: str) -> frozenset[Key]:
    """The other groups, of both kinds, that a security group's rules name."""
    found = store.find("security_group_rule", {"security_group_id": group})
    others = {("security_group", row["remote_group_id"]) for row in found} - {("security_group", group)}
    return frozenset(key for key in others | {("address_group", row["remote_address_group_id"]) for row in found} if key[1])


def _networks_with(store: Store, which: str, group: str) -> list[str]:
    """Networks with a guarded guest's port in groups of a kind."""
    sql = "SELECT DISTINCT p.network_id FROM port_security_group b JOIN port p ON p.id = b.port_id"
    rows = store.query(f"{sql} WHERE {which} AND {BOUND} AND p.port_security_enabled = 1 ORDER BY p.network_id", group)
    return [row["network_id"] for row in rows]


def rules_of(store: Store, group: str) -> tuple[Rule, ...]:
    found = store.find("security_group_rule", {"security_group_id": group})
    return tuple(sorted({rule for row in found if (rule := _rule(row)) is not None}))


def _rule(row: Row) -> Rule | None:
    version: Literal[4, 6] = 4 if row["ethertype"] == "IPv4" else 6
    protocol = _number(row["protocol"], version)
    if protocol is None:
        return None
    low, high = (-1 if row[name] is None else int(row[name]) for name in ("port_range_min", "port_range_max"))
    prefix = str(ipaddress.ip_network(row["remote_ip_prefix"], strict=False)) if row["remote_ip_prefix"] else ""
    return Rule(
        direction=row["direction"],
        version=version,
        protocol=protocol,
        low=low,
        high=high,
        prefix=prefix,
        group=row["remote_group_id"] or row["remote_address_group_id"] or "",
    )


def _number(protocol: str | None, version: int) -> int | None:
    """A protocol as a host has it; None when nobody knows this name, which then lets nothing pass."""
    number = number_of(protocol or "0")
    if number == 0:
        return -1  # IP itself, by whatever name: all, as iptables has it
    return 58 if version == 6 and number == 1 else number  # under IPv6 `icmp` is taken for ICMPv6, as Neutron does


def members_of(store: Store, group: str) -> tuple[str, ...]:
    """Addresses and allowed address pairs of a group's ports, in all networks; of an address group, what it lists."""
    rows = store.query(
        "SELECT f.ip_address AS prefix FROM port_security_group b JOIN fixed_ip f ON f.port_id = b.port_id"
        " WHERE b.security_group_id = ?1 UNION SELECT j.value ->> 'ip_address' FROM port_security_group b"
        " JOIN port p ON p.id = b.port_id, json_each(p.allowed_address_pairs) j WHERE b.security_group_id = ?1"
        " UNION SELECT j.value FROM address_group a, json_each(a.addresses) j WHERE a.id = ?1",
        group,
    )
    return tuple(sorted(row["prefix"] for row in rows))


# -- routers --------------------------------------------------------------------------------------------------------------------


def router_want(store: Store, row: Row) -> RouterWant:
    if row["gone"]:
        return RouterWant(id=row["id"], gone=True)
    floating, forwardings = _floating(store, row["id"]), _forwardings(store, row["id"])
    legs = _legs(store, row["id"], sorted({*(item.address for item in floating), *(item.address for item in forwardings)}))
    gateway, snat = _gateway(store, row)
    routes = [Route(str(ipaddress.ip_network(r["destination"])), r["nexthop"]) for r in json.loads(row["routes"])]
    inside = [leg.network_id for leg in legs]
    by_network = {leg.network_id: leg.port_id for leg in legs}
    neighbours = store.query(
        f"SELECT p.network_id, p.mac_address, f.ip_address FROM port p JOIN fixed_ip f ON f.port_id = p.id WHERE {BOUND}"  # noqa: S608
        f" AND p.port_security_enabled = 1 AND p.network_id IN ({', '.join('?' * len(inside))})",
        *inside,
    )
    return RouterWant(
        id=row["id"],
        up=bool(row["admin_state_up"]) and row["scheduled"] != 0,
        legs=tuple(legs),
        routes=tuple(sorted(gateway + routes)),
        snat=snat if row["enable_snat"] else "",
        floating=tuple(floating),
        forwardings=tuple(forwardings),
        paces=paces_of(store, row),
        neighbours=tuple(sorted(Neighbour(by_network[n["network_id"]], n["ip_address"], n["mac_address"]) for n in neighbours)),
    )


def _floating(store: Store, router_id: str) -> list[Floating]:
    rows = store.find("floating_ip", {"router_id": router_id})
    return sorted(Floating(row["floating_ip_address"], row["fixed_ip_address"]) for row in rows if row["port_id"])


def _forwardings(store: Store, router_id: str) -> list[Forwarding]:
    rows = store.query(
        "SELECT f.floating_ip_address, p.* FROM port_forwarding p JOIN floating_ip f ON f.id = p.floating_ip_id WHERE f.router_id = ?",
        router_id,
    )
    return sorted(
        Forwarding(
            address=row["floating_ip_address"],
            protocol=PROTOCOLS[row["protocol"]],
            low=row["external_low"],
            high=row["external_high"],
            fixed=row["internal_ip_address"],
            fixed_low=row["internal_low"],
            fixed_high=row["internal_high"],
        )
        for row in rows
    )


def _legs(store: Store, router_id: str, floating: list[str]) -> list[Leg]:
    found: list[Leg] = []
    for port in store.find("port", {"device_id": router_id, "device_owner": LEGS}, order="id"):
        network = store.get("network", port["network_id"])
        if network is None:
            continue
        ips = store.query(
            "SELECT f.ip_address, s.cidr FROM fixed_ip f JOIN subnet s ON s.id = f.subnet_id WHERE f.port_id = ? ORDER BY f.position",
            port["id"],
        )
        addresses = [f"{ip['ip_address']}/{_length(ip)}" for ip in ips]
        external = port["device_owner"] == GATEWAY
        if external:
            addresses += [f"{address}/32" for address in floating]
        found.append(
            Leg(
                port_id=port["id"],
                network_id=port["network_id"],
                mac=port["mac_address"],
                mtu=network["mtu"],
                external=external,
                up=bool(port["admin_state_up"]),
                addresses=tuple(addresses),
            )
        )
    return found


def advertising(store: Store, row: Row) -> set[str]:
    """The legs (ports) that a router is to advertise itself on: those in a subnet whose hosts look to a router of ours for that."""
    if row["gone"] or not row["admin_state_up"]:
        return set()
    found = store.query(
        "SELECT DISTINCT p.id FROM port p JOIN fixed_ip f ON f.port_id = p.id JOIN subnet s ON s.id = f.subnet_id"
        " WHERE p.device_id = ? AND p.device_owner = ? AND p.gone = 0 AND p.admin_state_up = 1 AND s.ipv6_ra_mode IS NOT NULL",
        row["id"],
        INTERFACE,
    )
    return {leg["id"] for leg in found}


def _gateway(store: Store, row: Row) -> tuple[list[Route], str]:
    """(default routes, the address that tenants' packets leave with)"""
    if not row["gateway_port_id"]:
        return [], ""
    ips = store.query(
        "SELECT f.ip_address, s.gateway_ip, s.ip_version FROM fixed_ip f JOIN subnet s ON s.id = f.subnet_id"
        " JOIN port p ON p.id = f.port_id WHERE f.port_id = ? AND p.gone = 0 ORDER BY f.position",
        row["gateway_port_id"],
    )
    anywhere = {4: "0.0.0.0/0", 6: "::/0"}
    routes = {ip["ip_version"]: Route(anywhere[ip["ip_version"]], ip["gateway_ip"]) for ip in reversed(ips) if ip["gateway_ip"]}
    return list(routes.values()), next((ip["ip_address"] for ip in ips if ip["ip_version"] == 4), "")
