"""What goes with what: the steps by which ports, subnets and associations end, for every verb that ends them.

A removed port stays as a row that is `gone` until the host no longer has it, and holds its addresses until then.
Not here: who may, and what forbids it (the verbs).
"""

from __future__ import annotations

from pileus.kit.context import Context
from pileus.kit.store import Row

AUTO_DELETED = ("network:dhcp",)  # owners of ports that go with their network or subnet


def leave_groups(ctx: Context, port_id: str) -> None:
    """Take a port out of its security groups, which look where they are still needed: nobody may ever have seen that it was in them."""
    for joined in ctx.store.find("port_security_group", {"port_id": port_id}):
        ctx.wake("security_group", joined["security_group_id"])
    ctx.store.delete("port_security_group", {"port_id": port_id})


def remove_port(ctx: Context, port: Row) -> None:
    """Wish a port away: its floating IPs lead nowhere from now on, its groups are free of it."""
    for floating in ctx.store.find("floating_ip", {"port_id": port["id"]}):
        disassociate(ctx, floating)
    remove_forwardings(ctx, {"internal_port_id": port["id"]})
    leave_groups(ctx, port["id"])
    ctx.store.delete("tag", {"resource_id": port["id"]})
    ctx.store.delete("network_log", {"target_id": port["id"]})
    ctx.store.update("port", port["id"], {"gone": 1})
    ctx.wake("port", port["id"])
    if port["device_owner"] in ("network:router_interface", "network:router_gateway") and port["device_id"]:
        ctx.wake("router", port["device_id"])


def remove_subnet(ctx: Context, subnet: Row) -> None:
    """Delete a subnet. Addresses that ports on their way out still hold go with it: the range is no more."""
    ctx.store.delete("fixed_ip", {"subnet_id": subnet["id"]})
    ctx.store.delete("tag", {"resource_id": subnet["id"]})
    ctx.store.delete("subnet", {"id": subnet["id"]})
    ctx.wake("network", subnet["network_id"])


def remove_forwardings(ctx: Context, where: Row) -> None:
    """End port forwardings; a floating IP that forwards nothing any more is on no router."""
    for row in ctx.store.find("port_forwarding", where):
        ctx.store.delete("port_forwarding", {"id": row["id"]})
        floating = ctx.store.get("floating_ip", row["floating_ip_id"])
        if floating and floating["router_id"]:
            ctx.wake("router", floating["router_id"])
            if not ctx.store.find("port_forwarding", {"floating_ip_id": floating["id"]}, limit=1):
                disassociate(ctx, floating)


def disassociate(ctx: Context, floating: Row) -> None:
    """Let a floating IP lead nowhere."""
    changes = {"port_id": None, "fixed_ip_address": None, "router_id": None, "status": "DOWN", "updated_at": ctx.now()}
    ctx.store.update("floating_ip", floating["id"], {**changes, "revision": floating["revision"] + 1})
    if floating["router_id"]:
        ctx.wake("router", floating["router_id"])


def release(ctx: Context, floating: Row) -> None:
    """Give a floating IP back. The address is free when the host no longer has it."""
    disassociate(ctx, floating)
    ctx.store.delete("tag", {"resource_id": floating["id"]})
    ctx.store.delete("floating_ip", {"id": floating["id"]})
    place = ctx.store.get("port", floating["floating_port_id"])
    if place:
        remove_port(ctx, place)
