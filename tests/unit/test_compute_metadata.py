"""What a server is told of itself: the metadata service's tree, and the files of the config drive."""

from __future__ import annotations

import base64
import json
import re
import uuid

import pytest

from pileus.compute.live import Answer, Metadata, describe, drive_files
from pileus.compute.live.console import Consoles
from pileus.drivers.fake.compute import FakeGuests
from pileus.drivers.fake.host import FakeHost
from pileus.kit.store import Row
from tests.reconcile.servers import NETWORK, World, world

KEY = "ssh-ed25519 AAAA me@here"
ADDRESS, FLOATING = "10.0.2.5", "192.168.37.10"


class Site:
    """A cloud with one server that has everything a server can be told of."""

    def __init__(self, **columns: object) -> None:
        self.cloud: World = world()
        now = self.cloud.clock.now()
        everything = {
            "name": "Web One",
            "hostname": "web-one",
            "key_name": "mine",
            "public_key": KEY,
            "key_type": "ssh",
            "metadata": json.dumps({"colour": "blue"}),
            "user_data": base64.b64encode(b"#!/bin/sh\n").decode(),
            "personality": json.dumps([{"path": "/etc/motd", "contents": base64.b64encode(b"hello").decode()}]),
            "image": json.dumps({"properties": {"kernel_id": str(uuid.UUID(int=0xABCDEF01 << 96))}}),
        }
        self.id = self.cloud.server(**{**everything, **columns})  # type: ignore[arg-type]
        self.port = json.loads(self.cloud.row(self.id)["own_ports"])[0]
        store = self.cloud.store
        subnet = {
            "id": str(uuid.uuid4()),
            "network_id": NETWORK,
            "project_id": "p",
            "ip_version": 4,
            "cidr": "10.0.2.0/24",
            "gateway_ip": "10.0.2.1",
            "allocation_pools": "[]",
            "created_at": now,
            "updated_at": now,
            "dns_nameservers": '["9.9.9.9"]',
            "host_routes": '[{"destination": "10.9.0.0/16", "nexthop": "10.0.2.9"}]',
        }
        store.insert("subnet", subnet)
        self.subnet = subnet["id"]
        store.insert("fixed_ip", {"port_id": self.port, "subnet_id": self.subnet, "network_id": NETWORK, "ip_address": ADDRESS})
        group = {"id": str(uuid.uuid4()), "project_id": "p", "name": "web", "created_at": now, "updated_at": now}
        store.insert("security_group", group)
        store.insert("port_security_group", {"port_id": self.port, "security_group_id": group["id"]})
        floating = {
            "id": str(uuid.uuid4()),
            "project_id": "p",
            "floating_network_id": NETWORK,
            "floating_ip_address": FLOATING,
            "floating_port_id": "x",
            "port_id": self.port,
            "created_at": now,
            "updated_at": now,
        }
        store.insert("floating_ip", floating)
        self.metadata = Metadata(self.cloud.cloud)

    def port_row(self) -> Row:
        row = self.cloud.store.get("port", self.port)
        assert row
        return row

    async def ask(self, path: str, method: str = "GET", body: bytes = b"") -> Answer:
        return await self.metadata.answer(self.port_row(), method, path, body)

    async def text(self, path: str) -> str:
        answer = await self.ask(path)
        assert answer.status == 200, path
        return answer.body.decode()


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/latest/meta-data/local-ipv4", ADDRESS),
        ("/latest/meta-data/public-ipv4", FLOATING),
        ("/2009-04-04/meta-data/hostname", "web-one"),
        ("/latest/meta-data/local-hostname/", "web-one"),
        ("/latest/meta-data/public-keys/", "0=mine"),
        ("/latest/meta-data/public-keys/0/", "openssh-key"),
        ("/latest/meta-data/public-keys/0/openssh-key", KEY + "\n"),
        ("/latest/meta-data/placement/availability-zone", "nova"),
        ("/latest/meta-data/placement", "availability-zone"),
        ("/latest/meta-data/security-groups", "web"),
        ("/latest/meta-data/reservation-id", "r-1"),
        ("/latest/meta-data/instance-type", "nano"),
        ("/latest/meta-data/kernel-id", "aki-abcdef01"),
        ("/latest/meta-data/block-device-mapping/", "ami\nroot"),
        ("/latest/meta-data/block-device-mapping/root", "/dev/vda"),
        ("/latest/user-data", "#!/bin/sh\n"),
        ("/latest/", "meta-data/\nuser-data"),
        ("/", "1.0\n2007-01-19\n2007-03-01\n2007-08-29\n2007-10-10\n2007-12-15\n2008-02-01\n2008-09-01\n2009-04-04\nlatest"),
        (
            "/openstack",
            "2012-08-10\n2013-04-04\n2013-10-17\n2015-10-15\n2016-06-30\n2016-10-06\n2017-02-22\n2018-08-27\nlatest",
        ),
        ("/openstack/latest/", "meta_data.json\nuser_data\npassword\nvendor_data.json\nnetwork_data.json\nvendor_data2.json"),
        ("/openstack/2012-08-10/", "meta_data.json\nuser_data"),
        ("/openstack/latest/user_data", "#!/bin/sh\n"),
        ("/openstack/content/0000", "hello"),
        ("/openstack/latest/vendor_data.json", "{}"),
    ],
)
async def test_what_is_at_a_path(site: Site, path: str, text: str) -> None:
    assert await site.text(path) == text


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/latest/nothing",
        "/latest/meta-data/nothing",
        "/latest/meta-data/hostname/x",
        "/openstack/2011-01-01",
        "/openstack/latest/x",
        "/openstack/2012-08-10/password",
        "/openstack/content",
        "/openstack/content/0001",
        "/latest/meta-data/public-keys//x",
        "/latest/../x",
    ],
)
async def test_what_is_not_there(site: Site, path: str) -> None:
    assert (await site.ask(path)).status == 404


