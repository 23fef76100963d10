"""What QoS policies come down to for a host. A port's own policy goes before its network's.

A minimum is kept nowhere: the one switch there is has no capacity that could be shared out.
"""

from __future__ import annotations

from pileus.kit.store import Row, Store
from pileus.network.host import Limit, Pace, Quality

LEAST_BURST, MOST_BURST = 128, 65_534  # kilobits: room for a few packets of 1500 bytes; what a host can keep apart
LEAST_PACKETS = 5
SHARE = 10  # a burst that nobody named is what a tenth of a second brings: traffic is delayed and not dropped, so that more is no use


def quality_of(store: Store, policy_id: str | None) -> Quality:
    """What a policy asks of a port."""
    if not policy_id:
        return Quality()
    rules = {(rule["type"], rule["direction"]): rule for rule in store.find("qos_rule", {"qos_policy_id": policy_id})}
    mark = rules.get(("dscp_marking", None))
    return Quality(
        egress=_bandwidth(rules.get(("bandwidth_limit", "egress"))),
        ingress=_bandwidth(rules.get(("bandwidth_limit", "ingress"))),
        packets_out=_packets(rules.get(("packet_rate_limit", "egress"))),
        packets_in=_packets(rules.get(("packet_rate_limit", "ingress"))),
        dscp=mark["dscp_mark"] if mark else None,
    )


def paces_of(store: Store, router: Row) -> tuple[Pace, ...]:
    """What is asked of a router's floating IPs and of its gateway."""
    found = [("", router["qos_policy_id"])]
    floating = store.find("floating_ip", {"router_id": router["id"]}, order="fixed_ip_address")
    found += [(row["fixed_ip_address"], row["qos_policy_id"]) for row in floating if row["port_id"]]
    wanted = [(fixed, quality_of(store, policy)) for fixed, policy in found]
    return tuple(Pace(fixed=fixed, egress=q.egress, ingress=q.ingress) for fixed, q in wanted if q.egress or q.ingress)


def _bandwidth(rule: Row | None) -> Limit | None:
    """A rate of 0 is no limit, as for tc in Neutron."""
    if rule is None or not rule["max_kbps"]:
        return None
    burst = rule["max_burst_kbps"] or rule["max_kbps"] // SHARE
    return Limit(rule["max_kbps"], min(max(burst, LEAST_BURST), MOST_BURST))


def _packets(rule: Row | None) -> Limit | None:
    if rule is None or not rule["max_kpps"]:
        return None
    rate = rule["max_kpps"] * 1000
    return Limit(rate, max(rule["max_burst_kpps"] * 1000 or rate // SHARE, LEAST_PACKETS))
