"""What an admin sees of the machine: hypervisors, services, zones, hosts. Source: https://docs.openstack.org/api-ref/compute/"""

from __future__ import annotations

import json
from typing import Any

from pileus.compute import versions
from pileus.compute.actions import hypervisors
from pileus.compute.api.read import a_bool, strict
from pileus.compute.machine import fact, host_uuid, hostname
from pileus.kit.clock import iso
from pileus.kit.context import Context
from pileus.kit.store import Row
from pileus.kit.web import Request, Response, Route

# -- hypervisors -------------------------------------------------------------------------------------------------------------


def _brief(ctx: Context, servers: list[Row] | None = None) -> Row:
    uuids = ctx.version >= versions.UUIDS
    shown: Row = {"id": host_uuid(ctx) if uuids else 1, "hypervisor_hostname": hostname(ctx), "state": "up", "status": "enabled"}
    if servers:
        shown["servers"] = servers
    return shown


def _detail(ctx: Context, servers: list[Row] | None = None) -> Row:
    number: Any = hypervisors.service_uuid(ctx, "nova-compute") if ctx.version >= versions.UUIDS else 3
    cpu = hypervisors.cpu_info(ctx)
    return {
        **_brief(ctx, servers),
        "hypervisor_type": fact(ctx, "hypervisor_type", "QEMU"),
        "hypervisor_version": fact(ctx, "hypervisor_version", 0),
        "host_ip": fact(ctx, "host_ip", "127.0.0.1"),
        "service": {"id": number, "host": hostname(ctx), "disabled_reason": None},
        **hypervisors.figures(ctx),
        "cpu_info": cpu if ctx.version >= versions.CPU_INFO_OBJECT else json.dumps(cpu),
    }


def _query(request: Request) -> tuple[bool, list[Row] | None]:
    """Whether the host is on this page, and its servers when they are asked for."""
    ctx = request.ctx
    pattern = servers = None
    if ctx.version >= versions.UUIDS:
        strict(request, ("limit", "marker", "hypervisor_hostname_pattern", "with_servers"))
        pattern = request.query.get("hypervisor_hostname_pattern")
    here = hypervisors.check_list(ctx, pattern)
    if ctx.version >= versions.UUIDS and a_bool(request.query.get("with_servers")):
        servers = hypervisors.servers_here(ctx)
    if ctx.version >= versions.PAGED_HYPERVISORS and request.query.get("marker"):
        here = False  # it is the only one, so nothing comes after it
    return here, servers


def list_hypervisors(request: Request) -> Response:
    """The hypervisors in brief: the one there is."""
    here, servers = _query(request)
    return Response(200, {"hypervisors": [_brief(request.ctx, servers)] if here else []})


def list_details(request: Request) -> Response:
    """The hypervisors with all that is known of them."""
    here, servers = _query(request)
    return Response(200, {"hypervisors": [_detail(request.ctx, servers)] if here else []})


def statistics(request: Request) -> Response:
    """The sum over all hypervisors."""
    return Response(200, {"hypervisor_statistics": hypervisors.statistics(request.ctx)})


def show_hypervisor(request: Request) -> Response:
    """One hypervisor."""
    ctx = request.ctx
    hypervisors.check_one(ctx, request.params["id"])
    servers = hypervisors.servers_here(ctx) if ctx.version >= versions.UUIDS and a_bool(request.query.get("with_servers")) else None
    return Response(200, {"hypervisor": _detail(ctx, servers)})


def show_uptime(request: Request) -> Response:
    """How long the control plane's machine has been up, as `uptime` says it."""
    hypervisors.check_one(request.ctx, request.params["id"])
    return Response(200, {"hypervisor": {**_brief(request.ctx), "uptime": fact(request.ctx, "uptime", "")}})


def search(request: Request) -> Response:
    """The hypervisors whose names have this in them."""
    hypervisors.check_list(request.ctx, request.params["id"])
    return Response(200, {"hypervisors": [_brief(request.ctx)]})


def list_servers(request: Request) -> Response:
    """The hypervisors whose names have this in them, with their servers."""
    hypervisors.check_list(request.ctx, request.params["id"])
    return Response(200, {"hypervisors": [_brief(request.ctx, hypervisors.servers_here(request.ctx))]})


# -- services, zones, hosts ----------------------------------------------------------------------------------------------------


def list_services(request: Request) -> Response:
    """The control plane's duties."""
    strict(request, ("host", "binary"))
    found = hypervisors.list_services(request.ctx, request.query.get("binary"), request.query.get("host"))
    if request.ctx.version >= versions.FORCED_DOWN:
        found = [{**each, "forced_down": False} for each in found]
    return Response(200, {"services": found})


def list_zones(request: Request) -> Response:
    """The availability zones: one."""
    return Response(200, {"availabilityZoneInfo": hypervisors.list_zones(request.ctx)})


def detail_zones(request: Request) -> Response:
    """The zones with their hosts and services (admin)."""
    return Response(200, {"availabilityZoneInfo": hypervisors.detail_zones(request.ctx)})


def list_hosts(request: Request) -> Response:
    """The hosts, until 2.42."""
    return Response(200, {"hosts": hypervisors.list_hosts(request.ctx, request.query.get("zone"))})


def show_host(request: Request) -> Response:
    """A host's size and use, until 2.42."""
    return Response(200, {"host": hypervisors.describe_host(request.ctx, request.params["id"])})


def list_agents(request: Request) -> Response:
    """Guest agents of a hypervisor that this cloud does not use."""
    hypervisors.check_list(request.ctx)
    return Response(200, {"agents": []})


def list_migrations(request: Request) -> Response:
    """Moves from host to host: one machine has none."""
    hypervisors.check_list(request.ctx)
    return Response(200, {"migrations": []})


def list_audits(request: Request) -> Response:
    """How far the audit of usage is: usage is counted when it is asked for, so nothing is ever behind."""
    hypervisors.check_list(request.ctx)
    now = iso(request.ctx.now()) or ""
    log = {"hosts_not_run": [], "log": {}, "num_hosts": 1, "num_hosts_done": 1, "num_hosts_not_run": 0, "num_hosts_running": 0}
    return Response(
        200,
        {
            "instance_usage_audit_logs": log
            | {"overall_status": "ALL hosts done. 0 errors.", "total_errors": 0, "total_instances": 0}
            | {"period_beginning": now[:8] + "01 00:00:00", "period_ending": now.replace("T", " ").rstrip("Z")}
        },
    )


ROUTES = [
    Route("GET", "/os-hypervisors", list_hypervisors),
    Route("GET", "/os-hypervisors/detail", list_details),
    Route("GET", "/os-hypervisors/statistics", statistics),
    Route("GET", "/os-hypervisors/{id}", show_hypervisor),
    Route("GET", "/os-hypervisors/{id}/uptime", show_uptime),
    Route("GET", "/os-hypervisors/{id}/search", search, until="2.52"),
    Route("GET", "/os-hypervisors/{id}/servers", list_servers, until="2.52"),
    Route("GET", "/os-services", list_services),
    Route("GET", "/os-availability-zone", list_zones),
    Route("GET", "/os-availability-zone/detail", detail_zones),
    Route("GET", "/os-hosts", list_hosts, until="2.42"),
    Route("GET", "/os-hosts/{id}", show_host, until="2.42"),
    Route("GET", "/os-agents", list_agents),
    Route("GET", "/os-migrations", list_migrations),
    Route("GET", "/os-instance_usage_audit_log", list_audits),
]
