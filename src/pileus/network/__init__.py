"""Networks, subnets, ports, routers, floating IPs and security groups: Neutron's v2.0 API and what it means.

Owned here: the tables of `004-network.sql`, who may use which address (actions/addresses.py), and how the host is brought in line
(reconcile.py, behind host.py). Not here: namespaces, taps and packet filters themselves (drivers/linuxnet), servers (compute).
Source of the API: https://docs.openstack.org/api-ref/network/v2/
"""