async def test_meta_data_json(site: Site) -> None:
    answer = await site.ask("/openstack/latest/meta_data.json")
    assert answer.content_type == "application/json"
    document = json.loads(answer.body)
    assert len(base64.b64decode(document.pop("random_seed"))) == 512
    assert document == {
        "uuid": site.id,
        "availability_zone": "nova",
        "hostname": "web-one",
        "launch_index": 0,
        "name": "Web One",
        "meta": {"colour": "blue"},
        "public_keys": {"mine": KEY + "\n"},
        "keys": [{"name": "mine", "type": "ssh", "data": KEY + "\n"}],
        "project_id": "p",
        "devices": [],
        "files": [{"path": "/etc/motd", "content_path": "/content/0000"}],
    }
    oldest = json.loads(await site.text("/openstack/2012-08-10/meta_data.json"))
    assert {"keys", "random_seed", "project_id", "devices"}.isdisjoint(oldest)


async def test_a_tagged_device_is_told(site: Site) -> None:
    site.cloud.store.update("server", site.id, {"device_tags": json.dumps({site.port: "front"})})
    mac = site.port_row()["mac_address"]
    document = json.loads(await site.text("/openstack/latest/meta_data.json"))
    assert document["devices"] == [{"type": "nic", "bus": "virtio", "mac": mac, "address": "none", "tags": ["front"]}]


async def test_network_data_json(site: Site) -> None:
    port = site.port_row()
    link = f"tap{site.port[:11]}"
    document = json.loads(await site.text("/openstack/latest/network_data.json"))
    assert document["links"] == [
        {"id": link, "vif_id": site.port, "type": "bridge", "mtu": 1450, "ethernet_mac_address": port["mac_address"]}
    ]
    assert document["networks"] == [{"id": "network0", "link": link, "network_id": NETWORK, "type": "ipv4_dhcp"}]
    assert document["services"] == [{"type": "dns", "address": "9.9.9.9"}]
    site.cloud.store.update("subnet", site.subnet, {"enable_dhcp": 0})
    static = json.loads(await site.text("/openstack/latest/network_data.json"))["networks"][0]
    assert (static["type"], static["ip_address"], static["netmask"]) == ("ipv4", ADDRESS, "255.255.255.0")
    assert static["routes"] == [
        {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.2.1"},
        {"network": "10.9.0.0", "netmask": "255.255.0.0", "gateway": "10.0.2.9"},
    ]


async def test_the_password_is_posted_once(site: Site) -> None:
    path = "/openstack/2013-10-17/password"
    assert await site.text(path) == ""
    assert (await site.ask(path, "POST", b"x" * 1021)).status == 400
    assert (await site.ask(path, "POST", b"secret, encrypted")).status == 200
    assert site.cloud.row(site.id)["password"] == "secret, encrypted"
    assert await site.text(path) == "secret, encrypted"
    assert (await site.ask(path, "POST", b"another")).status == 409
    assert (await site.ask("/openstack/2012-08-10/password", "POST", b"x")).status == 404
    assert (await site.ask("/latest/meta-data", "POST", b"x")).status == 405


async def test_a_server_without_a_key_or_data_has_none() -> None:
    site = Site(key_name=None, public_key=None, user_data=None, personality="[]", metadata="{}", image="{}")
    assert (await site.ask("/latest/user-data")).status == 404
    assert (await site.ask("/latest/meta-data/public-keys/")).status == 404
    assert (await site.ask("/openstack/latest/user_data")).status == 404
    assert "kernel-id" not in await site.text("/latest/meta-data/")
    document = json.loads(await site.text("/openstack/latest/meta_data.json"))
    assert {"public_keys", "keys", "meta", "files"}.isdisjoint(document)


async def test_a_port_without_a_server_is_told_nothing(site: Site) -> None:
    assert (await site.metadata.answer({**site.port_row(), "device_id": "somebody"}, "GET", "/latest/meta-data/")).status == 404


def test_the_config_drive_says_the_same(site: Site) -> None:
    files = drive_files(describe(site.cloud.store, site.cloud.row(site.id)))
    assert json.loads(files["openstack/latest/meta_data.json"])["meta"] == {"colour": "blue"}
    assert json.loads(files["openstack/latest/network_data.json"])["links"]
    assert files["openstack/latest/user_data"] == files["ec2/latest/user-data"] == b"#!/bin/sh\n"
    assert files["openstack/content/0000"] == b"hello"
    ec2 = json.loads(files["ec2/2009-04-04/meta-data.json"])
    assert (ec2["local-ipv4"], ec2["public-keys"]) == (ADDRESS, {"0": {"openssh-key": KEY + "\n"}})
    assert not any(re.search("password", path) for path in files)


async def test_the_console_log_is_its_last_lines() -> None:
    guests = FakeGuests(FakeHost())
    guests._records["a"] = {"log": "one\r\ntwo\x1b[0m\r\nthree\r\n"}
    console = Consoles(guests)
    row = {"id": "a"}
    assert await console.console_log(row) == "one\ntwo[0m\nthree\n"
    assert await console.console_log(row, 2) == "three\n", "what follows the last newline is a line, as in Nova"
    assert await console.console_log(row, 0) == ""
    assert await console.console_log(row, -1) == await console.console_log(row)
    assert await console.console_log({"id": "b"}, 5) == ""
