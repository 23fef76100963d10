"""What the suites are told about the cloud: tempest.conf and clouds.yaml, written from what the cloud itself says. Nothing is claimed."""

from __future__ import annotations

import configparser
import json
import os
from pathlib import Path
from typing import Any

from tests.conformance.cloud import Cloud

Sections = dict[str, dict[str, str]]
CLIENT_CLOUDS = ("devstack-admin", "devstack-system-admin", "devstack")


def services(cloud: Cloud) -> set[str]:
    """The kinds of service in the catalog."""
    return {service["type"] for service in cloud.call("GET", "/identity/v3/services")["services"]}


def identity(cloud: Cloud) -> Sections:
    return {
        "auth": {
            "use_dynamic_credentials": "true",
            "admin_username": "admin",
            "admin_password": cloud.password,
            "admin_project_name": "admin",
            "admin_domain_name": "Default",
            "admin_user_domain_name": "Default",
            "admin_project_domain_name": "Default",
        },
        "identity": {
            "uri_v3": f"{cloud.url}/identity/v3",
            "auth_version": "v3",
            "region": cloud.call("GET", "/identity/v3/regions")["regions"][0]["id"],
            **password_rules(cloud),
        },
        "identity-feature-enabled": {
            "trust": "true",
            "access_rules": "true",
            "api_v2": "false",
            "security_compliance": said(password_rules(cloud)),
        },
        "enforce_scope": dict.fromkeys(("nova", "neutron", "glance", "keystone"), "true"),
    }


def password_rules(cloud: Cloud) -> dict[str, str]:
    """The cloud's own rules, from the settings it was started with."""
    names = {
        "user_lockout_failure_attempts": "PILEUS_LOCKOUT_FAILURE_ATTEMPTS",
        "user_lockout_duration": "PILEUS_LOCKOUT_DURATION",
        "user_unique_last_password_count": "PILEUS_UNIQUE_LAST_PASSWORD_COUNT",
        "user_minimum_password_age": "PILEUS_MINIMUM_PASSWORD_AGE",
    }
    return {option: cloud.env[name] for option, name in names.items() if name in cloud.env}


def image(cloud: Cloud, web: str) -> Sections:
    """`web`: the root of the pages from which images may be downloaded; empty for none."""
    schema = cloud.call("GET", "/image/v2/schemas/image")["properties"]
    methods = answer(cloud, "/image/v2/info/import").get("import-methods", {}).get("value", [])
    made = cloud.call("POST", "/image/v2/images", {"name": "asked", "disk_format": "raw", "container_format": "bare"})
    cloud.call("DELETE", f"/image/v2/images/{made['id']}")
    found: Sections = {
        "image": {
            "build_timeout": "60",
            "disk_formats": words(schema["disk_format"]["enum"], first="raw"),
            "container_formats": words(schema["container_format"]["enum"], first="ova"),
            "image_caching_enabled": said("cached_images" in answer(cloud, "/image/v2/cache")),
        },
        "image-feature-enabled": {
            "import_image": said(methods),
            "manage_locations": said("locations" in made),
            # it is enforced; but the tests that this switches off are those of lists, which upload random bytes: a package, as ova is, is
            # never opened, so in one they may be anything
            "image_format_enforcement": "false",
            "image_conversion": "false",  # an import keeps the format it was given
            "do_secure_hash": "true",
            "http_store_enabled": said(web),
        },
    }
    if web and "web-download" in methods:
        found["image"] |= {"http_image": f"{web}/image.raw", "http_qcow2_image": f"{web}/image.qcow2"}
    return found


def words(values: list[str | None], first: str) -> str:
    """A list option, with one value in front: tests take the first of each."""
    return ",".join(sorted((value for value in values if value), key=lambda value: value != first))


def said(true: object) -> str:
    return str(bool(true)).lower()


def answer(cloud: Cloud, path: str) -> dict[str, Any]:
    """What the cloud answers; nothing where it has no such thing."""
    try:
        return dict(cloud.call("GET", path))
    except AssertionError:
        return {}


def network(cloud: Cloud) -> Sections:
    outside = cloud.call("GET", "/network/v2.0/networks?router:external=True")["networks"]
    aliases = sorted(extension["alias"] for extension in cloud.call("GET", "/network/v2.0/extensions")["extensions"])
    return {
        "network": {
            "public_network_id": outside[0]["id"],
            "floating_network_name": outside[0]["name"],
            "build_timeout": "60",
            "project_network_cidr": "10.100.0.0/16",
        },
        "network-feature-enabled": {
            "api_extensions": ",".join(aliases),
            "ipv6": "true",
            "ipv6_subnet_attributes": "true",
            "port_security": said("port-security" in aliases),
        },
    }


