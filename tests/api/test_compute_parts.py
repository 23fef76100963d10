"""What hangs below a server: metadata, tags, addresses, interfaces, attachments, diagnostics, passwords."""

from __future__ import annotations

import pytest

from tests.api.compute import ONE, C, boot, client_of, message, network, row, settle
from tests.conftest import Client


@pytest.fixture
def nova() -> Client:
    return client_of()


async def test_metadata(nova: Client) -> None:
    id = await boot(nova, metadata={"a": "b"})
    path = f"{C}/servers/{id}/metadata"
    assert (await nova("GET", path, token="ray"))["metadata"] == {"a": "b"}
    assert (await nova("POST", path, {"metadata": {"c": "d"}}, token="alice"))["metadata"] == {"a": "b", "c": "d"}
    assert (await nova("PUT", path, {"metadata": {"e": "f"}}, token="alice"))["metadata"] == {"e": "f"}
    assert (await nova("PUT", f"{path}/k", {"meta": {"k": "1"}}, token="alice"))["meta"] == {"k": "1"}
    assert (await nova("GET", f"{path}/k", token="alice"))["meta"] == {"k": "1"}
    wrong = await nova("PUT", f"{path}/k", {"meta": {"z": "1"}}, token="alice")
    assert (wrong.status, message(wrong)) == (400, "Request body and URI mismatch")
    assert (await nova("DELETE", f"{path}/k", token="alice")).status == 204
    for method in ("GET", "DELETE"):
        missing = await nova(method, f"{path}/k", token="alice")
        assert (missing.status, message(missing)) == (404, "Metadata item was not found")
    await nova("PUT", f"{C}/os-quota-sets/{ONE}", {"quota_set": {"metadata_items": 1}})
    many = await nova("POST", path, {"metadata": {"x": "1", "y": "2"}}, token="alice")
    assert (many.status, message(many)) == (403, "Maximum number of metadata items exceeds 1")
    settle(nova, id, task_state="rebooting")
    busy = await nova("POST", path, {"metadata": {}}, token="alice")
    assert busy.status == 409


async def test_tags(nova: Client) -> None:
    id = await boot(nova)
    path = f"{C}/servers/{id}/tags"
    assert (await nova("GET", path, token="alice", version="2.25")).status == 404

    async def ask(method: str, at: str = "", body: object = None) -> tuple[int, object]:
        answer = await nova(method, path + at, body, token="alice", version="2.26")
        return answer.status, answer.body

    assert await ask("GET") == (200, {"tags": []})
    assert (await ask("PUT", "/one"))[0] == 201
    assert (await ask("PUT", "/one"))[0] == 204
    assert await ask("PUT", "", {"tags": ["b", "a"]}) == (200, {"tags": ["a", "b"]})
    assert (await ask("GET", "/a"))[0] == 204
    assert (await ask("GET", "/one"))[0] == 404
    assert (await ask("DELETE", "/a"))[0] == 204
    assert (await ask("DELETE", "/a"))[0] == 404
    assert (await ask("PUT", "", {"tags": ["a,b"]}))[0] == 400
    assert (await ask("PUT", "", {"tags": [str(n) for n in range(51)]}))[0] == 400
    assert (await ask("DELETE"))[0] == 204
    assert await ask("GET") == (200, {"tags": []})


