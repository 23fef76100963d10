"""What the image API's verbs mean, and who may: check, write, wake. Nothing here touches a file.

images    create, show, list, update, delete, tags, deactivate, reactivate
members   who else may use a shared image
content   what an upload's beginning and end do to the row
boot      what compute asks: may this image be booted, and is its base there yet
"""

from pileus.image.actions.boot import Base, base_of, find_bootable, find_part
from pileus.image.actions.content import Content, abandon_upload, begin_upload, check_download, finish_upload, release_uploads
from pileus.image.actions.images import (
    add_tag,
    create_image,
    deactivate_image,
    delete_image,
    find_image,
    list_images,
    reactivate_image,
    remove_tag,
    update_image,
)
from pileus.image.actions.members import add_member, find_member, list_members, remove_member, update_member

__all__ = [
    "Base",
    "Content",
    "abandon_upload",
    "add_member",
    "add_tag",
    "base_of",
    "begin_upload",
    "check_download",
    "create_image",
    "deactivate_image",
    "delete_image",
    "find_bootable",
    "find_image",
    "find_member",
    "find_part",
    "finish_upload",
    "list_images",
    "list_members",
    "reactivate_image",
    "release_uploads",
    "remove_member",
    "remove_tag",
    "update_image",
    "update_member",
]