def compute(cloud: Cloud) -> Sections:
    """Images and flavors only when the cloud has some: the API suites need none."""
    versions = cloud.call("GET", "/compute/v2.1/")["version"]
    found: Sections = {
        "compute": {"min_microversion": versions["min_version"], "max_microversion": versions["version"], "build_interval": "1"},
        "compute-feature-enabled": {
            "interface_attach": "true",
            "console_output": "true",
            "config_drive": "true",
            **dict.fromkeys(("vnc_console", "live_migration", "cold_migration", "resize", "personality", "snapshot"), "false"),
        },
    }
    images = [image for image in cloud.call("GET", "/image/v2/images?status=active")["images"] if image["disk_format"] == "qcow2"]
    flavors = {flavor["name"]: flavor["id"] for flavor in cloud.call("GET", "/compute/v2.1/flavors/detail")["flavors"]}
    if images:
        found["compute"] |= {"image_ref": images[0]["id"], "image_ref_alt": images[-1]["id"]}
        found["compute"] |= {"flavor_ref": flavors["nano"], "flavor_ref_alt": flavors["nano"]}
    return found


# Tests of lists upload random bytes in all formats there are, which this cloud refuses of most; as raw it takes anything.
ANY_CONTENT: Sections = {
    "image": {"disk_formats": "raw", "container_formats": "bare,ovf,docker,compressed"},
    "image-feature-enabled": {"image_format_enforcement": "false"},
}

# Guests under emulation, on a machine that is busy with other things, take their time (seconds).
GUESTS: Sections = {
    "compute": {"build_timeout": "300"},
    "network": {"build_timeout": "300"},
    "validation": {
        "image_ssh_user": "cirros",
        "image_alt_ssh_user": "cirros",
        "connect_method": "floating",
        "ping_timeout": "180",
        "ssh_timeout": "300",
    },
    "scenario": {"dhcp_client": "udhcpc"},
}


def available(cloud: Cloud) -> Sections:
    kinds = services(cloud)
    pairs = {"neutron": "network", "glance": "image", "nova": "compute", "cinder": "block-storage", "swift": "object-store"}
    return {"service_available": {**{name: said(kind in kinds) for name, kind in pairs.items()}, "horizon": "false"}}


def tempest_conf(cloud: Cloud, web: str = "", more: Sections | None = None) -> Path:
    """Write it into the cloud's folder, readable by its owner only (it holds the admin's password)."""
    folder = cloud.top / "tempest"
    (folder / "lock").mkdir(parents=True, exist_ok=True)
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict({"oslo_concurrency": {"lock_path": str(folder / "lock")}, "DEFAULT": {"use_stderr": "false"}})
    for sections in (available(cloud), identity(cloud), image(cloud, web), network(cloud), compute(cloud), more or {}):
        for section, options in sections.items():
            if not parser.has_section(section):
                parser.add_section(section)
            for option, value in options.items():
                parser.set(section, option, value)
    path = folder / "tempest.conf"
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        parser.write(file)
    return path


def client_clouds(cloud: Cloud) -> None:
    """What openstackclient's tests take for granted: a project demo, and their names in clouds.yaml below the cloud's own HOME.

    JSON is YAML.
    """
    cloud.call("POST", "/identity/v3/projects", {"project": {"name": "demo"}})
    user = {"auth_url": f"{cloud.url}/identity/v3", "username": "admin", "password": cloud.password, "user_domain_id": "default"}
    scopes: dict[str, dict[str, str]] = {
        name: {"system_scope": "all"} if "system" in name else {"project_name": "admin", "project_domain_id": "default"}
        for name in CLIENT_CLOUDS
    }
    said: dict[str, Any] = {
        name: {"auth": {**user, **scope}, "region_name": "RegionOne", "identity_api_version": "3"} for name, scope in scopes.items()
    }
    folder = Path(cloud.env["HOME"]) / ".config/openstack"
    folder.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(folder / "clouds.yaml", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"clouds": said}, file)
    (folder / "secure.yaml").unlink(missing_ok=True)
