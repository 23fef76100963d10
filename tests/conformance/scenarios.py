"""Tempest's network scenarios against real guests: a cloud of its own, the micro image, and Tempest on the cloud's outside host.

    python -m tests.conformance.scenarios TEMPEST [--only REGEX] [--concurrency N] [--keep]

TEMPEST is the command of an installation of Tempest 47 (`pip install tempest==47.0.0` into a virtual environment of its own); the cloud is
the one of PILEUS_HOME, made when it is not there. The tests' SSH and pings go to floating IPs, which only the outside host reaches; the
APIs answer there at the same URL. Needs what guests need of the machine. Not here: the API tests, which need no guests.
"""

from __future__ import annotations

import argparse
import configparser
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kernel.site import PILEUS, Site

SCENARIOS = r"^tempest\.scenario\.(test_network_basic_ops|test_security_groups_basic_ops|test_network_v6)\."
RESULT = re.compile(
    r"^\{\d+\} (?P<test>setUpClass \(\S+\)|\S+?)(?: \[[\d.]+s\])? \.\.\. (?P<how>ok|FAILED|SKIPPED)(?:: (?P<why>.*))?$", re.MULTILINE
)
HOURS = 3600.0
# Seconds. Guests under TCG, on a machine that is busy with other things, take their time.
PATIENCE = {
    "compute": {"build_timeout": 300, "build_interval": 1},
    "network": {"build_timeout": 300, "build_interval": 1},
    "validation": {"ping_timeout": 180, "connect_timeout": 60, "ssh_timeout": 300},
}


@dataclass(frozen=True)
class Outcome:
    """How one test, or a class that did not begin, ended."""

    test: str
    how: str  # ok, FAILED, SKIPPED
    why: str


def settings(endpoint: str, password: str, image: str, flavor: str, public: str, aliases: list[str], folder: Path) -> dict[str, Any]:
    """tempest.conf, by section."""
    found: dict[str, dict[str, Any]] = {
        "DEFAULT": {"log_file": folder / "tempest.log", "debug": True},
        "oslo_concurrency": {"lock_path": folder / "locks"},
        "auth": {
            "admin_username": "admin",
            "admin_password": password,
            "admin_project_name": "admin",
            "admin_domain_name": "Default",
            "use_dynamic_credentials": True,
            "create_isolated_networks": True,
        },
        "identity": {"uri_v3": f"{endpoint}/identity/v3", "auth_version": "v3"},
        "compute": {"image_ref": image, "image_ref_alt": image, "flavor_ref": flavor, "flavor_ref_alt": flavor, "min_compute_nodes": 1},
        "compute-feature-enabled": {"interface_attach": True, "config_drive": True, "console_output": True},
        "network": {"public_network_id": public, "floating_network_name": "public", "project_networks_reachable": False},
        "network-feature-enabled": {
            "api_extensions": ",".join(sorted(aliases)),
            "ipv6": True,
            "ipv6_subnet_attributes": True,
            "port_admin_state_change": True,
            "port_security": True,
            "floating_ips": True,
        },
        "service_available": {"neutron": True, "nova": True, "glance": True, "cinder": False, "swift": False, "horizon": False},
        "validation": {
            "run_validation": True,
            "connect_method": "floating",
            "auth_method": "keypair",
            "image_ssh_user": "cirros",
            "network_for_ssh": "public",
        },
        "scenario": {"dhcp_client": "udhcpc"},
    }
    for section, values in PATIENCE.items():
        found[section] |= values
    return found


def write(sections: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    config = configparser.RawConfigParser()
    for section, values in sections.items():
        if section != "DEFAULT":
            config.add_section(section)
        for name, value in values.items():
            config.set(section, name, str(value))
    with path.open("w") as file:
        config.write(file)
    path.chmod(0o600)


def prepare(site: Site, tempest: str, folder: Path) -> None:
    """A workspace of Tempest for a cloud that is up."""
    site.pileus("image", "build", "micro", timeout=900)
    image = site.call("GET", "/image/v2/images?name=micro&visibility=public")["images"][0]["id"]
    flavors = {each["name"]: each["id"] for each in site.call("GET", "/compute/v2.1/flavors")["flavors"]}
    public = site.call("GET", "/network/v2.0/networks?name=public")["networks"][0]["id"]
    aliases = [each["alias"] for each in site.call("GET", "/network/v2.0/extensions")["extensions"]]
    password = (site.home / "data/admin-password").read_text().strip()
    subprocess.run([tempest, "init", folder], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    write(settings(site.endpoint, password, image, flavors["nano"], public, aliases, folder), folder / "etc/tempest.conf")


def run(tempest: str, folder: Path, regex: str, concurrency: int) -> str:
    """What Tempest prints; also shown as it comes."""
    argv = [*PILEUS, "exec", "--", tempest, "run", "--config-file", str(folder / "etc/tempest.conf"), "--regex", regex]
    said: list[str] = []
    with subprocess.Popen(
        [*argv, "--concurrency", str(concurrency)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            said.append(line)
        process.wait(HOURS)
    return "".join(said)


def outcomes(said: str) -> list[Outcome]:
    return [Outcome(m["test"], m["how"], (m["why"] or "").strip()) for m in RESULT.finditer(said)]


def scenarios(tempest: str, home: Path, regex: str = SCENARIOS, *, keep: bool = False, concurrency: int = 1) -> list[Outcome]:
    """Run the scenarios against a cloud below `home` (a short path, also in PILEUS_HOME), which ends with them unless it is kept."""
    site = Site(home)
    site.up()
    try:
        with tempfile.TemporaryDirectory(prefix="tempest-", dir=home) as folder:
            prepare(site, tempest, Path(folder))
            return outcomes(run(tempest, Path(folder), regex, concurrency))
    finally:
        if not keep:
            site.pileus("destroy", "--yes")


def main() -> int:
    parser = argparse.ArgumentParser(description="Tempest's network scenarios against real guests.")
    parser.add_argument("tempest", help="the tempest command of its own virtual environment")
    parser.add_argument("--only", default=SCENARIOS, metavar="REGEX")
    parser.add_argument("--keep", action="store_true", help="let the cloud live")
    parser.add_argument("--concurrency", type=int, default=1)
    words = parser.parse_args()
    home = Path(os.environ.setdefault("PILEUS_HOME", "/tmp/pileus-tempest"))
    os.environ.setdefault("PILEUS_PORT", "0")
    found = scenarios(str(Path(words.tempest).absolute()), home, words.only, keep=words.keep, concurrency=words.concurrency)
    for outcome in sorted(found, key=lambda each: (each.how, each.test)):
        print(f"{outcome.how:8} {outcome.test}  {outcome.why}".rstrip())
    bad = [each for each in found if each.how == "FAILED"]
    print(f"{sum(each.how == 'ok' for each in found)} passed, {len(bad)} failed, {sum(each.how == 'SKIPPED' for each in found)} skipped")
    return 1 if bad or not found else 0


if __name__ == "__main__":
    sys.exit(main())
