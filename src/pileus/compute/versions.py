"""Gates: what a microversion changed that is not the shape of a resource (for shapes see the spans in resources/).

Source: https://docs.openstack.org/nova/latest/reference/api-microversion-history.html
"""

from __future__ import annotations

from pileus.openstack.microversion import Microversions

VERSIONS = Microversions("compute", (2, 1), (2, 79), legacy="X-OpenStack-Nova-API-Version")

KEYPAIR_TYPES = (2, 2)  # key pairs have a type; they are created with 201 and deleted with 204
NO_ACCESS_TO_PUBLIC = (2, 7)  # a public flavor refuses to be given to a project
KEYPAIR_OWNERS = (2, 10)  # an admin names the user whose key pairs are meant
FORCED_DOWN = (2, 11)  # services say whether an admin declared them down
GROUP_OWNERS = (2, 13)  # server groups say whose they are
SOFT_POLICIES = (2, 15)  # server groups may be soft-affinity and soft-anti-affinity
DELETED_ACTIONS = (2, 21)  # the actions of a deleted server can be read
TAGS = (2, 26)  # servers have tags, and lists filter by them
CPU_INFO_OBJECT = (2, 28)  # a hypervisor's cpu_info is an object, not text
PAGED_HYPERVISORS = (2, 33)  # hypervisors are listed in pages
PAGED_KEYPAIRS = (2, 35)  # key pairs are listed in pages
NO_PROXIES = (2, 36)  # nothing is asked of Neutron and Glance on a client's behalf; their limits and quotas go too
NO_IMAGE_METADATA = (2, 39)  # the limits no longer speak of image metadata
PAGED_USAGE = (2, 40)  # usage is listed in pages
AGGREGATE_UUIDS = (2, 41)  # aggregates have a uuid
PLAIN_DIAGNOSTICS = (2, 48)  # diagnostics are the same for every driver
INTERFACE_TAGS = (2, 49)  # a network card that is plugged in later may have a tag
GROUP_QUOTA_CLASS = (2, 50)  # quota classes have server groups, and no longer what Neutron counts
EVENTS_FOR_ALL = (2, 51)  # everybody who may read an action reads its events; tracebacks stay with the admin
UUIDS = (2, 53)  # hypervisors and services are named by uuid; hypervisors are searched by query
NO_PERSONALITY = (2, 57)  # files can no longer be injected; their limits and quotas go
PAGED_ACTIONS = (2, 58)  # actions are listed in pages and say when they were updated
EVENT_HOSTS = (2, 62)  # events say on which host they happened
GROUP_RULES = (2, 64)  # a server group has one policy with rules
CHANGES_BEFORE = (2, 66)  # lists filter by changes-before
LOCKED_REASON = (2, 73)  # a lock may give its reason, and lists filter by locked
STRICT_QUERIES = (2, 75)  # unknown query parameters are refused; an update answers with everything that show does; swap of 0 is 0
