"""The field tables of the network service, one module per pair of nouns, and the extensions that their fields come from."""

from pileus.network.resources.address_groups import ADDRESS_GROUP
from pileus.network.resources.default_rules import DEFAULT_RULE
from pileus.network.resources.flavors import FLAVOR, SERVICE_PROFILE
from pileus.network.resources.logs import LOG
from pileus.network.resources.metering import LABEL, LABEL_RULE
from pileus.network.resources.networks import NETWORK, NETWORK_ADMIN, SUBNET
from pileus.network.resources.pools import ADDRESS_SCOPE, SUBNETPOOL
from pileus.network.resources.port_forwardings import PORT_FORWARDING
from pileus.network.resources.ports import PORT, PORT_ADMIN
from pileus.network.resources.qos import KINDS as QOS_RULES
from pileus.network.resources.qos import QOS_POLICY
from pileus.network.resources.rbac import RBAC_POLICY
from pileus.network.resources.routers import FLOATING_IP, FLOATING_IP_ADMIN, ROUTER, ROUTER_ADMIN
from pileus.network.resources.security_groups import RULE, SECURITY_GROUP
from pileus.network.resources.segments import SEGMENT
from pileus.network.resources.trunks import TRUNK

ALL = (
    NETWORK,
    SUBNET,
    PORT,
    ROUTER,
    FLOATING_IP,
    PORT_FORWARDING,
    SECURITY_GROUP,
    RULE,
    ADDRESS_GROUP,
    ADDRESS_SCOPE,
    DEFAULT_RULE,
    FLAVOR,
    LABEL,
    LABEL_RULE,
    SEGMENT,
    SERVICE_PROFILE,
    SUBNETPOOL,
    RBAC_POLICY,
    QOS_POLICY,
    *QOS_RULES.values(),
    TRUNK,
    LOG,
)

__all__ = [
    "ADDRESS_GROUP",
    "ADDRESS_SCOPE",
    "ALL",
    "FLOATING_IP",
    "FLOATING_IP_ADMIN",
    "LOG",
    "NETWORK",
    "NETWORK_ADMIN",
    "PORT",
    "PORT_ADMIN",
    "PORT_FORWARDING",
    "QOS_POLICY",
    "RBAC_POLICY",
    "ROUTER",
    "ROUTER_ADMIN",
    "RULE",
    "SECURITY_GROUP",
    "SUBNET",
    "SUBNETPOOL",
    "TRUNK",
]
