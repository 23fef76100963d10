"""Images that qemu-img makes are taken, as what they are, with the size that qemu-img sees. What is declared otherwise is not."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from pileus.image.inspect import CHECKS, PREFIX, Limits, Refused, Report, agree, glance_at, inspect
from pileus.image.inspect.source import MIB

needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img (qemu-utils) to make images")

MADE = [
    ("qcow2", "qcow2", ""),
    ("qcow2", "qcow2", "compat=0.10"),
    ("qcow2", "qcow2", "extended_l2=on"),
    ("qcow2", "qcow2", "cluster_size=512"),
    ("qcow2", "qcow2", "compression_type=zstd,cluster_size=4k"),
    ("qcow2", "qcow2", "preallocation=metadata"),
    ("vmdk", "vmdk", ""),
    ("vmdk", "vmdk", "subformat=streamOptimized"),
    ("vdi", "vdi", ""),
    ("vdi", "vdi", "static=on"),
    ("vhd", "vpc", ""),
    ("vhd", "vpc", "subformat=fixed"),
    ("vhdx", "vhdx", ""),
    ("ploop", "parallels", ""),
    ("raw", "raw", ""),
]


def qemu_info(path: Path, driver: str) -> tuple[str, int]:
    argv = ["qemu-img", "info", "-f", driver, "--output=json", str(path)]
    info = json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)
    return info["format"], info["virtual-size"]


@needs_qemu_img
@pytest.mark.parametrize("full", [False, True], ids=["empty", "full"])
@pytest.mark.parametrize(("declared", "driver", "options"), MADE, ids=lambda value: value or "plain")
def test_what_qemu_img_makes_is_taken(tmp_path: Path, declared: str, driver: str, options: str, full: bool) -> None:
    raw, path = tmp_path / "raw", tmp_path / "image"
    raw.write_bytes(bytes(range(256)) * 4096 * 5 if full else b"")
    with raw.open("r+b") as file:
        file.truncate(16 * MIB)
    argv = ["qemu-img", "convert", "-f", "raw", "-O", driver, *(["-o", options] if options else []), str(raw), str(path)]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    with path.open("rb") as file:
        report = inspect(file, declared)
        assert report.format == declared
        agree(report, *qemu_info(path, report.qemu))
        file.seek(0)
        glance_at(file.read(PREFIX), declared)


@needs_qemu_img
def test_compressed_qcow2_is_taken(tmp_path: Path) -> None:
    raw, path = tmp_path / "raw", tmp_path / "image"
    raw.write_bytes(b"all the same " * 400_000)
    subprocess.run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(path)], check=True, timeout=60)
    with path.open("rb") as file:
        assert inspect(file, "qcow2").virtual_size == -(-raw.stat().st_size // 512) * 512


@needs_qemu_img
@pytest.mark.parametrize("claimed", ["raw", "vmdk", "iso", "vhd", "aki", "ploop"])
def test_a_qcow2_under_another_name_is_refused(tmp_path: Path, claimed: str) -> None:
    path = tmp_path / "image"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "1M"], check=True, timeout=60)
    with path.open("rb") as file, pytest.raises(Refused) as refusal:
        inspect(file, claimed)
    assert refusal.value.check == "mismatch"
    assert f"Image disk_format {claimed} does not match stream data qcow2" in refusal.value.message


def iso(blocks: int = 20, size: int | None = None) -> bytearray:
    image = bytearray(2048 * (size or blocks))
    image[32768:32774] = b"\1CD001"
    struct.pack_into("<I", image, 32768 + 80, blocks)
    struct.pack_into(">I", image, 32768 + 84, blocks)
    struct.pack_into("<H", image, 32768 + 128, 2048)
    struct.pack_into(">H", image, 32768 + 130, 2048)
    return image


def test_an_iso_is_taken_and_one_that_boots_from_a_stick_too() -> None:
    plain = iso()
    assert inspect(io.BytesIO(plain), "iso") == Report("iso", len(plain), "raw", frozenset({"iso"}))
    hybrid = iso()
    hybrid[510:512] = b"\x55\xaa"
    assert inspect(io.BytesIO(hybrid), "iso").content == {"iso", "mbr"}
    assert inspect(io.BytesIO(hybrid), "raw").format == "raw"  # dd to a stick


@pytest.mark.parametrize("declared", ["raw", "ami", "aki", "ari"])
@pytest.mark.parametrize("content", [b"", b"abc", b"\x1f\x8b\x08" + bytes(600), bytes(510) + b"\x55\xaa" + bytes(600)])
def test_bytes_without_a_header_are_taken_as_they_are(declared: str, content: bytes) -> None:
    report = inspect(io.BytesIO(content), declared)
    assert (report.virtual_size, report.qemu) == (len(content), "raw")
    agree(report, "raw", -(-len(content) // 512) * 512)


def test_words_for_an_image_that_was_not_unpacked() -> None:
    with pytest.raises(Refused, match=r"does not match stream data xz\. Unpack it with xz first"):
        inspect(io.BytesIO(b"\xfd7zXZ\0" + bytes(1000)), "qcow2")


def test_a_file_over_the_limit_is_refused() -> None:
    with pytest.raises(Refused, match="the limit is 100"):
        inspect(io.BytesIO(bytes(101)), "raw", Limits(file=100))


@pytest.mark.parametrize(
    ("opinion", "words"),
    [(("bochs", 1024), "qemu-img takes it for bochs, and this cloud for raw"), (("raw", 2048), "a disk of 2048 bytes")],
)
def test_two_opinions_must_agree(opinion: tuple[str, int], words: str) -> None:
    with pytest.raises(Refused, match=words) as refusal:
        agree(Report("raw", 1000, "raw", frozenset()), *opinion)
    assert refusal.value.check == "second-opinion"


def test_a_check_has_a_name_that_is_documented() -> None:
    with pytest.raises(KeyError):
        Refused("no such check", "…")
    assert all(meaning and name == name.lower() for name, meaning in CHECKS.items())
