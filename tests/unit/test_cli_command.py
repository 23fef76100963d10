"""The command line apart from clouds: its errors and exit statuses, its formats, its HTTP client, how fast it begins."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import click
import pytest
import yaml

from pileus import errors
from pileus.cli import command, output, server, ssh
from pileus.cli.http import Client

FACTS = {"state": "up", "pids": {"control": 5, "datacenter": None}, "home": "/x: y"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.SettingError("x"), 2),
        (errors.NotFound("x"), 3),
        (errors.Busy("x"), 4),
        (errors.Unauthorized("x"), 5),
        (errors.Forbidden("x"), 5),
        (TimeoutError("x"), 124),
        (errors.HostError("x"), 1),
        (OSError("x"), 1),
    ],
)
def test_an_error_has_one_line_and_one_status(
    error: Exception, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(command.root, "main", fail)
    assert command.main() == status
    assert capsys.readouterr().err == "pileus: x\n"


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pileus", *argv], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)


def test_help_is_there_for_every_command() -> None:
    listed = run("--help").stdout
    for name in command.COMMANDS:
        assert re.search(rf"^  {name} ", listed, re.MULTILINE), name
    ctx = click.Context(command.root)
    for name in command.COMMANDS:
        found = command.root.get_command(ctx, name)
        assert found is not None
        assert found.help
    assert run("nonsense").returncode == 2
    assert run("--version").stdout == f"pileus, version {command.__version__}\n"


def test_it_begins_without_what_it_does_not_need() -> None:
    """Services, the HTTP framework and the drivers but for the datacenter are another process's; asyncio takes as long as all the rest."""
    code = "import sys, pileus.cli.command; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"falcon", "uvicorn", "sqlite3", "asyncio", "rich", "cryptography", "http.client", "pileus.app"} & set(modules)
    assert not any(re.match(r"pileus\.(kit|openstack|identity|image|network|compute)", name) for name in modules)


def test_formats_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    output.show(FACTS, "json")
    assert json.loads(capsys.readouterr().out) == FACTS
    output.show(FACTS, "yaml")
    flat = {"state": "up", "pids.control": 5, "pids.datacenter": None, "home": "/x: y"}
    assert yaml.safe_load(capsys.readouterr().out) == flat
    output.show(FACTS, "value", ("pids.control", "home"))
    assert capsys.readouterr().out == "5\n/x: y\n"
    output.show(FACTS, "json", ("pids",))
    assert json.loads(capsys.readouterr().out) == {"pids": FACTS["pids"]}
    output.show(FACTS, "table")
    assert capsys.readouterr().out.splitlines()[1] == "pids.control     5"
    with pytest.raises(click.UsageError, match=r"no column x; there are state, pids\.control"):
        output.show(FACTS, "table", ("x",))


class _Answers(http.server.BaseHTTPRequestHandler):
    """/status/N answers N in the way of the service that the rest of the path names."""

    bodies: ClassVar[dict[str, Any]] = {
        "compute": {"itemNotFound": {"code": 404, "message": "in Nova's way"}},
        "identity": {"error": {"code": 404, "message": "in Keystone's way"}},
        "network": {"NeutronError": {"type": "X", "message": "in Neutron's way"}},
    }

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("X-Subject-Token", "secret")
        self.end_headers()

    def do_GET(self) -> None:
        _, _, status, service = self.path.split("/")
        body = json.dumps(self.bodies.get(service, {})).encode() if service in self.bodies else b"<html>"
        self.send_response(int(status))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as served:
        threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


@pytest.mark.parametrize(
    ("status", "service", "kind", "words"),
    [
        (404, "compute", errors.NotFound, "in Nova's way"),
        (401, "identity", errors.Unauthorized, "in Keystone's way"),
        (409, "network", errors.Conflict, "in Neutron's way"),
        (403, "image", errors.Forbidden, "Forbidden"),
        (500, "image", errors.Fault, "Internal Server Error"),
    ],
)
def test_what_the_apis_refuse_is_said_in_their_words(endpoint: str, status: int, service: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        Client(endpoint, "password").get(f"/status/{status}/{service}")


def test_nobody_answers() -> None:
    with pytest.raises(errors.HostError, match="pileus status"):
        Client("http://127.0.0.1:1", "password").get("/x")


class _Fake:
    """A client that has these answers."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def get(self, path: str) -> Any:
        return next(value for key, value in self.answers.items() if f"/{key}" in path)


SERVERS = {"servers": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}, {"id": "3", "name": "b"}, {"id": "4", "name": "1"}]}


@pytest.mark.parametrize(("wanted", "found"), [("a", "1"), ("1", "1"), ("3", "3")])
def test_a_server_is_found_by_id_or_name(wanted: str, found: str) -> None:
    assert server.find(_Fake(servers=SERVERS), wanted)["id"] == found  # type: ignore[arg-type]


def test_a_server_that_is_not_clear() -> None:
    with pytest.raises(errors.Conflict, match=r"2 servers are called 'b'.*2, 3"):
        server.find(_Fake(servers=SERVERS), "b")  # type: ignore[arg-type]
    with pytest.raises(errors.NotFound, match="no server 'c'"):
        server.find(_Fake(servers=SERVERS), "c")  # type: ignore[arg-type]


def test_a_floating_ip_goes_before_a_fixed_address() -> None:
    ports = {"ports": [{"id": "p", "network_id": "n", "fixed_ips": [{"ip_address": "10.0.2.6"}]}]}
    one = {"id": "1", "name": "a"}
    floating = _Fake(ports=ports, floatingips={"floatingips": [{"floating_ip_address": "192.168.37.10"}]})
    assert server.reach(floating, one) == ("192.168.37.10", "outside")  # type: ignore[arg-type]
    assert server.reach(_Fake(ports=ports, floatingips={"floatingips": []}), one) == ("10.0.2.6", "net-n")  # type: ignore[arg-type]
    with pytest.raises(errors.NotFound, match="no address"):
        server.reach(_Fake(ports={"ports": []}), one)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "options", "command_words"),
    [
        ([], [], []),
        (["uptime"], [], ["uptime"]),
        (["-i", "key", "uptime", "-p"], ["-i", "key"], ["uptime", "-p"]),
        (["-v", "-p22", "-o", "A=b", "--", "ls"], ["-v", "-p22", "-o", "A=b"], ["--", "ls"]),
        (["-vi", "key", "ls"], ["-vi", "key"], ["ls"]),
    ],
)
def test_sshs_options_go_before_the_address(arguments: list[str], options: list[str], command_words: list[str]) -> None:
    assert ssh._split(arguments) == (options, command_words)
