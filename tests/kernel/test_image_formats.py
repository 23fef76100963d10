"""A disk in every format that Glance names boots: uploaded, converted, started by a real QEMU under TCG, one guest at a time."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drivers import boot_sector, tiny_guest
from tests.kernel.site import Site

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="qemu-system-x86_64 is not installed"),
    pytest.mark.skipif(not shutil.which("qemu-img"), reason="needs qemu-img (qemu-utils)"),
]
BOOT = 120  # seconds, on a machine that is busy with other things
# Glance's disk_format -> how qemu-img makes one: its own name of the format, and options
FORMATS = {
    "qcow2": ("qcow2", ""),
    "vmdk": ("vmdk", "subformat=streamOptimized"),
    "vdi": ("vdi", ""),
    "vhd": ("vpc", "force_size=on"),
    "vhdx": ("vhdx", ""),
    "ploop": ("parallels", ""),
}


@pytest.fixture
def site(home: Path) -> Iterator[Site]:
    site = Site(home)
    site.up()
    site.keypair()
    yield site
    site.pileus("destroy", "--yes")


def made(folder: Path, kind: str) -> Path:
    """The boot sector's disk in one format."""
    file, raw = folder / f"disk.{kind}", folder / "disk.raw"
    if kind == "iso":
        file.write_bytes(boot_sector.cd())
        return file
    raw.write_bytes(boot_sector.disk())
    if kind in FORMATS:
        name, options = FORMATS[kind]
        extra = ["-o", options] if options else []
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", name, *extra, raw, file], check=True, timeout=60)
    else:
        file = raw
    return file


def greets(site: Site, image: str, greeting: bytes) -> None:
    """A server made from an image says its greeting, and goes."""
    lan = {"network": site.network, "group": "default"}  # type: ignore[attr-defined]
    id = site.create("one", image, lan)
    site.becomes(id, "ACTIVE", BOOT)
    site.until(lambda: greeting.decode() in site.console(id), BOOT)
    site.call("DELETE", f"/compute/v2.1/servers/{id}")
    site.until(lambda: id not in site.guests(), 30)


@pytest.fixture
def network(site: Site) -> None:
    site.network = site.call("POST", "/network/v2.0/networks", {"network": {"name": "n"}})["network"]["id"]  # type: ignore[attr-defined]
    site.call("POST", "/network/v2.0/subnets", {"subnet": {"network_id": site.network, "ip_version": 4, "cidr": "10.0.2.0/24"}})  # type: ignore[attr-defined]


def test_every_disk_format_boots(site: Site, network: None, tmp_path: Path) -> None:
    for kind in ("raw", *FORMATS, "iso"):
        image = site.upload(kind, kind, made(tmp_path, kind))
        greets(site, image, boot_sector.GREETING)


def test_a_kernel_a_ramdisk_and_a_disk_of_amazons_kind_boot(site: Site, network: None, tmp_path: Path) -> None:
    (tmp_path / "kernel").write_bytes(tiny_guest.kernel())
    (tmp_path / "initrd").write_bytes(bytes(4096))
    parts = {
        "kernel_id": site.upload("kernel", "aki", tmp_path / "kernel"),
        "ramdisk_id": site.upload("initrd", "ari", tmp_path / "initrd"),
    }
    (tmp_path / "ami").write_bytes(boot_sector.disk())
    made = site.call("POST", "/image/v2/images", {"name": "ami", "disk_format": "ami", "container_format": "ami", **parts})
    site.call("PUT", f"/image/v2/images/{made['id']}/file", data=(tmp_path / "ami").read_bytes())
    greets(site, made["id"], tiny_guest.GREETING)
