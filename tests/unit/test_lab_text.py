"""A lab's text is read as it is written, and the runner looks before it creates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pileus.errors import SettingError
from pileus.lab import text
from pileus.lab.look import Looker, was_done
from pileus.lab.text import Check, Step


def test_every_lab_that_ships_can_be_read() -> None:
    assert text.names()
    for name in text.names():
        lab = text.find(name)
        assert lab.title
        steps = [b for b in lab.blocks if isinstance(b, Step)]
        checks = [b for b in lab.blocks if isinstance(b, Check)]
        assert steps
        assert checks
        assert len({b.id for b in lab.blocks}) == len(lab.blocks)
        for check in checks:
            assert check.expect or check.contains or check.status, f"{check.id} cannot fail"


def test_an_unknown_lab_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(SettingError, match="calculator"):
        text.find("nothing")


@pytest.mark.parametrize("block", ["```sh {nope=1}\nls\n```", "```check {id=a}\nexpect: b\n```", "```check {id=a}\nrun: b\ncolour: c\n```"])
def test_a_block_that_means_nothing_is_refused(block: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError):
        text.parse(f"# Lab\n\n{block}\n", tmp_path)


def test_looking_before_creating(tmp_path: Path) -> None:
    asked: list[list[str]] = []
    there = {
        "network": [{"Name": "private"}],
        "security group": [{"Name": "default"}],
        "floating ip": [{"Floating IP Address": "192.168.37.10"}],
    }

    def run(argv: list[str]) -> str:
        asked.append(argv)
        return json.dumps(there[" ".join(argv[1:-3])])

    look = Looker(run, tmp_path)
    assert look.done("openstack network create private")
    assert not look.done("openstack network create other")
    assert not look.done("openstack security group create HTTP")
    assert look.done("openstack floating ip create --floating-ip-address 192.168.37.10 public")
    assert not look.done("openstack router set --external-gateway public router")
    assert not look.done("./user-data SumService > x")
    assert len(asked) == 3
    look.forget()
    assert look.done("openstack network create private")
    assert len(asked) == 4
    assert was_done("ConflictException: 409: Security group rule already exists.")
    assert not was_done("HttpException: 500")


def test_what_was_built_and_uploaded_is_not_built_again(tmp_path: Path) -> None:
    images = [{"Name": "done", "Status": "active"}, {"Name": "broken-off", "Status": "queued"}]
    look = Looker(lambda argv: json.dumps(images), tmp_path)
    assert look.done("pileus image build micro --packages python3 --name done")
    assert not look.done("pileus image build micro --name broken-off")
    assert not look.done("pileus image build micro --name other")


def test_a_keypair_whose_private_half_got_lost_is_made_again(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str]) -> str:
        asked.append(argv)
        return json.dumps([{"Name": "key"}])

    command = "openstack keypair create --private-key key.pem key"
    look = Looker(run, tmp_path)
    (tmp_path / "key.pem").touch()
    assert not look.done(command)
    assert asked[-1] == ["openstack", "keypair", "delete", "key"]
    (tmp_path / "key.pem").write_text("a key")
    asked.clear()
    assert look.done(command)
    assert ["openstack", "keypair", "delete", "key"] not in asked
