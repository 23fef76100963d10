"""Placement: the host as a resource provider, and what servers take of it. A view: nothing is stored here and nothing can be written.

Source: https://docs.openstack.org/api-ref/placement/. Not here: the decision itself, which create_servers makes by counting rows.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from pileus.compute.machine import VCPU_RATIO, fact, host_uuid, hostname, memory_mb, reserved_mb, used
from pileus.errors import BadRequest, Fault, NotAcceptable, NotFound
from pileus.kit.context import Cloud, Context
from pileus.kit.policy import ADMIN, allow
from pileus.kit.store import Row
from pileus.kit.web import Dialect, Request, Response, Route
from pileus.openstack import fault, front
from pileus.openstack.front import Authenticate
from pileus.openstack.microversion import Microversions, dotted

VERSIONS = Microversions("placement", (1, 0), (1, 39))

CLASSES = [
    "VCPU",
    "MEMORY_MB",
    "DISK_GB",
    "PCI_DEVICE",
    "SRIOV_NET_VF",
    "NUMA_SOCKET",
    "NUMA_CORE",
    "NUMA_THREAD",
    "NUMA_MEMORY_MB",
    "IPV4_ADDRESS",
    "VGPU",
    "VGPU_DISPLAY_HEAD",
    "NET_BW_EGR_KILOBIT_PER_SEC",
    "NET_BW_IGR_KILOBIT_PER_SEC",
    "PCPU",
    "MEM_ENCRYPTION_CONTEXT",
    "FPGA",
    "PGPU",
    "NET_PACKET_RATE_KILOPACKET_PER_SEC",
    "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC",
    "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC",
]
# what the host can do, by os-traits' names; those of its CPU are made from the flags that drivers saw
TRAITS = ("COMPUTE_NODE", "COMPUTE_IMAGE_TYPE_RAW", "COMPUTE_IMAGE_TYPE_QCOW2", "COMPUTE_IMAGE_TYPE_ISO", "COMPUTE_DEVICE_TAGGING")
CPU_TRAITS = {
    "sse": "SSE", "sse2": "SSE2", "pni": "SSE3", "sse3": "SSE3", "ssse3": "SSSE3", "sse4_1": "SSE41", "sse4_2": "SSE42", "sse4a": "SSE4A",
    "avx": "AVX", "avx2": "AVX2", "avx512f": "AVX512F", "aes": "AESNI", "vmx": "VMX", "svm": "SVM", "bmi1": "BMI", "bmi2": "BMI2",
    "fma": "FMA3", "f16c": "F16C", "mmx": "MMX", "abm": "ABM", "sha_ni": "SHA", "pclmulqdq": "CLMUL",
}  # fmt: skip

UNACCEPTABLE = (
    "The resource could not be generated that was acceptable to your browser (content of type application/json. \n\n "
    "Invalid microversion: Unacceptable version header: "
)


# -- what there is -----------------------------------------------------------------------------------------------------------


def inventories(ctx: Context) -> dict[str, Row]:
    """The host's resources by class; what is not known has no entry."""
    found: dict[str, Row] = {}
    sizes = (("VCPU", fact(ctx, "vcpus", 0), 0, VCPU_RATIO), ("MEMORY_MB", memory_mb(ctx), reserved_mb(ctx), 1.0))
    for name, total, reserved, ratio in (*sizes, ("DISK_GB", fact(ctx, "disk_gb", 0), 0, 1.0)):
        if total:
            whole = int(total)
            bounds = {"min_unit": 1, "max_unit": whole, "step_size": 1}
            found[name] = {"total": whole, "reserved": min(reserved, whole - 1), "allocation_ratio": ratio, **bounds}
    return found


def usages(ctx: Context) -> dict[str, int]:
    """What servers take of the host, by class."""
    taken = used(ctx.store)
    known = inventories(ctx)
    return {name: n for name, n in (("VCPU", taken.vcpus), ("MEMORY_MB", taken.ram), ("DISK_GB", taken.disk)) if name in known}


