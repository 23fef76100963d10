"""Names of the extensions that projects share things by, and of those that show this one machine as a cloud's operator looks at it."""

from __future__ import annotations

# alias: (name, description, when it was last changed)
KNOWN: dict[str, tuple[str, str, str]] = {
    "quota-check-limit": (
        "Quota engine limit check",
        "Support for checking the resource usage before applying a new quota limit",
        "2021-09-08T16:00:00-00:00",
    ),
    "agent-resources-synced": (
        "Agent's Resource View Synced to Placement",
        "Stores success/failure of last sync to Placement",
        "2018-12-19T00:00:00-00:00",
    ),
    "auto-allocated-topology": (
        "Auto Allocated Topology Services",
        "Auto Allocated Topology Services.",
        "2016-01-01T00:00:00-00:00",
    ),
    "availability_zone_filter": (
        "Availability Zone Filter Extension",
        "Add filter parameters to AvailabilityZone resource",
        "2018-06-22T10:00:00-00:00",
    ),
    "dhcp_agent_scheduler": (
        "DHCP Agent Scheduler",
        "Schedule networks among dhcp agents",
        "2013-02-07T10:00:00-00:00",
    ),
    "extraroute-atomic": (
        "Atomically add/remove extra routes",
        "Edit extra routes of a router on server side by atomically adding/removing extra routes",
        "2019-07-10T00:00:00+00:00",
    ),
    "flavors": (
        "Neutron Service Flavors",
        "Flavor specification for Neutron advanced services.",
        "2015-09-17T10:00:00-00:00",
    ),
    "floatingip-pools": (
        "Floating IP Pools Extension",
        "Provides a floating IP pools API.",
        "2018-03-21T10:00:00-00:00",
    ),
    "l3-flavors": (
        "Router Flavor Extension",
        "Flavor support for routers.",
        "2016-05-17T00:00:00-00:00",
    ),
    "l3_agent_scheduler": (
        "L3 Agent Scheduler",
        "Schedule routers among l3 agents",
        "2013-02-07T10:00:00-00:00",
    ),
    "metering": (
        "Neutron Metering",
        "Neutron Metering extension.",
        "2013-06-12T10:00:00-00:00",
    ),
    "metering-source-and-destination-ip-prefixes": (
        "Neutron Metering source and destination IP prefixes",
        "Neutron Metering rules with source and destination IP prefixes.",
        "2020-08-21T08:12:00-00:00",
    ),
    "security-groups-default-rules": (
        "Default rules for security groups",
        "Configure set of security group rules used as default rules.",
        "2022-12-19T10:00:00-00:00",
    ),
    "segment": (
        "Segment",
        "Segments extension.",
        "2016-02-24T17:00:00-00:00",
    ),
    "standard-attr-segment": (
        "Standard Attr Segment",
        "Add standard attributes to Segment resource",
        "2018-03-09T10:00:00-00:00",
    ),
    "tag": (
        "Tag support",
        "Enables to set tag on resources.",
        "2016-01-01T00:00:00-00:00",
    ),
    "address-scope": (
        "Address scope",
        "Address scopes extension.",
        "2015-07-26T10:00:00-00:00",
    ),
    "default-subnetpools": (
        "Default Subnetpools",
        "Provides ability to mark and use a subnetpool as the default.",
        "2016-02-18T18:00:00-00:00",
    ),
    "rbac-address-scope": (
        "Add address_scope type to RBAC",
        "Add address_scope type to RBAC",
        "2020-02-12T00:00:00-00:00",
    ),
    "rbac-subnetpool": (
        "Add subnetpool type to RBAC",
        "Add subnetpool type to RBAC",
        "2020-02-05T00:00:00-00:00",
    ),
    "subnet_onboard": (
        "Subnet Onboard",
        "Provides support for onboarding subnets into subnet pools",
        "2018-12-18T09:00:00-00:00",
    ),
    "subnet_allocation": (
        "Subnet Allocation",
        "Enables allocation of subnets from a subnet pool",
        "2015-03-30T10:00:00-00:00",
    ),
    "subnetpool-prefix-ops": (
        "Subnet Pool Prefix Operations",
        "Provides support for adjusting the prefix list of subnet pools",
        "2019-02-08T10:00:00-00:00",
    ),
    "rbac-policies": (
        "RBAC Policies",
        "Allows creation and modification of policies that control tenant access to resources.",
        "2015-06-17T12:15:12-00:00",
    ),
    "rbac-security-groups": (
        "Add security_group type to network RBAC",
        "Add security_group type to network RBAC",
        "2019-02-14T00:00:00-00:00",
    ),
    "address-group": (
        "Address group",
        "Support address group",
        "2020-07-15T10:00:00-00:00",
    ),
    "rbac-address-group": (
        "Add address_group type to RBAC",
        "Add address_group type to network RBAC",
        "2021-01-20T00:00:00-00:00",
    ),
    "security-groups-remote-address-group": (
        "Remote address group id field for security group rules",
        "Add new field of remote address group id in SG rules",
        "2020-08-25T10:00:00-00:00",
    ),
}

# what no field shows
BEHAVIOURS: frozenset[str] = frozenset(
    {
        "agent-resources-synced",
        "auto-allocated-topology",
        "availability_zone_filter",
        "dhcp_agent_scheduler",
        "extraroute-atomic",
        "floatingip-pools",
        "l3_agent_scheduler",
        "quota-check-limit",
        "rbac-security-groups",
        "subnet_onboard",
        "subnetpool-prefix-ops",
        "tag",
    }
)
