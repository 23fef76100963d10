"""The calculator's five services on loopback: figures against an independent evaluator, logs, refusals, a service that is away."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.expressions import drawn

FILES = Path(__file__).parents[2] / "labs/calculator/files"
SIGNS = {"+": ("sumService", "SumService"), "-": ("SubService",) * 2, "*": ("MulService",) * 2, "/": ("DivService",) * 2}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass
class Services:
    folder: Path
    ports: dict[str, int]
    processes: dict[str, subprocess.Popen[bytes]]

    def start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen([sys.executable, f"{name}.py", "services"], cwd=self.folder, stdout=log, stderr=log)
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ports[name]), 1):
                return
            time.sleep(0.02)
        pytest.fail(f"{name} does not listen: {self.log(name)}")

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def ask(self, text: str, name: str = "CalculatorService") -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[name]}", text.encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    folder = Path(shutil.copytree(FILES, tmp_path / "files"))
    known = {"SumService": 50001, "SubService": 50002, "MulService": 50003, "DivService": 50004, "CalculatorService": 80}
    ports = {name: free_port() for name in known}
    for name, port in known.items():  # the seed's ports may be taken here: only the numbers are changed
        file = folder / f"{name}.py"
        assert f"({port}," in file.read_text()
        file.write_text(file.read_text().replace(f"({port},", f"({ports[name]},"))
    (folder / "services").write_text("".join(f"{sign} {shown} 127.0.0.1 {ports[name]}\n" for sign, (shown, name) in SIGNS.items()))
    made = Services(folder, ports, {})
    try:
        for name in known:
            made.start(name)
        yield made
    finally:
        for name in list(made.processes):
            made.stop(name)


def test_fifty_expressions_agree_with_an_independent_evaluator(services: Services) -> None:
    used: Counter[str] = Counter()
    for text, wanted, signs in drawn(50):
        used += signs
        status, said = services.ask(text)
        assert status == 200, (text, said)
        assert said.startswith("result = ")
        assert said.endswith("\r\n")
        assert float(said.removeprefix("result = ")) == pytest.approx(wanted, rel=1e-12), text
    for sign, (_, name) in SIGNS.items():
        assert services.log(name).count(f"\nA {sign} B = ") == used[sign]


def test_the_seed(services: Services) -> None:
    assert services.ask("(5+6)") == (200, "result = 11\r\n")
    assert services.ask("(5*6)+3/4-2") == (200, "result = 28.75\r\n")
    assert services.ask("3 2", "SumService") == (200, "5\r\n")
    port = services.ports["DivService"]
    assert services.log("DivService").startswith(f"Listening on port : {port}\nNew request :\nA = 3\nB = 4\nA / B = 0.75\n")


@pytest.mark.parametrize("text", ["", "2+", "+2", "(1", "1)", "2 3", "a", "1..2", "1/0", "()", "5%2"])
def test_what_has_no_value_is_refused_in_words(services: Services, text: str) -> None:
    status, said = services.ask(text)
    assert status == 400
    assert said.startswith("error = ")


def test_unary_minus(services: Services) -> None:
    assert services.ask("-3+2*-(1-4)") == (200, "result = 3\r\n")


def test_without_one_service_the_others_go_on(services: Services) -> None:
    services.stop("MulService")
    status, said = services.ask("2*3")
    assert status == 502
    assert "MulService" in said
    assert services.ask("2+3") == (200, "result = 5\r\n")
    services.start("MulService")
    assert services.ask("2*3") == (200, "result = 6\r\n")


def test_user_data_carries_the_service(tmp_path: Path) -> None:
    for name in ("SumService", "SubService", "MulService", "DivService", "CalculatorService"):
        made = subprocess.run([FILES / "user-data", name], capture_output=True, text=True, check=True).stdout
        assert made.startswith("#!/bin/sh\n")
        assert (FILES / f"{name}.py").read_text() in made
        assert len(made) < 40000
        subprocess.run(["sh", "-n"], input=made, text=True, check=True)
    assert subprocess.run([FILES / "user-data", "Nothing"], capture_output=True, check=False).returncode == 2
