"""Metadata definitions: an admin writes them, everybody reads those that are public or their own project's."""

from pileus.image.actions.metadefs.namespaces import (
    create_namespace,
    delete_namespace,
    find_namespace,
    list_namespaces,
    update_namespace,
)
from pileus.image.actions.metadefs.objects import create_object, delete_object, delete_objects, find_object, list_objects, update_object
from pileus.image.actions.metadefs.properties import (
    create_property,
    delete_properties,
    delete_property,
    find_property,
    list_properties,
    update_property,
)
from pileus.image.actions.metadefs.resource_types import associate, dissociate, list_associations, list_resource_types
from pileus.image.actions.metadefs.tags import create_tag, delete_tag, delete_tags, find_tag, list_tags, set_tags, update_tag

__all__ = [
    "associate",
    "create_namespace",
    "create_object",
    "create_property",
    "create_tag",
    "delete_namespace",
    "delete_object",
    "delete_objects",
    "delete_properties",
    "delete_property",
    "delete_tag",
    "delete_tags",
    "dissociate",
    "find_namespace",
    "find_object",
    "find_property",
    "find_tag",
    "list_associations",
    "list_namespaces",
    "list_objects",
    "list_properties",
    "list_resource_types",
    "list_tags",
    "set_tags",
    "update_namespace",
    "update_object",
    "update_property",
    "update_tag",
]
