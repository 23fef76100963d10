"""docs/reference/api.md, one page for each service, and rules.md: routes, fields and rules, from the tables that the product runs on."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import tempfile
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

from pileus.app import build
from pileus.compute.api.server_verbs import TABLE, Action
from pileus.config import Paths, Settings
from pileus.kit import policy
from pileus.kit.resource import FIRST, Field, Resource, parse_version
from pileus.kit.web import Dialect, Route
from tools.docs.page import first_line, page, table

WORDS = Path(__file__).with_name("words.toml")
SERVICES = {
    "identity": ("Identity", "Keystone v3: tokens, projects, users, roles, the catalog."),
    "image": ("Image", "Glance v2: images and their data."),
    "network": ("Network", "Neutron v2.0: networks, subnets, ports, routers, floating IPs, security groups."),
    "compute": ("Compute", "Nova v2.1, with microversions: flavors, keypairs, servers."),
}


@cache
def dialects() -> dict[str, Dialect]:
    """The dialects of a cloud that is put together for this and never runs."""
    with tempfile.TemporaryDirectory() as home:
        paths = Paths.resolve({"PILEUS_HOME": home, "HOME": home})
        paths.make()
        app = build(Settings(drivers="fake", synchronous="off"), paths, "unused", memory=True)
        found = {dialect.name: dialect for dialect in app.web.dialects}
        app.store.close()
    return found


def modules(name: str) -> Iterator[ModuleType]:
    module = importlib.import_module(name)
    yield module
    for inner in pkgutil.iter_modules(getattr(module, "__path__", [])):
        yield from modules(f"{name}.{inner.name}")


def resources(service: str) -> list[Resource]:
    """The service's field tables, each once, in the order they are declared."""
    found: dict[int, Resource] = {}
    for module in modules(f"pileus.{service}.resources"):
        for value in vars(module).values():
            if isinstance(value, Resource):
                found.setdefault(id(value), value)
    return sorted(found.values(), key=lambda resource: (resource.key, -len(resource.fields)))


@cache
def words() -> dict[str, dict[str, dict[str, str]]]:
    """What fields and routes mean: `field` by resource and name (`all` where it is the same everywhere), `route` by service and request."""
    loaded: dict[str, dict[str, dict[str, str]]] = tomllib.loads(WORDS.read_text())
    return loaded


def meaning(resource: Resource, field: Field) -> str:
    """A field's own words, else those of words.toml; empty when nobody has said what it is."""
    said = words()["field"]
    return field.doc or said.get(resource.key, {}).get(field.name) or said["all"].get(field.name, "")


def request(route: Route) -> str:
    return f"{route.method} {route.path or '/'}"


def route_meaning(service: str, route: Route) -> str:
    """A route's own words, else those of words.toml, else the first line of its handler's docstring."""
    said = words()["route"].get(service, {}).get(request(route), "")
    return route.doc or said or first_line(inspect.getdoc(route.handler))


def versions(since: str | None, until: str | None) -> str:
    if since and until:
        return f"{since} to {until}"
    return f"from {since}" if since else f"to {until}" if until else ""


def kind(field: Field) -> str:
    """What a field holds, from its JSON Schema."""
    schema = field.type.schema()
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"] if value is not None)
    types = schema.get("type", "")
    return " or ".join(types) if isinstance(types, list) else str(types)


def uses(field: Field) -> str:
    """What a client may do with a field."""
    found = [
        "create (required)" if field.create == "required" else "create" if field.create else "",
        "update" if field.update else "",
        "shown" if field.show is not None else "",
        "filter" if field.filter else "",
        "sort" if field.sort else "",
    ]
    return ", ".join(use for use in found if use)


def field_table(resource: Resource) -> str:
    named = any(field.alias for field in resource.fields)
    gated = any(field.since or field.until for field in resource.fields)
    heads = ["field", "holds", "use", *(["versions"] if gated else []), *(["extension"] if named else []), "meaning"]
    rows = []
    for field in resource.fields:
        who = f" Shown to: {getattr(field.who, 'name', first_line(inspect.getdoc(field.who)))}." if field.who else ""
        row = [f"`{field.name}`", kind(field), uses(field)]
        row += [versions(field.since, field.until)] if gated else []
        row += [field.alias or ""] if named else []
        rows.append([*row, meaning(resource, field) + who])
    return table(heads, rows)


def service_page(service: str) -> str:
    title, about = SERVICES[service]
    dialect = dialects().get(service)
    if dialect is None:
        return page(title, about, "Not served yet.")
    routes = [
        (f"`{request(r)}`", versions(r.since, r.until), route_meaning(service, r) + (" No token needed." if r.open else ""))
        for r in sorted(dialect.routes, key=lambda r: (r.path, r.method, r.since or ""))
    ]
    parts = [f"Below `{dialect.prefix}`.", "## Routes", table(["request", "versions", "meaning"], routes)]
    if service == "compute":
        parts += ["## Actions of a server", "The one key of the body of `POST /v2.1/servers/{id}/action`.", action_table()]
    seen: set[str] = set()
    for resource in resources(service):
        if resource.key in seen:
            continue
        seen.add(resource.key)
        parts += [f"## Fields of {resource.key}", field_table(resource)]
    return page(title, about, *parts)


def actions() -> dict[str, list[Action]]:
    """What may be asked of a server by POST .../action, the console log included, which is wired by hand."""
    return {**TABLE, "os-getConsoleOutput": []}


def action_table() -> str:
    rows = []
    for name, forms in sorted(actions().items(), key=lambda item: item[0].lower()):
        since = min((form.since for form in forms), key=lambda text: parse_version(text, FIRST), default="2.1")
        until = forms[-1].until if forms else None
        rows.append((f"`{name}`", versions(None if since == "2.1" else since, until), words()["action"]["server"].get(name, "")))
    return table(["action", "versions", "meaning"], rows)


def index_page() -> str:
    rows = [
        (f"[{title}]({name}.md)", f"`{dialects()[name].prefix}`" if name in dialects() else "", about, str(len(served(name))))
        for name, (title, about) in SERVICES.items()
    ]
    return page(
        "The APIs",
        "One listener on 127.0.0.1, a prefix for each service, the URLs and bodies that OpenStack's own API reference describes. "
        "What differs on purpose is in [differences](differences.md); who may do what is in [rules](rules.md).",
        table(["service", "prefix", "what", "routes"], rows),
    )


def served(service: str) -> list[Route]:
    return list(dialects()[service].routes) if service in dialects() else []


def rules_page() -> str:
    dialects()  # imports every action
    rows = []
    for name, allowed in sorted(policy.ACTIONS.items()):
        if not name.startswith("pileus."):
            continue  # a test's own
        service = name.split(".")[1]
        rows.append((service, f"`{allowed.policy}`", allowed.rule.name, action_meaning(name)))
    return page(
        "Who may do what",
        "Every action has one rule, whichever way in a request takes. The names are those of the real services' policies. Reads are "
        "limited to the caller's project, so what belongs to somebody else is not found rather than forbidden.",
        table(["service", "policy", "allowed to", "action"], sorted(rows)),
    )


def action_meaning(name: str) -> str:
    """The first line of an action's docstring; its name in words when that says it all."""
    module, _, function = name.rpartition(".")
    said = first_line(inspect.getdoc(getattr(importlib.import_module(module), function, None)))
    return said or function.replace("_", " ").capitalize() + "."
