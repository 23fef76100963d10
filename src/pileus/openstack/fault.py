"""Error bodies: one function per dialect words a Fault as its clients expect it. The status is the fault's; the rest is here."""

from __future__ import annotations

from pileus.errors import BadMethod, Fault, Forbidden, OverQuota, TooLarge, Unauthorized
from pileus.kit.web import Request, Response

TITLES = {
    300: "Multiple Choices",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    416: "Requested Range Not Satisfiable",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
NOVA_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    501: "notImplemented",
    503: "serviceUnavailable",
}
AUTHENTICATE = "The request you have made requires authentication."


def title_of(status: int) -> str:
    return TITLES.get(status, "Error")


def unauthorized(request: Request) -> Response:
    """401 as keystonemiddleware words it, for every service but Keystone's own body, which is the same, and Glance's."""
    body = {"error": {"code": 401, "title": "Unauthorized", "message": AUTHENTICATE}}
    return Response(401, body, {"WWW-Authenticate": f'Keystone uri="{request.host}/identity/v3"'})


def keystone(fault: Fault, request: Request) -> Response:
    """`{"error": {code, message, title}}`."""
    if isinstance(fault, Unauthorized):
        answer = unauthorized(request)
        answer.body["error"]["message"] = fault.message or AUTHENTICATE
        return answer
    if isinstance(fault, BadMethod):
        kept = [method for method in ("PATCH", "DELETE", "GET", "PUT", "POST") if method in fault.extra.get("allow", ())]
        allow = ", ".join(["OPTIONS", "HEAD", *kept])
        return Response(405, {"message": "The method is not allowed for the requested URL."}, {"Allow": allow})
    message = fault.message
    if isinstance(fault, Forbidden) and (rule := fault.extra.get("rule")):
        message = f"You are not authorized to perform the requested action: {rule}."
    return Response(fault.status, {"error": {"code": fault.status, "message": message, "title": title_of(fault.status)}})


def nova(fault: Fault, request: Request) -> Response:
    """`{"itemNotFound": {code, message}}`: the name goes by the status."""
    if isinstance(fault, Unauthorized):
        return unauthorized(request)
    message = fault.message
    if isinstance(fault, Forbidden) and (rule := fault.extra.get("rule")):
        message = f"Policy doesn't allow {rule} to be performed."
    if fault.status == 405:
        return Response(405, b"", {"Allow": ", ".join(fault.extra.get("allow", []))})
    body = {NOVA_NAMES.get(fault.status, "computeFault"): {"code": fault.status, "message": message}}
    headers = {"Retry-After": "0"} if isinstance(fault, TooLarge) else {}
    return Response(fault.status, body, headers, content_type="application/json; charset=UTF-8")


def neutron(fault: Fault, request: Request) -> Response:
    """`{"NeutronError": {type, message, detail}}`: the type is the exception's name in Neutron."""
    if isinstance(fault, Unauthorized):
        return unauthorized(request)
    status, message, kind = fault.status, fault.message, fault.type
    if status == 404 and not request.path.startswith("/v2.0"):
        return Response(404, {"code": 404, "title": title_of(404), "description": None})
    if isinstance(fault, OverQuota):
        status, kind = 409, "OverQuota"
    elif isinstance(fault, Forbidden) and (rule := fault.extra.get("rule")):
        message, kind = f"{rule if rule.startswith('(') else f'rule:{rule}'} is disallowed by policy", "PolicyNotAuthorized"
    elif kind == "Fault":
        kind, message = "HTTPInternalServerError", "Request Failed: internal server error while processing your request."
    else:
        kind = {"NotFound": "HTTPNotFound", "BadMethod": "HTTPMethodNotAllowed"}.get(kind, kind)
    return Response(status, {"NeutronError": {"type": kind, "message": message, "detail": fault.extra.get("detail", "")}})


def glance(fault: Fault, request: Request) -> Response:
    """`{message, code, title}`, with the markup that webob leaves in a JSON message."""
    message = fault.message
    if isinstance(fault, Unauthorized):
        message = (
            "This server could not verify that you are authorized to access the document you requested. Either you supplied the wrong "
            "credentials (e.g., bad password), or your browser does not understand how to supply the credentials required."
        )
    elif isinstance(fault, Forbidden) and fault.extra.get("rule"):
        message = f"You are not authorized to complete {fault.extra['rule']} action."
    status = fault.status
    before = fault.extra.get("before", "")  # some errors come with webob's own sentence in front
    text = f"{before}<br /><br />\n{message}\n\n" if before else f"{message}<br /><br />\n\n\n"
    headers = {"WWW-Authenticate": f'Keystone uri="{request.host}/identity/v3"'} if status == 401 else {}
    return Response(status, {"message": text, "code": f"{status} {title_of(status)}", "title": title_of(status)}, headers)


PLACEMENT = {  # webob's own sentence, which stands before each message
    400: "The server could not comply with the request since it is either malformed or otherwise incorrect.",
    403: "Access was denied to this resource.",
    404: "The resource could not be found.",
    409: "There was a conflict when trying to complete your request.",
}


def placement(fault: Fault, request: Request) -> Response:
    """`{"errors": [{status, title, detail, code, request_id}]}`."""
    if isinstance(fault, Unauthorized):
        return unauthorized(request)
    message = fault.message
    if isinstance(fault, Forbidden) and (rule := fault.extra.get("rule")):
        message = f"Policy does not allow {rule} to be performed."
    if before := PLACEMENT.get(fault.status):
        message = f"{before}\n\n {message}  "
    error = {"status": fault.status, "title": title_of(fault.status), "detail": message}
    if fault.status not in (403, 406):
        error["code"] = fault.extra.get("code", "placement.undefined_code")
    if request.context:
        error["request_id"] = request.context.request_id
    return Response(fault.status, {"errors": [error]})
