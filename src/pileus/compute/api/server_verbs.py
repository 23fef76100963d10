"""POST /servers/{id}/action: one table of what may be asked, each with its schema and the versions that have it.

Source: https://docs.openstack.org/api-ref/compute/#servers-run-an-action-servers-action
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pileus.compute.actions import attachments, interfaces, later, servers, verbs
from pileus.compute.api.read import body_of
from pileus.compute.resources.servers import DISK_CONFIG, METADATA
from pileus.compute.resources.words import BOOL, IMAGE_REF, Address, Name, parse
from pileus.errors import BadRequest, Conflict, Unavailable
from pileus.kit.context import Context
from pileus.kit.resource import ANYTHING, FOREVER, Type, parse_version
from pileus.kit.store import Row
from pileus.kit.web import Handler, Request, Response
from pileus.openstack.types import Either, Enum, Int, Obj, Str

Run = Callable[[Context, str, Any], "Response | Awaitable[Response]"]


class Console(Protocol):
    """What serial consoles have said; live.py has it."""

    async def console_log(self, server: Row, lines: int | None) -> str: ...


class NoConsole:
    """Where no host is attached."""

    async def console_log(self, server: Row, lines: int | None) -> str:
        raise Unavailable("The console log cannot be read: no host is attached to this control plane.")


@dataclass(frozen=True, slots=True)
class Action:
    """One verb: what its value must be, what it does, which versions have it."""

    run: Run
    kind: Type = ANYTHING
    since: str = "2.1"
    until: str | None = None

    def lives(self, ctx: Context) -> bool:
        return parse_version(self.since, FOREVER) <= ctx.version <= parse_version(self.until, FOREVER)


def _plain(call: Callable[[Context, str], None], status: int = 202) -> Run:
    """A verb that takes nothing."""

    def run(ctx: Context, id: str, value: Any) -> Response:
        call(ctx, id)
        return Response(status)

    return run


def _later(verb: str, policy: str, *, admin: bool = False) -> Run:
    """A verb of a later slice."""

    def run(ctx: Context, id: str, value: Any) -> Response:
        later.refuse(ctx, id, verb, policy, admin=admin)
        return Response(202)

    return run


def _reboot(ctx: Context, id: str, value: Any) -> Response:
    verbs.reboot_server(ctx, id, hard=value["type"].upper() == "HARD")
    return Response(202)


def _lock(ctx: Context, id: str, value: Any) -> Response:
    verbs.lock_server(ctx, id, (value or {}).get("locked_reason"))
    return Response(202)


def _reset(ctx: Context, id: str, value: Any) -> Response:
    verbs.reset_state(ctx, id, value["state"])
    return Response(202)


def _resize(ctx: Context, id: str, value: Any) -> Response:
    later.resize_server(ctx, id, str(value["flavorRef"]))
    return Response(202)


def _add_group(ctx: Context, id: str, value: Any) -> Response:
    interfaces.add_security_group(ctx, id, value["name"])
    return Response(202)


def _remove_group(ctx: Context, id: str, value: Any) -> Response:
    interfaces.remove_security_group(ctx, id, value["name"])
    return Response(202)


def _add_floating(ctx: Context, id: str, value: Any) -> Response:
    interfaces.add_floating_ip(ctx, id, value["address"], value.get("fixed_address"))
    return Response(202)


def _remove_floating(ctx: Context, id: str, value: Any) -> Response:
    interfaces.remove_floating_ip(ctx, id, value["address"])
    return Response(202)


def _add_fixed(ctx: Context, id: str, value: Any) -> Response:
    attachments.add_fixed_ip(ctx, id, value["networkId"])
    return Response(202)


def _remove_fixed(ctx: Context, id: str, value: Any) -> Response:
    attachments.remove_fixed_ip(ctx, id, value["address"])
    return Response(202)


def _remote(ctx: Context, id: str, value: Any) -> Response:
    verbs.remote_console(ctx, id, value["type"])
    return Response(200)


def _console_output(console: Console) -> Run:
    async def run(ctx: Context, id: str, value: Any) -> Response:
        row = servers.find_console(ctx, id)
        if not row["placed"]:
            raise Conflict(f"Instance {row['id']} is not ready")
        length = (value or {}).get("length")
        return Response(200, {"output": await console.console_log(row, None if length in (None, -1) else length)})

    return run


_NULL = Str(null=True, max=0)
_GROUP = Obj({"name": Str(min=1, max=255)}, ("name",))
_FLOATING = Obj({"address": Str(min=1), "fixed_address": Str(min=1)}, ("address",))
_MIGRATE_LIVE: dict[str, Type] = {"host": Either((Str(min=1, max=255), _NULL)), "block_migration": BOOL, "disk_over_commit": BOOL}
_AUTO = Either((BOOL, Enum(("auto",))))
_NEWER: dict[str, Type] = {"host": _MIGRATE_LIVE["host"], "block_migration": _AUTO}
_VNC = Obj({"type": Enum(("novnc", "xvpvnc"))}, ("type",))
_BACKUP: dict[str, Type] = {"name": Name(), "backup_type": Str(), "rotation": Int(min=0, loose=True), "metadata": METADATA}
_P = "os_compute_api:"


def _live(kinds: dict[str, Type]) -> Obj:
    return Obj(kinds, tuple(kinds))


# a list where versions differ; the first that lives is taken
TABLE: dict[str, list[Action]] = {
    "os-start": [Action(_plain(verbs.start_server))],
    "os-stop": [Action(_plain(verbs.stop_server))],
    "reboot": [Action(_reboot, Obj({"type": Enum(("HARD", "Hard", "hard", "SOFT", "Soft", "soft"))}, ("type",)))],
    "lock": [
        Action(_plain(verbs.lock_server), until="2.72"),
        Action(_lock, Either((_NULL, Obj({"locked_reason": Str(min=1, max=255)}))), since="2.73"),
    ],
    "unlock": [Action(_plain(verbs.unlock_server))],
    "forceDelete": [Action(_plain(servers.force_delete))],
    "os-resetState": [Action(_reset, Obj({"state": Enum(("active", "error"))}, ("state",)))],
    "addSecurityGroup": [Action(_add_group, _GROUP)],
    "removeSecurityGroup": [Action(_remove_group, _GROUP)],
    "addFloatingIp": [Action(_add_floating, _FLOATING, until="2.43")],
    "removeFloatingIp": [Action(_remove_floating, Obj({"address": Str(min=1)}, ("address",)), until="2.43")],
    "addFixedIp": [Action(_add_fixed, Obj({"networkId": Str(min=1)}, ("networkId",)), until="2.43")],
    "removeFixedIp": [Action(_remove_fixed, Obj({"address": Address()}, ("address",)), until="2.43")],
    "os-getVNCConsole": [Action(_remote, _VNC, until="2.5")],
    "os-getSPICEConsole": [Action(_remote, Obj({"type": Enum(("spice-html5",))}, ("type",)), until="2.5")],
    "os-getSerialConsole": [Action(_remote, Obj({"type": Enum(("serial",))}, ("type",)), until="2.5")],
    "resize": [Action(_resize, Obj({"flavorRef": Either((Int(), Str(min=1))), "OS-DCF:diskConfig": DISK_CONFIG}, ("flavorRef",)))],
    "pause": [Action(_later("pause", _P + "os-pause-server:pause"))],
    "unpause": [Action(_later("unpause", _P + "os-pause-server:unpause"))],
    "suspend": [Action(_later("suspend", _P + "os-suspend-server:suspend"))],
    "resume": [Action(_later("resume", _P + "os-suspend-server:resume"))],
    "rescue": [Action(_later("rescue", _P + "os-rescue"))],
    "unrescue": [Action(_later("unrescue", _P + "os-unrescue"))],
    "confirmResize": [Action(_later("confirmResize", _P + "servers:confirm_resize"))],
    "revertResize": [Action(_later("revertResize", _P + "servers:revert_resize"))],
    "rebuild": [Action(_later("rebuild", _P + "servers:rebuild"), Obj({"imageRef": IMAGE_REF}, ("imageRef",), open=True))],
    "createImage": [Action(_later("createImage", _P + "servers:create_image"), Obj({"name": Name(), "metadata": METADATA}, ("name",)))],
    "createBackup": [Action(_later("createBackup", _P + "os-create-backup"), Obj(_BACKUP, ("name", "backup_type", "rotation")))],
    "shelve": [Action(_later("shelve", _P + "os-shelve:shelve"))],
    "shelveOffload": [Action(_later("shelveOffload", _P + "os-shelve:shelve_offload", admin=True))],
    "unshelve": [Action(_later("unshelve", _P + "os-shelve:unshelve"))],
    "restore": [Action(_later("restore", _P + "os-deferred-delete:restore"))],
    "changePassword": [Action(_later("changePassword", _P + "os-admin-password"), Obj({"adminPass": Str()}, ("adminPass",)))],
    "trigger_crash_dump": [Action(_later("trigger_crash_dump", _P + "servers:trigger_crash_dump"), since="2.17")],
    "migrate": [Action(_later("migrate", _P + "os-migrate-server:migrate", admin=True))],
    "os-migrateLive": [
        Action(_later("os-migrateLive", _P + "os-migrate-server:migrate_live", admin=True), _live(_MIGRATE_LIVE), until="2.24"),
        Action(_later("os-migrateLive", _P + "os-migrate-server:migrate_live", admin=True), _live(_NEWER), since="2.25", until="2.29"),
        Action(
            _later("os-migrateLive", _P + "os-migrate-server:migrate_live", admin=True),
            Obj({**_NEWER, "force": BOOL}, tuple(_NEWER)),
            since="2.30",
        ),
    ],
}


def act(console: Console) -> Handler:
    """The handler of the action path."""
    output = Obj({"length": Either((_NULL, Int(min=-1, loose=True)))})
    table = {**TABLE, "os-getConsoleOutput": [Action(_console_output(console), output)]}

    async def run_action(request: Request) -> Response:
        """Run a verb on a server."""
        body = body_of(request)
        if len(body) != 1:
            raise BadRequest("Malformed request body")
        name = next(iter(body))
        action = next((each for each in table.get(name, ()) if each.lives(request.ctx)), None)
        if action is None:
            raise BadRequest(f"There is no such action: {name}")
        answer = action.run(request.ctx, request.params["id"], parse(name, body, action.kind))
        return await answer if inspect.isawaitable(answer) else answer

    return run_action
