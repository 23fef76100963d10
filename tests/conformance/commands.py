"""The openstack client's commands, as rows: every one that was recorded against a real cloud, and whether it belongs to what is built.

Data only; openstack_cli.py runs it, in this order, since rows lean on what rows before them made. A row passes when the client ends with
status 0 and prints what `says` (a regular expression) asks for; a row with `refused` passes when it ends with an error that says that, as
it does against a real cloud.
"""

from __future__ import annotations

from dataclasses import dataclass

ADDRESS = "192.168.37.9"


@dataclass(frozen=True, slots=True)
class Row:
    """One command. `settle`: a server that must have come to rest before; `later`: why it is not run yet; `quick`: part of `make test`."""

    command: str
    says: str = ""
    refused: str = ""
    settle: str = ""
    later: str = ""
    quick: bool = False
    prepares: bool = False  # makes what later rows need; was not recorded itself


def prepare(command: str, says: str = "", settle: str = "", quick: bool = True) -> Row:
    return Row(command, says, settle=settle, prepares=True, quick=quick)


IDENTITY = [
    Row("token issue", "project_id", quick=True),
    Row("catalog list", "(?s)identity.*/identity", quick=True),
    Row("versions show", "(?s)compute.*2.79", quick=True),
    Row("project list", "admin", quick=True),
    Row("project create --domain default p2", "p2", quick=True),
    Row("user list", "admin"),
    Row("user create --domain default --password x u2", "u2", quick=True),
    Row("role list", "(?s)admin.*reader|reader.*admin"),
    Row("role add --user admin --project admin member", quick=True),
    Row("role assignment list --names", "member.*admin"),
    Row("service list", "compute"),
    Row("endpoint list", "/compute"),
    Row("application credential create ac1", "Secret"),
]
IMAGE = [
    prepare("image create --file img.raw --disk-format raw --container-format bare --public tiny", "active"),
    Row("image list", "tiny", quick=True),
    Row("image create --file img.raw --disk-format raw --container-format bare --public im2", "active"),
    Row("image show im2", "active"),
    Row("image set --property a=b im2", quick=False),
    Row("image list --property a=b --status active", "im2"),
    Row("image save --file out.raw im2"),
    Row("image delete im2"),
    Row("image create --shared lent"),
    Row("image add project lent admin", "pending"),
]
COMPUTE_NOUNS = [
    Row("flavor list", "m1.tiny", quick=True),
    Row("flavor create --ram 64 --vcpus 1 --disk 1 --id 9 f9", "f9"),
    Row("flavor show m1.tiny", "m1.tiny"),
    Row("flavor set --property hw:x=1 m1.tiny"),
    Row("flavor delete f9"),
    Row("keypair create --public-key k1.pub kp1", "kp1", quick=True),
    Row("keypair create kp2", "PRIVATE KEY"),
    Row("keypair list", "kp1"),
    Row("keypair show kp1", "kp1"),
    Row("keypair delete kp2"),
]
NETWORK = [
    Row("network list", "public", quick=True),
    Row("network create nA", "nA"),
    Row("network show nA", "nA"),
    Row("network set --name nB nA"),
    Row("subnet create --network nB --subnet-range 10.9.0.0/24 sA", "10.9.0.1"),
    Row("subnet list", "10.9.0.0/24"),
    Row("subnet show sA", "10.9.0.2-10.9.0.254"),
    Row("router create rA", "rA"),
    Row("router list", "rA"),
    Row("router show rA", "rA"),
    Row("router set --external-gateway public rA"),
    Row("router add subnet rA sA"),
    Row("router remove subnet rA sA"),
    Row("port create --network nB pA", "10.9.0."),
    Row("port list", "pA"),
    Row("port show pA", "nova|pA"),
    Row("port set --no-security-group pA"),
    Row("port delete pA"),
    Row("router delete rA"),
    Row("subnet delete sA"),
    Row("network delete nB"),
    Row("security group list", "default", quick=True),
    Row("security group create sgA", "egress"),
    Row("security group show sgA", "sgA"),
    Row("security group rule create --protocol tcp --dst-port 22 sgA", "22", quick=False),
    Row("security group rule list sgA", "22:22"),
    Row("security group rule delete 1", refused="No SecurityGroupRule found for 1"),
    Row("security group delete sgA"),
    prepare("network create net1"),
    prepare("subnet create --network net1 --subnet-range 10.1.0.0/24 sub1"),
    prepare("router create r1"),
    prepare("router set --external-gateway public r1"),
    prepare("router add subnet r1 sub1"),
    prepare("port create --network net1 p1", quick=False),
    Row("floating ip create public", r"192\.168\.37\.", quick=False),
    Row("floating ip list", r"192\.168\.37\."),
    prepare(f"floating ip create --floating-ip-address {ADDRESS} public", ADDRESS),
    Row("network set --tag x net1"),
    Row("subnet set --dns-nameserver 1.1.1.1 sub1"),
    Row("network agent list"),
    Row("ip availability list", "net1"),
    Row("network rbac list"),
    Row("network trunk list"),
    Row("subnet pool list"),
    Row("address scope list"),
]
ONCE = "--flavor m1.tiny --image tiny --network net1"
SERVER = [
    prepare(f"server create {ONCE} vm1", "vm1"),
    Row(f"server create {ONCE} --key-name kp1 --security-group default vmA", "vmA"),
    Row("server create --flavor m1.tiny --image tiny --nic net-id=auto --wait vmB", refused="No Network found for auto"),
    Row("server create --flavor m1.tiny --image tiny --nic auto --wait vmE", "ACTIVE"),
    Row(
        "server create --flavor m1.tiny --boot-from-volume 1 --image tiny --network net1 --user-data img.raw --config-drive True "
        "--property a=b vmC",
        later="volumes",
    ),
    Row(
        f"server create {ONCE} --password x --availability-zone nova --hint group=1 --file /etc/x=img.raw --min 1 --max 2 vmD",
        refused="(?i)personality files",
    ),
    Row("server list", "vm1", settle="vm1", quick=True),
    Row("server list --all-projects --long", "vm1.*ACTIVE"),
    Row("server show vm1", "ACTIVE", quick=True),
    Row("server set --name vm1x vm1"),
    Row("server set --property a=b vm1x"),
    Row("server set --name vm1 vm1x"),
    Row("server unset --property a vm1"),
    Row("server set --state active vm1", refused="Do you wish to continue"),
    Row("server reboot vm1", settle="vm1"),
    Row("server reboot --hard --wait vm1", settle="vm1"),
    Row("server stop vm1", settle="vm1", quick=True),
    Row("server start vm1", settle="vm1", quick=True),
    Row("console log show vm1", settle="vm1", quick=True),
    Row(f"server add floating ip vm1 {ADDRESS}", settle="vm1", quick=True),
    Row(f"server remove floating ip vm1 {ADDRESS}"),
    Row(f"floating ip set --port p1 {ADDRESS}"),
    Row(f"floating ip unset --port {ADDRESS}"),
    Row(f"floating ip delete {ADDRESS}"),
    Row("server add port vm1 p1", settle="vm1"),
    Row("server remove port vm1 p1"),
    Row("server add network vm1 net1"),
    Row("server add fixed ip vm1 net1", "fixed_ips|Fixed IPs"),
    prepare("security group create web", quick=False),
    prepare("server add security group vm1 web", quick=False),
    Row("server remove security group vm1 default", settle="vm1"),
    Row("server add security group vm1 default", settle="vm1"),
    Row("port set --security-group default --name zz p1"),
    Row("server lock vm1"),
    Row("server unlock vm1"),
    Row("server volume list vm1"),
    Row("server event list vm1", "create", quick=True),
    Row("router set --disable r1"),
    Row("server delete vmA"),
    Row("limits show --absolute", "maxTotalInstances|max_total_instances"),
    Row("quota show", "instances", quick=True),
    Row("quota show --usage", "(?i)in use"),
    Row("quota set --instances 20 admin"),
    Row("quota list --compute", "20"),
    Row("quota set --volumes 20 --floating-ips 10 admin", later="volumes"),
    Row("availability zone list", "nova"),
    Row("extension list", "(?i)security-group"),
    Row("usage list", "admin"),
    Row("usage show", "(?i)servers"),
]
OPERATOR = [
    Row("hypervisor list", "(?i)up"),
    Row("hypervisor stats show", "vcpus"),
    Row("compute service list", "nova-compute"),
    Row("compute agent list"),
    Row("host list", "compute"),
    Row("aggregate list"),
    Row("aggregate create ag1", "ag1"),
    Row("server migration list"),
    Row("server group list"),
    Row("server group create --policy affinity g1", "affinity"),
]
VERBS_LATER = [
    Row(command, later="pause to shelve, resize, rebuild, rescue, snapshot")
    for command in (
        "server pause vm1",
        "server unpause vm1",
        "server suspend vm1",
        "server resume vm1",
        "server resize --flavor m1.small vm1",
        "server resize confirm vm1",
        "server resize --flavor m1.small --wait vm1",
        "server resize revert vm1",
        "server rebuild vm1",
        "server rebuild --image tiny vm1",
        "server rescue vm1",
        "server unrescue vm1",
        "server shelve vm1",
        "server unshelve vm1",
        "server image create --name snap1 vm1",
        "server backup create --name b1 vm1",
        "server restore vm1",
        "server dump create vm1",
    )
]
WIRES_LATER = [
    Row(command, later="consoles, groups and the views of an operator")
    for command in (
        "console url show vm1",
        "console url show --spice vm1",
        "server migrate vm1",
        "hypervisor show h1",
    )
]
VOLUME_LATER = [
    Row(command, later="volumes")
    for command in (
        "server add volume vm1 v1",
        "server add volume --enable-delete-on-termination vm1 v1",
        "server remove volume vm1 v1",
        "volume list",
        "volume create --size 1 vA",
        "volume create --size 1 --image tiny vB",
        "volume show vA",
        "volume set --size 2 vA",
        "volume snapshot create --volume vA s1",
        "volume snapshot set --name x s1",
        "volume snapshot list",
        "volume snapshot delete s1",
        "volume delete vA",
        "volume type list",
        "volume type create t1",
        "volume service list",
        "volume backup list",
        "volume transfer request list",
        "image create --volume v1 fromvol",
    )
]
ENDS = [
    prepare(f"server create {ONCE} vmB"),
    Row("server delete --wait vmB", settle="vmB", quick=True),
]

ROWS = [*IDENTITY, *IMAGE, *COMPUTE_NOUNS, *NETWORK, *SERVER, *OPERATOR, *VERBS_LATER, *WIRES_LATER, *VOLUME_LATER, *ENDS]