def traits(ctx: Context) -> list[str]:
    flags = {CPU_TRAITS[flag] for flag in fact(ctx, "cpu_features", ()) if flag in CPU_TRAITS}
    return sorted({*TRAITS, *(f"HW_CPU_X86_{flag}" for flag in flags)})


def all_traits(ctx: Context) -> list[str]:
    return sorted({*TRAITS, *(f"HW_CPU_X86_{name}" for name in CPU_TRAITS.values())})


def _generation(ctx: Context) -> int:
    return int(ctx.store.query("SELECT count(*) + coalesce(sum(deleted_at IS NOT NULL), 0) AS n FROM server WHERE placed = 1")[0]["n"])


def _capacity(inventory: Row) -> int:
    return int((inventory["total"] - inventory["reserved"]) * inventory["allocation_ratio"])


def _allocation(row: Row) -> dict[str, int]:
    found = {"VCPU": row["vcpus"], "MEMORY_MB": row["ram"], "DISK_GB": row["disk"]}
    return {name: amount for name, amount in found.items() if amount}


# -- providers ---------------------------------------------------------------------------------------------------------------


@allow(ADMIN, "placement:resource_providers:list")
def _list_providers(ctx: Context) -> None:
    """Only an admin looks at Placement."""


@allow(ADMIN, "placement:resource_providers:show")
def _check_provider(ctx: Context, id: str) -> None:
    if id != host_uuid(ctx):
        raise NotFound(f"No resource provider with uuid {id} found")


@allow(ADMIN, "placement:allocations:list")
def _may_read(ctx: Context) -> None:
    """As above, for what is not a provider."""


def _provider(ctx: Context) -> Row:
    id = host_uuid(ctx)
    shown: Row = {"uuid": id, "name": hostname(ctx), "generation": _generation(ctx)}
    if ctx.version >= (1, 14):
        shown |= {"parent_provider_uuid": None, "root_provider_uuid": id}
    kinds = ["inventories", "usages"]
    for since, more in (((1, 1), ["aggregates"]), ((1, 6), ["traits"]), ((1, 11), ["allocations"])):
        kinds += more if ctx.version >= since else []
    base = f"/resource_providers/{id}"
    links = [{"rel": "self", "href": base}, *({"rel": kind, "href": f"{base}/{kind}"} for kind in kinds)]
    return shown | {"links": links}


def list_providers(request: Request) -> Response:
    """The host, if it is what the query wants."""
    ctx, asked = request.ctx, request.query
    _list_providers(ctx)
    fits = asked.get("name") in (None, hostname(ctx)) and asked.get("uuid") in (None, host_uuid(ctx))
    fits = fits and asked.get("in_tree") in (None, host_uuid(ctx)) and "member_of" not in asked
    if fits and "resources" in asked:
        fits = _fits(ctx, _resources(asked["resources"]))
    return Response(200, {"resource_providers": [_provider(ctx)] if fits else []})


def show_provider(request: Request) -> Response:
    """The host."""
    _check_provider(request.ctx, request.params["id"])
    return Response(200, _provider(request.ctx))


def _of_provider(key: str, what: Any) -> Any:
    """A handler of `{key: what(ctx)}` with the provider's generation."""

    def handler(request: Request) -> Response:
        _check_provider(request.ctx, request.params["id"])
        return Response(200, {key: what(request.ctx), "resource_provider_generation": _generation(request.ctx)})

    handler.__doc__ = f"The host's {key}."
    return handler


def show_inventory(request: Request) -> Response:
    """The host's resource of one class."""
    _check_provider(request.ctx, request.params["id"])
    name, found = request.params["key"], inventories(request.ctx)
    if name not in found:
        raise NotFound(f"No inventory of class {name} for {request.params['id']}")
    return Response(200, {**found[name], "resource_provider_generation": _generation(request.ctx)})


def provider_allocations(request: Request) -> Response:
    """What each server takes of the host."""
    _check_provider(request.ctx, request.params["id"])
    rows = request.ctx.store.find("server", {"placed": 1}, order="created_at, id")
    found = {row["id"]: {"resources": _allocation(row)} for row in rows}
    return Response(200, {"allocations": found, "resource_provider_generation": _generation(request.ctx)})