async def test_addresses_and_interfaces(nova: Client) -> None:
    net = network(nova)
    id = await boot(nova, networks=[{"uuid": net, "fixed_ip": "10.0.0.9"}])
    plain = {"version": 4, "addr": "10.0.0.9"}
    assert (await nova("GET", f"{C}/servers/{id}/ips", token="alice"))["addresses"] == {"net": [plain]}
    assert (await nova("GET", f"{C}/servers/{id}/ips/net", token="alice")).body == {"net": [plain]}
    other = await nova("GET", f"{C}/servers/{id}/ips/other", token="alice")
    assert (other.status, message(other)) == (404, "Instance is not a member of specified network")
    (port,) = (await nova("GET", f"{C}/servers/{id}/os-interface", token="alice"))["interfaceAttachments"]
    assert set(port) == {"net_id", "port_id", "mac_addr", "port_state", "fixed_ips"}
    assert (port["net_id"], [ip["ip_address"] for ip in port["fixed_ips"]]) == (net, ["10.0.0.9"])
    one = await nova("GET", f"{C}/servers/{id}/os-interface/{port['port_id']}", token="alice")
    assert one["interfaceAttachment"] == port
    assert (await nova("GET", f"{C}/servers/{id}/os-interface/none", token="alice")).status == 404


async def test_volumes_are_none(nova: Client) -> None:
    id = await boot(nova)
    path = f"{C}/servers/{id}/os-volume_attachments"
    assert (await nova("GET", path, token="alice")).body == {"volumeAttachments": []}
    answer = await nova("POST", path, {"volumeAttachment": {"volumeId": "v1"}}, token="alice")
    assert (answer.status, message(answer)) == (404, "Volume v1 could not be found.")
    assert (await nova("GET", f"{path}/v1", token="alice")).status == 404


async def test_diagnostics(nova: Client) -> None:
    net = network(nova)
    id = await boot(nova, networks=[{"uuid": net}])
    assert (await nova("GET", f"{C}/servers/{id}/diagnostics", token="alice", version="2.48")).status == 403
    found = await nova("GET", f"{C}/servers/{id}/diagnostics", version="2.48")
    assert (found["state"], found["num_cpus"], found["num_nics"], found["memory_details"]["maximum"]) == ("running", 1, 1, 128)
    assert (await nova("GET", f"{C}/servers/{id}/diagnostics")).body == {"memory": 128 * 1024}
    settle(nova, id, vm_state="stopped")
    assert (await nova("GET", f"{C}/servers/{id}/diagnostics", version="2.48")).status == 409


async def test_topology_comes_with_2_78(nova: Client) -> None:
    id = await boot(nova)
    assert (await nova("GET", f"{C}/servers/{id}/topology", token="alice", version="2.77")).status == 404
    assert (await nova("GET", f"{C}/servers/{id}/topology", token="alice", version="2.78")).body == {"nodes": [], "pagesize_kb": None}


async def test_the_password_that_a_guest_posts(nova: Client) -> None:
    id = await boot(nova)
    path = f"{C}/servers/{id}/os-server-password"
    assert (await nova("GET", path, token="alice")).body == {"password": ""}
    nova.app.store.update("server", id, {"password": "c2VjcmV0"})
    assert (await nova("GET", path, token="alice")).body == {"password": "c2VjcmV0"}
    assert (await nova("DELETE", path, token="alice")).status == 204
    assert row(nova, id)["password"] == ""


async def test_update(nova: Client) -> None:
    id = await boot(nova)
    body = {"server": {"name": "n", "accessIPv4": "1.2.3.4", "accessIPv6": "::1", "OS-DCF:diskConfig": "AUTO", "description": None}}
    shown = (await nova("PUT", f"{C}/servers/{id}", body, token="alice", version="2.19"))["server"]
    assert [shown[key] for key in ("name", "accessIPv4", "accessIPv6", "OS-DCF:diskConfig", "description")] == [
        "n",
        "1.2.3.4",
        "::1",
        "AUTO",
        None,
    ]
    for field, value in (("accessIPv4", "::1"), ("name", ""), ("OS-DCF:diskConfig", "X"), ("flavorRef", "2")):
        assert (await nova("PUT", f"{C}/servers/{id}", {"server": {field: value}}, token="alice")).status == 400
    assert (await nova("PUT", f"{C}/servers/{id}", {"server": {}}, token="alice")).status == 400
    assert (await nova("PUT", f"{C}/servers/{id}", {}, token="alice")).status == 400
