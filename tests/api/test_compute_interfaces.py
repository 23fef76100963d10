"""Network cards and addresses of servers that are there: attach, detach, add and remove, as asked over HTTP."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from pileus.network import actions as network_actions
from tests.api.compute import C, boot, client_of, context, message, network, row, settle
from tests.conftest import Answer, Client

IF = "interfaceAttachment"


@pytest.fixture
def nova() -> Client:
    return client_of()


async def attach(nova: Client, id: str, token: str = "alice", version: str | None = None, **values: Any) -> Answer:
    return await nova("POST", f"{C}/servers/{id}/os-interface", {IF: values}, token=token, version=version)


async def listed(nova: Client, id: str) -> list[str]:
    answer = await nova("GET", f"{C}/servers/{id}/os-interface", token="alice")
    return [port["port_id"] for port in answer["interfaceAttachments"]]


def port(nova: Client, net: str, name: str = "alice", **values: Any) -> str:
    return str(network_actions.create_port(context(nova, name), {"network_id": net, **values})["id"])


def wishes(nova: Client) -> list[tuple[str, str]]:
    return [(wish["port_id"], wish["verb"]) for wish in nova.app.store.find("interface")]


async def last_action(nova: Client, id: str) -> tuple[str, str | None]:
    answer = await nova("GET", f"{C}/servers/{id}/os-instance-actions", token="alice")
    newest = answer["instanceActions"][0]
    shown = await nova("GET", f"{C}/servers/{id}/os-instance-actions/{newest['request_id']}", token="admin")
    return newest["action"], shown["instanceAction"]["events"][0]["result"]


async def test_by_network_address_and_tag(nova: Client) -> None:
    net = network(nova)
    id = await boot(nova, networks=[{"uuid": net}])
    answer = await attach(nova, id, version="2.70", net_id=net, fixed_ips=[{"ip_address": "10.0.0.77"}], tag="second")
    assert answer.status == 200, answer.text
    shown = answer[IF]
    assert set(shown) == {"net_id", "port_id", "mac_addr", "port_state", "fixed_ips", "tag"}
    assert (shown["net_id"], shown["fixed_ips"][0]["ip_address"], shown["tag"]) == (net, "10.0.0.77", "second")
    assert shown["port_id"] in await listed(nova, id)
    assert (shown["port_id"], "attach") in wishes(nova)
    assert shown["port_id"] in json.loads(row(nova, id)["own_ports"])
    held = network_actions.find_port(context(nova), shown["port_id"])
    assert (held["device_id"], held["device_owner"], held["binding_host"]) == (id, "compute:nova", "host1")
    assert await last_action(nova, id) == ("attach_interface", None)
    assert set((await attach(nova, id, net_id=net))[IF]) == {"net_id", "port_id", "mac_addr", "port_state", "fixed_ips"}


async def test_by_port_which_outlives_it(nova: Client) -> None:
    net = network(nova)
    id = await boot(nova, networks="none", version="2.37")
    settle(nova, id, vm_state="stopped", power="off", power_state=4)
    mine = port(nova, net)
    assert (await attach(nova, id, port_id=mine)).status == 200
    assert await listed(nova, id) == [mine]
    assert wishes(nova) == [], "a machine that is off is only rows"
    assert await last_action(nova, id) == ("attach_interface", "Success")
    assert message(await attach(nova, id, port_id=mine)) == f"Port {mine} is still in use."
    assert (await nova("DELETE", f"{C}/servers/{id}/os-interface/{mine}", token="alice")).status == 202
    assert await listed(nova, id) == []
    assert network_actions.find_port(context(nova), mine)["device_id"] == ""
    assert await last_action(nova, id) == ("detach_interface", "Success")


async def test_the_only_network_needs_no_name(nova: Client) -> None:
    id = await boot(nova, networks="none", version="2.37")
    empty = await attach(nova, id)
    expected = f"No specific network was requested and none are available for project '{row(nova, id)['project_id']}'."
    assert (empty.status, message(empty)) == (400, expected)
    net = network(nova)
    assert (await nova("POST", f"{C}/servers/{id}/os-interface", {}, token="alice"))[IF]["net_id"] == net
    network(nova, cidr="10.0.1.0/24")
    both = await attach(nova, id)
    assert (both.status, message(both)) == (400, "Multiple possible networks found, use a Network ID to be more specific.")


async def test_detach_of_a_running_guest_is_a_wish(nova: Client) -> None:
    net = network(nova)
    id = await boot(nova, networks=[{"uuid": net}])
    (one,) = await listed(nova, id)
    for _ in range(2):  # asked again it is the same wish
        assert (await nova("DELETE", f"{C}/servers/{id}/os-interface/{one}", token="alice")).status == 202
    assert wishes(nova) == [(one, "detach")]
    assert await listed(nova, id) == [one], "until the guest has let go"
    other = str(uuid.uuid4())
    unknown = await nova("DELETE", f"{C}/servers/{id}/os-interface/{other}", token="alice")
    assert (unknown.status, message(unknown)) == (404, f"Instance {id} does not have port with id {other}.")


async def test_refusals(nova: Client) -> None:
    net, theirs = network(nova), network(nova, "bob", cidr="10.9.0.0/24")
    id = await boot(nova, networks=[{"uuid": net, "fixed_ip": "10.0.0.9"}])
    none = str(uuid.uuid4())
    mine, foreign = port(nova, net), port(nova, theirs, "bob")
    bare = port(nova, net, fixed_ips=[])
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"net_id": net, "port_id": mine}, 400, "Must not input both network_id and port_id"),
        ({"fixed_ips": [{"ip_address": "10.0.0.8"}]}, 400, "Must input network_id when request IP address"),
        ({"port_id": none}, 404, f"Port id {none} could not be found."),
        ({"port_id": foreign}, 404, f"Port id {foreign} could not be found."),
        ({"port_id": bare}, 400, f"Port {bare} requires a FixedIP in order to be used."),
        ({"net_id": none}, 404, f"Network {none} could not be found."),
        ({"net_id": theirs}, 404, f"Network {theirs} could not be found."),
        (
            {"net_id": net, "fixed_ips": [{"ip_address": "10.0.0.9"}]},
            409,
            f"Fixed IP address 10.0.0.9 is already in use on instance {id}.",
        ),
    ]
    for values, status, words in cases:
        answer = await attach(nova, id, **values)
        assert (answer.status, message(answer)) == (status, words)
    assert wishes(nova) == []
    assert len(await listed(nova, id)) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"net_id": "none"},
        {"port_id": 7},
        {"fixed_ips": []},
        {"fixed_ips": [{"ip_address": "10.0.0.300"}]},
        {"fixed_ips": [{}]},
        {"tag": "early"},
        {"other": 1},
    ],
)
async def test_what_is_no_request(nova: Client, values: dict[str, Any]) -> None:
    id = await boot(nova, networks="none", version="2.37")
    assert (await attach(nova, id, **values)).status == 400


async def test_states_locks_and_roles(nova: Client) -> None:
    net = network(nova)
    id = await boot(nova, networks=[{"uuid": net}])
    (one,) = await listed(nova, id)
    path = f"{C}/servers/{id}/os-interface"
    assert (await attach(nova, id, token="ray", net_id=net)).status == 403
    assert (await nova("DELETE", f"{path}/{one}", token="ray")).status == 403
    assert (await attach(nova, id, token="bob", net_id=net)).status == 404
    settle(nova, id, locked=1)
    locked = await attach(nova, id, net_id=net)
    assert (locked.status, message(locked)) == (409, f"Instance {id} is locked")
    settle(nova, id, locked=0, vm_state="error")
    for answer in (await attach(nova, id, net_id=net), await nova("DELETE", f"{path}/{one}", token="alice")):
        assert answer.status == 409
        assert "while it is in vm_state error" in message(answer)


async def test_a_server_has_so_many_places_and_no_more(nova: Client) -> None:
    net = network(nova)
    id = await boot(nova, networks=[{"uuid": net}] * 4)
    answer = await attach(nova, id, net_id=net)
    assert answer.status == 400
    assert message(answer) == f"Failed to attach network adapter device to {id}: a server here has at most 4."
    many = await nova(
        "POST",
        f"{C}/servers",
        {"server": {"name": "x", "flavorRef": "nano", "imageRef": row(nova, id)["image_id"], "networks": [{"uuid": net}] * 5}},
        token="alice",
    )
    assert (many.status, message(many)) == (400, "A server here has at most 4 network adapters; this one asks for 5.")


async def test_fixed_addresses_come_and_go(nova: Client) -> None:
    net, other = network(nova), network(nova, cidr="10.0.1.0/24")
    id = await boot(nova, networks=[{"uuid": net, "fixed_ip": "10.0.0.9"}])

    async def act(version: str | None = None, **action: Any) -> Answer:
        return await nova("POST", f"{C}/servers/{id}/action", action, token="alice", version=version)

    async def addresses() -> list[str]:
        return [each["addr"] for each in (await nova("GET", f"{C}/servers/{id}/ips", token="alice"))["addresses"]["net"]]

    assert (await act(addFixedIp={"networkId": net})).status == 202
    first, second = await addresses()
    assert first == "10.0.0.9"
    absent = await act(addFixedIp={"networkId": other})
    assert (absent.status, message(absent)) == (400, f"Network could not be found for instance {id}.")
    assert (await act(removeFixedIp={"address": "10.0.0.9"})).status == 202
    assert await addresses() == [second]
    gone = await act(removeFixedIp={"address": "10.0.0.9"})
    assert (gone.status, message(gone)) == (400, f"Instance {id} does not have fixed IP '10.0.0.9'.")
    assert (await act(removeFixedIp={"address": "nine"})).status == 400
    assert (await act("2.44", addFixedIp={"networkId": net})).status == 400, "from 2.44 on there is no such action"
    assert await last_action(nova, id) == ("remove_fixed_ip", "Success")