def show_allocations(request: Request) -> Response:
    """What one consumer, a server, takes; nothing when it is none."""
    ctx = request.ctx
    _may_read(ctx)
    row = ctx.store.get("server", request.params["id"])
    if row is None or not row["placed"]:
        return Response(200, {"allocations": {}})
    shown: Row = {"allocations": {host_uuid(ctx): {"resources": _allocation(row), "generation": _generation(ctx)}}}
    if ctx.version >= (1, 12):
        shown |= {"project_id": row["project_id"], "user_id": row["user_id"]}
    if ctx.version >= (1, 28):
        shown["consumer_generation"] = 1
    if ctx.version >= (1, 38):
        shown["consumer_type"] = "INSTANCE"
    return Response(200, shown)


def project_usages(request: Request) -> Response:
    """What a project's servers take."""
    ctx = request.ctx
    _may_read(ctx)
    project = request.query.get("project_id")
    if not project:
        raise BadRequest("Invalid query string parameters: 'project_id' is a required property")
    sums = ctx.store.query(
        "SELECT coalesce(sum(vcpus), 0) AS vcpus, coalesce(sum(ram), 0) AS ram, coalesce(sum(disk), 0) AS disk, count(*) AS n"
        " FROM server WHERE deleted_at IS NULL AND placed = 1 AND project_id = ?",
        project,
    )[0]
    found: dict[str, Any] = _allocation(sums)
    if ctx.version >= (1, 38):
        found = {"INSTANCE": {"consumer_count": sums["n"], **found}} if sums["n"] else {}
    return Response(200, {"usages": found})


# -- classes and traits --------------------------------------------------------------------------------------------------------


def list_classes(request: Request) -> Response:
    """The classes of resources."""
    _may_read(request.ctx)
    found = [{"name": name, "links": [{"rel": "self", "href": f"/resource_classes/{name}"}]} for name in CLASSES]
    return Response(200, {"resource_classes": found})


def show_class(request: Request) -> Response:
    """One class of resources."""
    _may_read(request.ctx)
    name = request.params["id"]
    if name not in CLASSES:
        raise NotFound(f"No such resource class {name}.")
    return Response(200, {"name": name, "links": [{"rel": "self", "href": f"/resource_classes/{name}"}]})


def list_traits(request: Request) -> Response:
    """Traits: all that the host could have, or those that the query's `name` wants."""
    _may_read(request.ctx)
    found = all_traits(request.ctx)
    kind, _, text = request.query.get("name", "").partition(":")
    if kind == "startswith":
        found = [name for name in found if name.startswith(text)]
    elif kind == "in":
        found = [name for name in found if name in text.split(",")]
    elif kind:
        form = "Expected name query string parameter in form: ?name=[in|startswith]:[name1,name2|prefix]."
        raise BadRequest(f'Badly formatted name parameter. {form} Got: "{kind}:{text}"')
    return Response(200, {"traits": found})


def show_trait(request: Request) -> Response:
    """Whether there is such a trait."""
    _may_read(request.ctx)
    if request.params["id"] not in all_traits(request.ctx):
        raise NotFound(f"No such trait(s): {request.params['id']}.")
    return Response(204)


# -- candidates --------------------------------------------------------------------------------------------------------------


def _resources(text: str) -> dict[str, int]:
    """`VCPU:1,MEMORY_MB:128`. Raises BadRequest."""
    found: dict[str, int] = {}
    for part in text.split(","):
        name, _, amount = part.partition(":")
        if not re.fullmatch(r"[0-9]{1,18}", amount) or int(amount) < 1:
            raise BadRequest(f"Malformed resources parameter. Expected resource class and amount. Got: {json.dumps(part)[1:-1]}.")
        found[name] = int(amount)
    if unknown := [name for name in found if name not in CLASSES]:
        raise BadRequest(f"Invalid resource class in resources parameter: No such resource class {unknown[0]}.")
    return found


def _fits(ctx: Context, wanted: dict[str, int]) -> bool:
    have, taken = inventories(ctx), usages(ctx)
    return all(name in have and taken[name] + amount <= _capacity(have[name]) for name, amount in wanted.items())


