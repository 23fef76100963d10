"""Logs below /log, and of what they can be kept."""

from __future__ import annotations

from pileus.kit.web import Request, Response, Route
from pileus.network.actions import logs
from pileus.network.api.crud import Noun
from pileus.network.resources.logs import LOG

LOGS = Noun("log/logs", LOG, logs.find_log, logs.list_logs, logs.create_log, logs.delete_log, logs.update_log)


def list_loggable_resources(request: Request) -> Response:
    """Of what logs can be kept."""
    return Response(200, {"loggable_resources": logs.list_loggable_resources(request.ctx)})


LOG_ROUTES: list[Route] = [Route("GET", "/v2.0/log/loggable-resources", list_loggable_resources)]
