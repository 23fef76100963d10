"""Tasks, as they are looked at."""

from __future__ import annotations

from pileus.errors import BadRequest, NotFound
from pileus.image.actions.images import find_image
from pileus.kit.context import Context
from pileus.kit.policy import ADMIN, PROJECT_READER, allow
from pileus.kit.store import Row
from pileus.openstack.listing import Listing, fetch


@allow(ADMIN, "tasks_api_access")
def list_tasks(ctx: Context, listing: Listing) -> tuple[list[Row], bool]:
    """One page of tasks and whether there is more. Raises BadRequest for an unknown marker."""
    listing.terms.append(("expires_at IS NULL OR expires_at > ?", (ctx.now(),)))
    marker = None
    if listing.marker is not None:
        marker = ctx.store.get("image_task", listing.marker)
        if marker is None:
            raise BadRequest(f"No task found with ID {listing.marker}")
    return fetch(ctx.store, "image_task", listing, marker)


@allow(ADMIN, "tasks_api_access")
def find_task(ctx: Context, id: str) -> Row:
    """Raises NotFound."""
    row = ctx.store.get("image_task", id)
    if row is None:
        raise NotFound(f"No task found with ID {id}")
    return row


@allow(PROJECT_READER, "get_image")
def list_image_tasks(ctx: Context, image_id: str) -> list[Row]:
    """The imports of one image, newest last, for whoever may see it."""
    return ctx.store.find("image_task", {"image_id": find_image(ctx, image_id)["id"]}, order="created_at, id")