def candidates(request: Request) -> Response:
    """The host, if it has room for what the query wants."""
    ctx = request.ctx
    _may_read(ctx)
    asked = dict(parse_qsl(request.query_string, keep_blank_values=True))
    if "resources" not in asked:
        raise BadRequest("At least one request group (`resources` or `resources{$S}`) is required.")
    wanted = _resources(asked["resources"])
    required = [name for name in asked.get("required", "").split(",") if name]
    if unknown := [name for name in required if name.removeprefix("!") not in all_traits(ctx)]:
        raise BadRequest(f"No such trait(s): {', '.join(unknown)}.")
    mine = set(traits(ctx))
    fits = _fits(ctx, wanted) and all((name[1:] not in mine) if name.startswith("!") else name in mine for name in required)
    if not fits:
        return Response(200, {"allocation_requests": [], "provider_summaries": {}})
    id = host_uuid(ctx)
    have, taken = inventories(ctx), usages(ctx)
    shown = have if ctx.version >= (1, 27) else {name: have[name] for name in wanted}
    summary: Row = {"resources": {name: {"capacity": _capacity(have[name]), "used": taken[name]} for name in shown}}
    if ctx.version >= (1, 17):
        summary["traits"] = traits(ctx)
    if ctx.version >= (1, 29):
        summary |= {"parent_provider_uuid": None, "root_provider_uuid": id}
    allocation: Row = {"allocations": {id: {"resources": wanted}}}
    if ctx.version < (1, 12):
        allocation = {"allocations": [{"resource_provider": {"uuid": id}, "resources": wanted}]}
    if ctx.version >= (1, 34):
        allocation["mappings"] = {"": [id]}
    return Response(200, {"allocation_requests": [allocation], "provider_summaries": {id: summary}})


# -- the dialect -------------------------------------------------------------------------------------------------------------


def list_versions(request: Request) -> Response:
    """The one version."""
    spans = {"max_version": dotted(VERSIONS.maximum), "min_version": dotted(VERSIONS.minimum)}
    return Response(200, {"versions": [{"id": "v1.0", **spans, "status": "CURRENT", "links": [{"rel": "self", "href": ""}]}]})


_R = "/resource_providers/{id}"
ROUTES = [
    Route("GET", "/", list_versions, open=True),
    Route("GET", "/resource_providers", list_providers),
    Route("GET", _R, show_provider),
    Route("GET", f"{_R}/inventories", _of_provider("inventories", inventories)),
    Route("GET", f"{_R}/inventories/{{key}}", show_inventory),
    Route("GET", f"{_R}/usages", _of_provider("usages", usages)),
    Route("GET", f"{_R}/traits", _of_provider("traits", traits), since="1.6"),
    Route("GET", f"{_R}/aggregates", _of_provider("aggregates", lambda ctx: []), since="1.1"),
    Route("GET", f"{_R}/allocations", provider_allocations),
    Route("GET", "/allocations/{id}", show_allocations),
    Route("GET", "/usages", project_usages, since="1.9"),
    Route("GET", "/resource_classes", list_classes, since="1.2"),
    Route("GET", "/resource_classes/{id}", show_class, since="1.2"),
    Route("GET", "/traits", list_traits, since="1.6"),
    Route("GET", "/traits/{id}", show_trait, since="1.6"),
    Route("GET", "/allocation_candidates", candidates, since="1.10"),
]


def _render(problem: Fault, request: Request) -> Response:
    """Placement's words; of a version that is not served it says which are."""
    answer = fault.placement(problem, request)
    if isinstance(problem, NotAcceptable):
        error = answer.body["errors"][0]
        error["detail"] = UNACCEPTABLE + dotted(problem.extra["version"])
        error |= {"max_version": dotted(VERSIONS.maximum), "min_version": dotted(VERSIONS.minimum)}
    return answer


def dialect(cloud: Cloud, authenticate: Authenticate) -> Dialect:
    """The way in at /placement."""
    return front.dialect("placement", ROUTES, cloud, authenticate, _render, versions=VERSIONS, vary="openstack-api-version")
