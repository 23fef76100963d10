"""What is plugged into a server while it is there: in this version only what it was born with. And the password its guest posted."""

from __future__ import annotations

from pileus.compute.actions.interfaces import find_interface
from pileus.compute.actions.later import NotYet
from pileus.compute.actions.servers import find_server, unlocked
from pileus.compute.states import SERVER
from pileus.errors import NotFound
from pileus.kit.context import Context
from pileus.kit.policy import PROJECT_MEMBER, PROJECT_READER, allow
from pileus.kit.store import Row


@allow(PROJECT_MEMBER, "os_compute_api:os-attach-interfaces:create")
def attach_interface(ctx: Context, id: str) -> None:
    """Raises NotFound, Conflict, NotYet."""
    row = unlocked(ctx, find_server(ctx, id))
    SERVER.check(row, "attach_interface")
    raise NotYet(f"This version of Pileus plugs ports into a server when it is created. Instance {row['id']} is as it was.")


@allow(PROJECT_MEMBER, "os_compute_api:os-attach-interfaces:delete")
def detach_interface(ctx: Context, id: str, port_id: str) -> None:
    """Raises NotFound, Conflict, NotYet."""
    row = unlocked(ctx, find_server(ctx, id))
    find_interface(ctx, row["id"], port_id)
    SERVER.check(row, "detach_interface")
    raise NotYet(f"This version of Pileus unplugs a server's ports when it is deleted. Instance {row['id']} is as it was.")


@allow(PROJECT_READER, "os_compute_api:os-volumes-attachments:index")
def list_volumes(ctx: Context, id: str) -> list[Row]:
    """None: there is no volume service."""
    find_server(ctx, id)
    return []


@allow(PROJECT_READER, "os_compute_api:os-volumes-attachments:show")
def find_volume(ctx: Context, id: str, volume_id: str) -> None:
    """Raises NotFound."""
    row = find_server(ctx, id)
    raise NotFound(f"Instance {row['id']} is not attached to volume {volume_id}")


@allow(PROJECT_MEMBER, "os_compute_api:os-volumes-attachments:create")
def attach_volume(ctx: Context, id: str, volume_id: str) -> None:
    """Raises NotFound."""
    find_server(ctx, id)
    raise NotFound(f"Volume {volume_id} could not be found.")


@allow(PROJECT_READER, "os_compute_api:os-server-password:show")
def show_password(ctx: Context, id: str) -> str:
    """Base64 of what the guest encrypted; empty when it posted nothing."""
    return str(find_server(ctx, id)["password"])


@allow(PROJECT_MEMBER, "os_compute_api:os-server-password:clear")
def clear_password(ctx: Context, id: str) -> None:
    row = find_server(ctx, id)
    with ctx.store.transaction():
        ctx.store.update("server", row["id"], {"password": ""})
