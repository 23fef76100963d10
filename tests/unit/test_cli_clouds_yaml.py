"""The marked block in clouds.yaml: clients read it, the user's own lines stay as they are, and it goes without a trace."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pileus.cli import clouds_yaml
from pileus.cli.cloud import Cloud

BLOCK = "pileus:\n  auth:\n    auth_url: http://127.0.0.1:5000/identity/v3\n"
MINE = [
    "",
    "clouds:\n  other:\n    region_name: x\n",
    "# my clouds\nclouds:   # all of them\n\n    # the first\n    other:\n        region_name: x\n    third: {a: 1}\n",
    "clouds:\r\n  other:\r\n    region_name: x\r\n",
    "cache:\n  class: dogpile.cache.memory\nclouds:\n  other:\n    profile: pileus\nclient:\n  force_ipv4: true\n",
    "cache:\n  class: dogpile.cache.memory\n",
    "cache:\n  class: dogpile.cache.memory",
    "---\nclouds:\n  other: {}\n",
    "# nothing yet\n",
]


@pytest.mark.parametrize("mine", MINE)
def test_it_is_read_beside_the_users_own_and_goes_without_a_trace(mine: str) -> None:
    text = clouds_yaml.with_block(mine, BLOCK)
    assert text is not None
    before, after = yaml.safe_load(mine) or {}, yaml.safe_load(text)
    assert after["clouds"].pop("pileus") == yaml.safe_load(BLOCK)["pileus"]
    assert {**after, "clouds": after["clouds"] or None} == {**before, "clouds": before.get("clouds")}
    assert clouds_yaml.with_block(text, BLOCK) == text
    assert clouds_yaml.without(text) == mine


@given(st.lists(st.sampled_from(["  a:\n", "    b: 1\n", "  # c\n", "\n", "  d: {e: f}\n"]), max_size=8), st.sampled_from(["", "x: 1\n"]))
def test_whatever_else_is_there(lines: list[str], before: str) -> None:
    mine = before + "clouds:\n" + "".join(lines)
    text = clouds_yaml.with_block(mine, BLOCK)
    assert text is not None
    assert clouds_yaml.without(text) == mine


@pytest.mark.parametrize(
    "mine",
    [
        "clouds: {other: {region_name: x}}\n",
        "clouds: {}\n",
        "{clouds: {other: {}}}\n",
        '"clouds":\n  other: {}\n',
        "clouds:\n  pileus:\n    region_name: mine\n",
        f"clouds:\n  {clouds_yaml.BEGIN}\n  other: {{}}\n",
    ],
)
def test_what_cannot_be_edited_safely_is_left_alone(mine: str) -> None:
    assert clouds_yaml.with_block(mine, BLOCK) is None
    assert clouds_yaml.without(mine) == mine


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The one cloud of a user who has no PILEUS_HOME."""
    for name in ("PILEUS_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    made = Cloud.of_environment()
    made.paths.make()
    return made


def test_the_password_is_beside_it_and_for_the_user_alone(cloud: Cloud, tmp_path: Path) -> None:
    folder = tmp_path / ".config/openstack"
    folder.mkdir(parents=True)
    mine = folder / "clouds.yaml"
    mine.write_text("clouds:\n  other: {}\n")
    mine.chmod(0o644)
    assert clouds_yaml.install(cloud, "http://127.0.0.1:5001") == []
    assert yaml.safe_load(mine.read_text())["clouds"]["pileus"]["auth"]["auth_url"] == "http://127.0.0.1:5001/identity/v3"
    assert cloud.password() not in mine.read_text()
    assert mine.stat().st_mode & 0o777 == 0o644
    secure = folder / "secure.yaml"
    assert yaml.safe_load(secure.read_text()) == {"clouds": {"pileus": {"auth": {"password": cloud.password()}}}}
    assert secure.stat().st_mode & 0o777 == 0o600
    clouds_yaml.install(cloud, "http://127.0.0.1:5002")
    assert mine.read_text().count("pileus:") == 2  # the entry, and the mark's "pileus: written by"
    clouds_yaml.remove(cloud)
    assert mine.read_text() == "clouds:\n  other: {}\n"
    assert not secure.exists()
    assert sorted(path.name for path in folder.iterdir()) == ["clouds.yaml"]


def test_a_link_stays_a_link(cloud: Cloud, tmp_path: Path) -> None:
    folder, real = tmp_path / ".config/openstack", tmp_path / "dotfiles.yaml"
    folder.mkdir(parents=True)
    real.write_text("clouds:\n  other: {}\n")
    (folder / "clouds.yaml").symlink_to(real)
    clouds_yaml.install(cloud, "http://127.0.0.1:5000")
    assert (folder / "clouds.yaml").is_symlink()
    assert "pileus" in real.read_text()


def test_who_must_add_it_is_told_what(cloud: Cloud, tmp_path: Path) -> None:
    folder = tmp_path / ".config/openstack"
    folder.mkdir(parents=True)
    (folder / "clouds.yaml").write_text("clouds: {other: {}}\n")
    lines = clouds_yaml.install(cloud, "http://127.0.0.1:5000")
    assert "does not edit" in lines[0]
    assert any("auth_url: http://127.0.0.1:5000/identity/v3" in line for line in lines)
    assert not any(cloud.password() in line for line in lines)
    assert (folder / "clouds.yaml").read_text() == "clouds: {other: {}}\n"


def test_a_cloud_elsewhere_has_files_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PILEUS_HOME", str(tmp_path / "two"))
    cloud = Cloud.of_environment()
    cloud.paths.make()
    clouds_yaml.install(cloud, "http://127.0.0.1:5000")
    assert clouds_yaml.files(cloud) == (tmp_path / "two/config/clouds.yaml", tmp_path / "two/config/secure.yaml")
    assert not (tmp_path / ".config").exists()
    clouds_yaml.remove(cloud)
    assert list(cloud.paths.config.iterdir()) == []
