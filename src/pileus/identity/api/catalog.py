"""Handlers of the catalog's nouns, of what projects see of it, and of policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.identity.actions import catalog, endpoint_filters, policies
from pileus.identity.api.nouns import crud
from pileus.identity.api.read import body_of, decode, many, one
from pileus.identity.resources import ENDPOINT, ENDPOINT_GROUP, POLICY, PROJECT, REGION, SERVICE
from pileus.kit.web import Request, Response, Route

FILTER = "/v3/OS-EP-FILTER"
POLICY_FOR = "OS-ENDPOINT-POLICY"


def put_region(request: Request) -> Response:
    """Create a region of the id in the URL."""
    body = body_of(request)
    values = REGION.decode(body if body else {"region": {}}, "create", request.ctx)
    return one(REGION, catalog.create_region(request.ctx, {**values, "id": request.params["id"]}), request, 201)


def update_endpoint_group(request: Request) -> Response:
    values = decode(ENDPOINT_GROUP, request, "update")
    return one(ENDPOINT_GROUP, endpoint_filters.update_endpoint_group(request.ctx, request.params["id"], values), request)


# -- what a project sees ---------------------------------------------------------------------------------------------------


def _association(kind: str, action: Callable[..., Any]) -> Callable[[Request], Response]:
    def handle(request: Request) -> Response:
        action(request.ctx, request.params["project"], kind, request.params["id"])
        return Response(204)

    return handle


def check_group_association(request: Request) -> Response:
    """Whether a group of endpoints is shown to a project."""
    project, id = request.params["project"], request.params["id"]
    endpoint_filters.check_association(request.ctx, project, "group", id)
    here = f"{request.root}{request.path}"
    return Response(200, {"project_endpoint_group": {"endpoint_group_id": id, "project_id": project, "links": {"self": here}}})


def project_endpoints(request: Request) -> Response:
    return many(ENDPOINT, endpoint_filters.list_project_endpoints(request.ctx, request.params["project"]), request)


def project_groups(request: Request) -> Response:
    return many(ENDPOINT_GROUP, endpoint_filters.list_project_groups(request.ctx, request.params["project"]), request)


def group_endpoints(request: Request) -> Response:
    return many(ENDPOINT, endpoint_filters.list_group_endpoints(request.ctx, request.params["id"]), request)


def _projects_of(kind: str) -> Callable[[Request], Response]:
    def handle(request: Request) -> Response:
        return many(PROJECT, endpoint_filters.list_associated_projects(request.ctx, kind, request.params["id"]), request)

    return handle


# -- policies --------------------------------------------------------------------------------------------------------------


def _place(request: Request) -> dict[str, str]:
    return {name: request.params[name] for name in ("endpoint_id", "service_id", "region_id") if name in request.params}


def _policy(action: Callable[..., Any]) -> Callable[[Request], Response]:
    def handle(request: Request) -> Response:
        action(request.ctx, request.params["id"], _place(request))
        return Response(204)

    return handle


def policy_endpoints(request: Request) -> Response:
    return many(ENDPOINT, policies.list_policy_endpoints(request.ctx, request.params["id"]), request)


def endpoint_policy(request: Request) -> Response:
    return one(POLICY, policies.get_endpoint_policy(request.ctx, request.params["id"]), request)


def _policy_routes() -> list[Route]:
    base = f"/v3/policies/{{id}}/{POLICY_FOR}"
    found = []
    for tail, what in (
        ("/endpoints/{endpoint_id}", "an endpoint"),
        ("/services/{service_id}", "a service"),
        ("/services/{service_id}/regions/{region_id}", "a service in a region"),
    ):
        found += [
            Route("PUT", base + tail, _policy(policies.associate_policy), doc=f"Make it the policy of {what}."),
            Route("GET", base + tail, _policy(policies.check_policy_association), doc=f"Whether it is the policy of {what}."),
            Route("DELETE", base + tail, _policy(policies.dissociate_policy), doc=f"Make it no longer the policy of {what}."),
        ]
    return [
        *found,
        Route("GET", f"{base}/endpoints", policy_endpoints, doc="The endpoints whose policy it is."),
        Route("GET", f"/v3/endpoints/{{id}}/{POLICY_FOR}/policy", endpoint_policy, doc="The policy of an endpoint."),
    ]


def _filter_routes() -> list[Route]:
    single, group = f"{FILTER}/projects/{{project}}/endpoints/{{id}}", f"{FILTER}/endpoint_groups/{{id}}/projects/{{project}}"
    return [
        *crud(ENDPOINT_GROUP, endpoint_filters, base=f"{FILTER}/endpoint_groups", update=update_endpoint_group),
        Route("PUT", single, _association("endpoint", endpoint_filters.associate), doc="Show an endpoint to a project."),
        Route(
            "GET", single, _association("endpoint", endpoint_filters.check_association), doc="Whether an endpoint is shown to a project."
        ),
        Route("DELETE", single, _association("endpoint", endpoint_filters.dissociate), doc="No longer show an endpoint to a project."),
        Route("GET", f"{FILTER}/projects/{{project}}/endpoints", project_endpoints, doc="The endpoints that are shown to a project."),
        Route("GET", f"{FILTER}/projects/{{project}}/endpoint_groups", project_groups, doc="The groups of endpoints shown to a project."),
        Route("GET", f"{FILTER}/endpoints/{{id}}/projects", _projects_of("endpoint"), doc="The projects an endpoint is shown to."),
        Route("PUT", group, _association("group", endpoint_filters.associate), doc="Show a group of endpoints to a project."),
        Route("GET", group, check_group_association),
        Route("DELETE", group, _association("group", endpoint_filters.dissociate), doc="No longer show a group of endpoints to a project."),
        Route("GET", f"{FILTER}/endpoint_groups/{{id}}/endpoints", group_endpoints, doc="The endpoints that are in a group."),
        Route("GET", f"{FILTER}/endpoint_groups/{{id}}/projects", _projects_of("group"), doc="The projects a group is shown to."),
    ]


def routes() -> list[Route]:
    return [
        *crud(SERVICE, catalog),
        *crud(ENDPOINT, catalog),
        *crud(REGION, catalog),
        Route("PUT", "/v3/regions/{id}", put_region),
        *crud(POLICY, policies),
        *_filter_routes(),
        *_policy_routes(),
    ]
