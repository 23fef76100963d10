"""Quality of service below /qos: policies, the rules of each, the kinds of rules, and rules named without their policy."""

from __future__ import annotations

from functools import partial
from typing import Any

from pileus.kit.web import Request, Response, Route
from pileus.network.actions import qos
from pileus.network.api import crud
from pileus.network.api.crud import Noun
from pileus.network.api.query import by_sharing, chosen, wanted_fields
from pileus.network.resources.qos import KINDS, QOS_POLICY

POLICIES = Noun(
    "qos/policies",
    QOS_POLICY,
    qos.find_qos_policy,
    qos.list_qos_policies,
    qos.create_qos_policy,
    qos.delete_qos_policy,
    qos.update_qos_policy,
    {"shared": by_sharing("qos_policy")},
)


def rules_noun(kind: str, policy: str) -> Noun:
    """The rules of one kind in one policy."""
    return Noun(
        "",
        KINDS[kind],
        lambda ctx, id: qos.find_qos_rule(ctx, policy, kind, id),
        lambda ctx, listing: qos.list_qos_rules(ctx, policy, kind, listing),
        lambda ctx, values: qos.create_qos_rule(ctx, policy, kind, values),
        lambda ctx, id: qos.delete_qos_rule(ctx, policy, kind, id),
        lambda ctx, id, values: qos.update_qos_rule(ctx, policy, kind, id, values),
    )


def within(kind: str, handler: Any, request: Request) -> Response:
    """A handler for the rules of the policy that the path names."""
    answer: Response = handler(rules_noun(kind, request.params["policy"]), request)
    return answer


def alone(kind: str, handler: Any, request: Request) -> Response:
    """A handler for a rule whose policy is looked up."""
    policy = qos.find_qos_policy_of_rule(request.ctx, kind, request.params["id"])
    answer: Response = handler(rules_noun(kind, policy), request)
    return answer


def rule_routes(kind: str) -> list[Route]:
    words, plural = kind.replace("_", " "), KINDS[kind].plural
    many, other = f"/v2.0/qos/policies/{{policy}}/{plural}", f"/v2.0/qos/alias_{plural}"
    routes = [
        Route("GET", many, partial(within, kind, crud.list_), doc=f"List a policy's {words} rules"),
        Route("POST", many, partial(within, kind, crud.create), doc=f"Add a {words} rule to a policy"),
    ]
    for path, how in ((many, within), (other, alone)):
        short = "" if how is within else ", named without its policy"
        routes += [
            Route("GET", path + "/{id}", partial(how, kind, crud.show), doc=f"Show a {words} rule{short}"),
            Route("PUT", path + "/{id}", partial(how, kind, crud.update), doc=f"Update a {words} rule{short}"),
            Route("DELETE", path + "/{id}", partial(how, kind, crud.delete), doc=f"Delete a {words} rule{short}"),
        ]
    return routes


def list_rule_types(request: Request) -> Response:
    """The kinds of rules there are."""
    found = qos.list_qos_rule_types(request.ctx)
    kinds = {value for name, value in request.pairs if name == "type"}
    shown = [chosen(item, wanted_fields(request)) for item in found if not kinds or item["type"] in kinds]
    return Response(200, {"rule_types": shown})


def show_rule_type(request: Request) -> Response:
    """Show what a kind of rule takes."""
    return Response(200, {"rule_type": chosen(qos.find_qos_rule_type(request.ctx, request.params["id"]), wanted_fields(request))})


QOS_ROUTES: list[Route] = [
    Route("GET", "/v2.0/qos/rule-types", list_rule_types),
    Route("GET", "/v2.0/qos/rule-types/{id}", show_rule_type),
    *(route for kind in KINDS for route in rule_routes(kind)),
]
