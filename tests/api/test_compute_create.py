"""Creation of servers: what is refused, in which words and order; what is written; ports, quotas, memory, groups, counts."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from pileus.network.actions.subnetpools import create_subnetpool
from tests.api.compute import (
    HOST,
    ONE,
    C,
    boot,
    client_of,
    context,
    create,
    group,
    image,
    loads,
    message,
    network,
    ports,
    row,
    settle,
    show,
)
from tests.conftest import Client

NOWHERE = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def nova() -> Client:
    return client_of()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"flavorRef": "999"}, "Flavor 999 could not be found."),
    ({"imageRef": NOWHERE}, "Can not find requested image"),
    ({"imageRef": "junk"}, "Invalid input for field/attribute imageRef. Value: junk. 'junk' is not valid under any of the given schemas"),
    ({"imageRef": ""}, "Missing imageRef attribute"),
    ({"networks": [{"uuid": NOWHERE}]}, f"Network {NOWHERE} could not be found."),
    ({"networks": [{"port": NOWHERE}]}, f"Port id {NOWHERE} could not be found."),
    ({"networks": "auto"}, "Invalid input for field/attribute networks. Value: auto. 'auto' is not of type 'array'"),
    ({"key_name": "none"}, "Invalid key_name provided."),
    ({"name": ""}, "Invalid input for field/attribute name. Value: . '' is too short"),
    ({"name": " x"}, "An invalid 'name' value was provided. The name must be: printable characters. Can not start or end with whitespace."),
    ({"security_groups": [{"name": "none"}]}, "Unable to find security_group with name or id 'none'"),
    ({"user_data": "not base64!"}, "Invalid input for field/attribute user_data. Value: not base64!. 'not base64!' is not a 'base64'"),
    ({"metadata": {"a": 1}}, "Invalid input for field/attribute a. Value: 1. 1 is not of type 'string'"),
    ({"min_count": 5, "max_count": 2}, "min_count must be <= max_count"),
    ({"availability_zone": "none"}, "The requested availability zone is not available"),
    (
        {"block_device_mapping_v2": [{"source_type": "volume", "destination_type": "volume", "uuid": NOWHERE}]},
        "Block Device Mapping is Invalid",
    ),
    ({"max_count": 100000}, "Invalid input for field/attribute max_count. Value: 100000. 100000 is greater than the maximum of 100"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED)
async def test_refusals(nova: Client, fields: dict[str, Any], words: str) -> None:
    answer = await create(nova, **fields)
    assert (answer.status, message(answer)[: len(words)]) == (400, words)
    assert nova.app.store.count("server", hidden=True) == 0
    assert nova.app.store.count("port") == 0


async def test_bodies_that_are_no_server(nova: Client) -> None:
    for body, words in (({}, "'server' is a required property"), ("{bad", "Malformed request body"), ("[1]", "Malformed request body")):
        answer = await nova("POST", f"{C}/servers", body, token="alice")
        assert (answer.status, message(answer)) == (400, words)
    unknown = await nova("POST", f"{C}/servers", {"server": {"name": "x", "bogus": 1}}, token="alice")
    assert message(unknown) == (
        "Invalid input for field/attribute server. Value: {'name': 'x', 'bogus': 1}. "
        "Additional properties are not allowed ('bogus' was unexpected)"
    )
    beside = await nova("POST", f"{C}/servers", {"server": {"name": "x"}, "other": 1}, token="alice")
    assert message(beside) == "Additional properties are not allowed ('other' was unexpected)"


@pytest.mark.parametrize(
    ("field", "value", "first"),
    [("description", "d", 19), ("tags", ["a"], 52), ("trusted_image_certificates", ["a"], 63)],
)
async def test_fields_are_taken_from_their_version_on(nova: Client, field: str, value: Any, first: int) -> None:
    before = await create(nova, version=f"2.{first - 1}", networks="none" if first > 37 else None, **{field: value})
    assert f"('{field}' was unexpected)" in message(before)
    assert (await create(nova, version=f"2.{first}", networks="none" if first > 36 else None, **{field: value})).status == 202


async def test_personality_ends_at_2_56(nova: Client) -> None:
    files = [{"path": "/etc/x", "contents": base64.b64encode(b"hi").decode()}]
    assert "was unexpected" in message(await create(nova, version="2.57", networks="none", personality=files))
    answer = await create(nova, version="2.56", networks="none", personality=files)
    assert loads(row(nova, answer["server"]["id"])["personality"]) == files
    many = await create(nova, personality=files * 6)
    assert (many.status, message(many)) == (403, "Personality file limit exceeded")


async def test_networks_must_be_said_from_2_37_on(nova: Client) -> None:
    assert message(await create(nova, version="2.37")).endswith("'networks' is a required property")
    assert (await create(nova, version="2.36")).status == 202


async def test_what_is_answered_and_kept(nova: Client) -> None:
    key = await nova("POST", f"{C}/os-keypairs", {"keypair": {"name": "k"}}, token="alice")
    img = image(nova, properties='{"kernel_id": "k1"}', min_ram=64)
    data = base64.b64encode(b"#!/bin/sh\n").decode()
    answer = await create(nova, imageRef=img, name="Web server_1", key_name="k", user_data=data, config_drive="true", metadata={"a": "b"})
    assert answer.status == 202
    assert set(answer["server"]) == {"id", "links", "OS-DCF:diskConfig", "security_groups", "adminPass"}
    assert len(answer["server"]["adminPass"]) == 12
    id = answer["server"]["id"]
    assert answer.headers["location"].endswith(f"{C}/servers/{id}")
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    kept = row(nova, id)
    assert (kept["vm_state"], kept["task_state"], kept["power"], kept["host_uid"]) == ("building", "spawning", "on", 1)
    assert (kept["hostname"], kept["config_drive"], kept["user_data"]) == ("web-server-1", 1, data)
    assert kept["public_key"] == key["keypair"]["public_key"]
    assert loads(kept["image"])["properties"] == {"kernel_id": "k1"}
    assert loads(kept["flavor"]) | {"rxtx_factor": 1.0} == {
        "id": "nano", "name": "nano", "vcpus": 1, "ram": 128, "disk": 1, "ephemeral": 0, "swap": 0, "rxtx_factor": 1.0, "extra_specs": {},
    }  # fmt: skip
    records = nova.app.store.find("action_record", {"resource_id": id})
    assert [(r["action"], r["finished_at"], r["request_id"]) for r in records] == [
        ("create", None, answer.headers["x-openstack-request-id"])
    ]


async def test_only_members_create(nova: Client) -> None:
    answer = await create(nova, "ray")
    assert (answer.status, message(answer)) == (403, "Policy doesn't allow os_compute_api:servers:create to be performed.")


# -- images ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"min_ram": 256}, "Flavor's memory is too small for requested image."),
        (
            {"min_disk": 2},
            "Flavor's disk is too small for requested image. Flavor disk is 1073741824 bytes, minimum size is 2147483648 bytes.",
        ),
        (
            {"virtual_size": 2 << 30},
            "Flavor's disk is too small for requested image. Flavor disk is 1073741824 bytes, image is 2147483648 bytes.",
        ),
    ],
)
async def test_an_image_must_fit_the_flavor(nova: Client, columns: dict[str, Any], words: str) -> None:
    answer = await create(nova, imageRef=image(nova, **columns))
    assert (answer.status, message(answer)) == (400, words)


async def test_an_image_must_be_there_for_the_caller(nova: Client) -> None:
    mine = image(nova, visibility="private")
    assert (await create(nova, imageRef=mine)).status == 202
    assert message(await create(nova, "bob", imageRef=mine)) == "Can not find requested image"
    queued = image(nova, status="queued")
    assert message(await create(nova, imageRef=queued)) == f"Image {queued} is not active."


async def test_an_image_may_come_as_a_block_device(nova: Client) -> None:
    img = image(nova)
    disk = {"boot_index": 0, "source_type": "image", "destination_type": "local", "uuid": img, "delete_on_termination": True}
    for ref in (img, ""):
        answer = await create(nova, imageRef=ref, block_device_mapping_v2=[disk])
        assert answer.status == 202, answer.text
        assert row(nova, answer["server"]["id"])["image_id"] == img


# -- networks ----------------------------------------------------------------------------------------------------------------


async def test_a_network_gives_a_port_that_goes_with_the_server(nova: Client) -> None:
    net = network(nova)
    id = await boot(nova, networks=[{"uuid": net}])
    (port,) = ports(nova, id)
    assert (port["device_owner"], port["binding_host"], port["project_id"]) == ("compute:nova", "host1", ONE)
    assert loads(row(nova, id)["own_ports"]) == [port["id"]]
    shown = await show(nova, id)
    (address,) = shown["addresses"]["net"]
    assert (address["version"], address["OS-EXT-IPS:type"], address["OS-EXT-IPS-MAC:mac_addr"]) == (4, "fixed", port["mac_address"])
    assert address["addr"].startswith("10.0.0.")
    assert shown["security_groups"] == [{"name": "default"}]


async def test_an_address_asked_for(nova: Client) -> None:
    net = network(nova)
    id = await boot(nova, networks=[{"uuid": net, "fixed_ip": "10.0.0.77"}])
    assert (await show(nova, id))["addresses"]["net"][0]["addr"] == "10.0.0.77"
    again = await create(nova, networks=[{"uuid": net, "fixed_ip": "10.0.0.77"}])
    assert (again.status, message(again)) == (400, f"Fixed IP address 10.0.0.77 is already in use on instance {id}.")
    outside = await create(nova, networks=[{"uuid": net, "fixed_ip": "10.9.9.9"}])
    assert outside.status == 400
    assert nova.app.store.count("server") == 1


async def test_a_port_asked_for_stays_when_the_server_goes(nova: Client) -> None:
    from pileus.network import actions
    from pileus.network.resources import PORT

    ctx = context(nova)
    net = network(nova)
    made = actions.create_port(ctx, PORT.decode({"port": {"network_id": net}}, "create", ctx))
    id = await boot(nova, version="2.42", networks=[{"port": made["id"], "tag": "front"}])
    assert [port["id"] for port in ports(nova, id)] == [made["id"]]
    assert (loads(row(nova, id)["own_ports"]), loads(row(nova, id)["device_tags"])) == ([], {made["id"]: "front"})
    used = await create(nova, networks=[{"port": made["id"]}])
    assert (used.status, message(used)) == (409, f"Port {made['id']} is still in use.")
    both = await create(nova, min_count=2, networks=[{"port": made["id"]}])
    assert both.status == 400
    tagged = await nova("GET", f"{C}/servers/{id}/os-interface", token="alice", version="2.70")
    assert [each["tag"] for each in tagged["interfaceAttachments"]] == ["front"]


async def test_without_networks_the_only_one_is_taken(nova: Client) -> None:
    id = await boot(nova)
    assert ports(nova, id) == []
    first = network(nova)
    id = await boot(nova)
    assert [port["network_id"] for port in ports(nova, id)] == [first]
    assert ports(nova, await boot(nova, version="2.37", networks="none")) == []
    assert len(ports(nova, await boot(nova, version="2.37", networks="auto"))) == 1
    network(nova, cidr="10.1.0.0/24")
    answer = await create(nova)
    assert (answer.status, message(answer)) == (409, "Multiple possible networks found, use a Network ID to be more specific.")


async def test_a_network_is_made_for_whoever_has_none_and_asks_for_one(nova: Client) -> None:
    answer = await create(nova, version="2.37", networks="auto")
    assert (answer.status, message(answer)[:47]) == (400, "Unable to automatically allocate a network for ")
    create_subnetpool(
        context(nova, "admin"),
        {"name": "p", "prefixes": ["10.0.0.0/8"], "default_prefixlen": 24, "is_default": True, "shared": True},
    )
    id = await boot(nova, version="2.37", networks="auto")
    (port,) = ports(nova, id)
    made = nova.app.store.get("network", port["network_id"])
    assert made is not None
    assert made["name"] == "auto_allocated_network"


async def test_a_strangers_network_is_not_there(nova: Client) -> None:
    theirs = network(nova, "bob")
    answer = await create(nova, networks=[{"uuid": theirs}])
    assert message(answer) == f"Network {theirs} could not be found."


async def test_security_groups_by_name_and_id(nova: Client) -> None:
    net = network(nova)
    web, ssh = group(nova, "web"), group(nova, "ssh")
    id = await boot(nova, networks=[{"uuid": net}], security_groups=[{"name": "web"}, {"name": ssh}])
    assert (await show(nova, id))["security_groups"] == [{"name": "ssh"}, {"name": "web"}]
    (port,) = ports(nova, id)
    held = nova.app.store.find("port_security_group", {"port_id": port["id"]})
    assert {each["security_group_id"] for each in held} == {web, ssh}
    other = await create(nova, "bob", security_groups=[{"name": "web"}])
    assert message(other) == "Unable to find security_group with name or id 'web'"


# -- how many, and how much --------------------------------------------------------------------------------------------------


async def test_several_at_once(nova: Client) -> None:
    answer = await create(nova, min_count=2, max_count=3, return_reservation_id=True)
    assert answer.status == 202
    rows = nova.app.store.find("server", {"reservation_id": answer["reservation_id"]}, order="launch_index")
    assert [(r["name"], r["launch_index"], r["host_uid"]) for r in rows] == [("vm-1", 0, 1), ("vm-2", 1, 2), ("vm-3", 2, 3)]


async def test_quotas_are_counted_in_the_transaction(nova: Client) -> None:
    await nova("PUT", f"{C}/os-quota-sets/{ONE}", {"quota_set": {"instances": 1}})
    first = await boot(nova)
    answer = await create(nova)
    assert answer.status == 403
    assert message(answer) == "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances"
    await nova("PUT", f"{C}/os-quota-sets/{ONE}", {"quota_set": {"instances": -1, "cores": 2, "ram": 300}})
    answer = await create(nova, min_count=2, max_count=3)
    assert message(answer) == "Quota exceeded for cores, ram: Requested 2, 256, but already used 1, 128 of 2, 300 cores, ram"
    some = await create(nova, min_count=1, max_count=3, return_reservation_id=True)
    assert nova.app.store.count("server", {"reservation_id": some["reservation_id"]}) == 1
    assert (await create(nova, "bob")).status == 202
    nova.app.store.update("server", first, {"deleted_at": 1})
    assert (await create(nova)).status == 202


async def test_no_valid_host_before_memory_runs_out(nova: Client) -> None:
    net = network(nova)
    fits = (HOST["memory_mb"] - 512) // 2048
    for _ in range(fits):
        assert (await create(nova, flavorRef="2", imageRef=image(nova), networks=[{"uuid": net}])).status == 202
    answer = await create(nova, flavorRef="2", networks=[{"uuid": net}])
    assert answer.status == 202
    id = answer["server"]["id"]
    shown = await show(nova, id)
    assert (shown["status"], shown["OS-EXT-STS:vm_state"], shown["hostId"], shown["addresses"]) == ("ERROR", "error", "", {})
    assert (shown["fault"]["code"], shown["fault"]["message"]) == (500, "No valid host was found. There are not enough hosts available.")
    assert "progress" not in shown
    assert ports(nova, id) == []
    for verb, value in (("os-stop", None), ("reboot", {"type": "HARD"})):
        refused = await nova("POST", f"{C}/servers/{id}/action", {verb: value}, token="alice")
        assert (refused.status, message(refused)) == (409, f"Instance {id} is not ready")
    records = await nova("GET", f"{C}/servers/{id}/os-instance-actions", token="alice")
    assert [(r["action"], r["message"]) for r in records["instanceActions"]] == [("create", "Error")]
    assert (await create(nova, flavorRef="nano", networks=[{"uuid": net}])).status == 202


async def test_users_of_the_datacenter_are_given_and_given_back(nova: Client) -> None:
    ids = [await boot(nova) for _ in range(3)]
    assert [row(nova, id)["host_uid"] for id in ids] == [1, 2, 3]
    nova.app.store.update("server", ids[1], {"deleted_at": 1})
    assert row(nova, await boot(nova))["host_uid"] == 2
    nova.app.cloud.host = {**HOST, "uid_count": 3}
    full = await create(nova)
    assert row(nova, full["server"]["id"])["vm_state"] == "error"
    nova.app.cloud.host = {**HOST, "uid_count": 0}
    assert row(nova, await boot(nova))["host_uid"] is None


async def test_groups_that_want_to_be_apart(nova: Client) -> None:
    body = {"server_group": {"name": "g", "policies": ["anti-affinity"]}}
    made = await nova("POST", f"{C}/os-server-groups", body, token="alice")
    id = made["server_group"]["id"]
    first = await create(nova, hints={"group": id})
    second = await create(nova, hints={"group": id})
    assert [row(nova, answer["server"]["id"])["vm_state"] for answer in (first, second)] == ["building", "error"]
    shown = await show(nova, first["server"]["id"], version="2.71")
    assert shown["server_groups"] == [id]
    members = await nova("GET", f"{C}/os-server-groups/{id}", token="alice")
    assert members["server_group"]["members"] == [first["server"]["id"], second["server"]["id"]]
    unknown = await create(nova, hints={"group": NOWHERE})
    assert (unknown.status, message(unknown)) == (400, f"Instance group {NOWHERE} could not be found.")


async def test_one_transaction(nova: Client) -> None:
    """What fails at the last step leaves nothing: here the second network has no address to give."""
    net = network(nova)
    tiny = network(nova, cidr="10.2.0.0/30")
    settle(nova, await boot(nova, networks=[{"uuid": tiny}]))
    before = (nova.app.store.count("server"), nova.app.store.count("port"), nova.app.store.count("action_record"))
    answer = await create(nova, networks=[{"uuid": net}, {"uuid": tiny}])
    assert answer.status in (400, 409)
    assert (nova.app.store.count("server"), nova.app.store.count("port"), nova.app.store.count("action_record")) == before
