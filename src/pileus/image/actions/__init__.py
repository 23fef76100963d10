"""What the image API's verbs mean, and who may: check, write, wake. Nothing here touches a file.

images    create, show, list, update, delete, tags, deactivate, reactivate
members   who else may use a shared image
content   what an upload's beginning and end do to the row
imports   what an import's beginning and end do to it, and its task; locations
work      the open task of an image
tasks     tasks, as they are looked at
cache     base disks, as Glance's cache
usage     how much a project has, and may have
metadefs  namespaces of metadata definitions
boot      what compute asks: may this image be booted, and is its base there yet
"""

from pileus.image.actions.boot import Base, base_of, find_bootable, find_part
from pileus.image.actions.cache import clear_cache, list_cache, queue_image, remove_cached
from pileus.image.actions.content import (
    Content,
    abandon_upload,
    begin_stage,
    begin_upload,
    check_download,
    finish_stage,
    finish_upload,
    release_uploads,
)
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
from pileus.image.actions.imports import (
    METHODS,
    add_location,
    create_task,
    fail_import,
    finish_import,
    import_image,
    list_locations,
    source_of,
    take_over,
)
from pileus.image.actions.members import add_member, find_member, list_members, remove_member, update_member
from pileus.image.actions.tasks import find_task, list_image_tasks, list_tasks
from pileus.image.actions.usage import show_usage
from pileus.image.actions.work import begin_task, method_of, task_of

__all__ = [
    "METHODS",
    "Base",
    "Content",
    "abandon_upload",
    "add_location",
    "add_member",
    "add_tag",
    "base_of",
    "begin_stage",
    "begin_task",
    "begin_upload",
    "check_download",
    "clear_cache",
    "create_image",
    "create_task",
    "deactivate_image",
    "delete_image",
    "fail_import",
    "find_bootable",
    "find_image",
    "find_member",
    "find_part",
    "find_task",
    "finish_import",
    "finish_stage",
    "finish_upload",
    "import_image",
    "list_cache",
    "list_image_tasks",
    "list_images",
    "list_locations",
    "list_members",
    "list_tasks",
    "method_of",
    "queue_image",
    "reactivate_image",
    "release_uploads",
    "remove_cached",
    "remove_member",
    "remove_tag",
    "show_usage",
    "source_of",
    "take_over",
    "task_of",
    "update_image",
    "update_member",
]
