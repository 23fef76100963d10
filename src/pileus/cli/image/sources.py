"""The distributions' cloud images that `pileus image pull` knows by name: where they are, and what their bytes are held against.

A release that never changes is pinned: its digest is here. What its distributor replaces every few weeks cannot be; its digest is read from
the list that the distributor publishes beside it, over HTTPS from the distributor's own host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

ARCHITECTURE = "x86_64"  # guests are of this one


@dataclass(frozen=True)
class Source:
    """One image. `digests`: the name, beside the file, of the list that has its digest; empty where `pinned` has it.

    `base` is the folder of the file, and what `--mirror` replaces begins after its host.
    """

    about: str
    base: str
    file: str
    algorithm: str  # hashlib's name
    digests: str = ""
    pinned: str = ""
    min_disk: int = 0  # GiB
    min_ram: int = 0  # MiB
    properties: Mapping[str, str] = field(default_factory=dict)


def _debian(number: int, codename: str) -> Source:
    return Source(
        f"Debian {number} ({codename}), with cloud-init",
        f"https://cloud.debian.org/images/cloud/{codename}/latest/",
        f"debian-{number}-generic-amd64.qcow2",
        "sha512",
        digests="SHA512SUMS",
        min_disk=3,
        min_ram=512,
        properties={"os_distro": "debian", "os_version": str(number), "os_admin_user": "debian"},
    )


def _ubuntu(number: str, codename: str) -> Source:
    return Source(
        f"Ubuntu {number} LTS ({codename}), with cloud-init",
        f"https://cloud-images.ubuntu.com/{codename}/current/",
        f"{codename}-server-cloudimg-amd64.img",
        "sha256",
        digests="SHA256SUMS",
        min_disk=4,
        min_ram=512,
        properties={"os_distro": "ubuntu", "os_version": number, "os_admin_user": "ubuntu"},
    )


SOURCES = {
    "cirros": Source(
        "CirrOS 0.6.3, the tiny one that OpenStack's own tests use",
        "https://download.cirros-cloud.net/0.6.3/",
        "cirros-0.6.3-x86_64-disk.img",
        "sha256",
        pinned="7d6355852aeb6dbcd191bcda7cd74f1536cfe5cbf8a10495a7283a8396e4b75b",
        min_disk=1,
        min_ram=128,
        properties={"os_distro": "cirros", "os_version": "0.6.3", "os_admin_user": "cirros"},
    ),
    "alpine": Source(
        "Alpine 3.21, with cloud-init that looks for a NoCloud disk",
        "https://dl-cdn.alpinelinux.org/alpine/v3.21/releases/cloud/",
        "nocloud_alpine-3.21.2-x86_64-bios-cloudinit-r0.qcow2",
        "sha512",
        digests="nocloud_alpine-3.21.2-x86_64-bios-cloudinit-r0.qcow2.sha512",
        min_disk=1,
        min_ram=256,
        properties={"os_distro": "alpine", "os_version": "3.21", "os_admin_user": "alpine"},
    ),
    "debian-12": _debian(12, "bookworm"),
    "debian-13": _debian(13, "trixie"),
    "ubuntu-22.04": _ubuntu("22.04", "jammy"),
    "ubuntu-24.04": _ubuntu("24.04", "noble"),
}
SHORT = {"debian": "debian-12", "ubuntu": "ubuntu-24.04"}  # what a name without a number means


def digest_in(text: str, file: str, length: int) -> str | None:
    """The digest of a file in a published list: `<hex>  file`, `<hex> *file`, `SHA512 (file) = <hex>`, or a digest alone."""
    for line in text.splitlines():
        found = re.match(rf"(?:SHA\d+ \((?P<named>[^)]+)\) = )?(?P<hex>[0-9a-fA-F]{{{length}}})(?:\s+\*?(?P<after>\S+))?\s*$", line)
        if found and (found["named"] or found["after"] or file).removeprefix("./") == file:
            return found["hex"].lower()
    return None
