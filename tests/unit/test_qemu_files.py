"""What the QEMU driver writes and reads of its own: the config drive's file system, the console log, the KVM verdict, QEMU's words."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from pileus.drivers.qemu import accel, iso, log, machine
from pileus.drivers.qemu.words import meaning

FILES = {
    "openstack/latest/meta_data.json": b'{"uuid": "x"}',
    "openstack/latest/user_data": b"#!/bin/sh\n" * 1000,
    "openstack/2018-08-27/meta_data.json": b"{}",
    "openstack/content/0000": b"",
    "ec2/latest/a file whose name is longer than thirty-one characters.json": b"long",
    **{f"many/meta_data_{n}.json": str(n).encode() for n in range(150)},  # more than a sector holds, alike in their first 8 letters
}


# -- iso -----------------------------------------------------------------------------------------------------------------------


def read(image: bytes, volume: int, joliet: bool) -> dict[str, bytes]:
    """The files of an image, by a reader that knows only the standard: names of Rock Ridge, or of Joliet."""
    found: dict[str, bytes] = {}

    def extent(record: bytes) -> bytes:
        start, size = int.from_bytes(record[2:6], "little"), int.from_bytes(record[10:14], "little")
        assert (start, size) == (int.from_bytes(record[6:10], "big"), int.from_bytes(record[14:18], "big"))
        assert (start * 2048 + size) <= len(image)
        return image[start * 2048 : start * 2048 + size]

    def name_of(record: bytes) -> str:
        length = record[32]
        if joliet:
            return record[33 : 33 + length].decode("utf-16-be").removesuffix(";1")
        extra = record[33 + length + (length % 2 == 0) :]
        while extra:
            if extra[:2] == b"NM":
                return extra[5 : extra[2]].decode()
            extra = extra[extra[2] :]
        raise AssertionError("a record without a Rock Ridge name")

    def walk(folder: bytes, path: str) -> None:
        at, count = 0, 0
        while at < len(folder):
            length = folder[at]
            if not length:
                at = (at // 2048 + 1) * 2048
                continue
            assert at // 2048 == (at + length - 1) // 2048, "a record crosses a sector"
            record = folder[at : at + length]
            at, count = at + length, count + 1
            if count <= 2:
                continue  # . and ..
            body = extent(record)
            if record[25] & 2:
                walk(body, f"{path}{name_of(record)}/")
            else:
                found[path + name_of(record)] = body

    descriptor = image[volume * 2048 : (volume + 1) * 2048]
    assert descriptor[:6] == bytes([2 if joliet else 1]) + b"CD001"
    walk(extent(descriptor[156:190]), "")
    return found


def test_a_drive_holds_its_files_under_their_names() -> None:
    image = iso.write(FILES, "config-2", 1_700_000_000)
    assert read(image, 16, joliet=False) == FILES
    assert read(image, 17, joliet=True) == FILES
    assert image[16 * 2048 + 40 : 16 * 2048 + 72] == b"config-2".ljust(32)
    assert iso.write(FILES, "config-2", 1_700_000_000) == image


def test_short_names_are_as_the_standard_has_them_and_differ(tmp_path: Path) -> None:
    if not shutil.which("isoinfo"):
        pytest.skip("there is no isoinfo")
    file = tmp_path / "drive.iso"
    file.write_bytes(iso.write(FILES, "config-2"))

    def isoinfo(*options: str) -> str:
        return subprocess.run(["isoinfo", *options, "-i", file], capture_output=True, text=True, check=True).stdout

    plain = [line for line in isoinfo("-f").split("\n") if line.startswith("/MANY/")]
    assert len(set(plain)) == 150
    assert sorted(plain) == plain
    about = isoinfo("-d")
    assert "Volume id: config-2" in about
    assert "Joliet with UCS level 3 found" in about
    assert "Rock Ridge signatures version 1 found" in about
    assert isoinfo("-R", "-x", "/openstack/latest/meta_data.json") == '{"uuid": "x"}'


def test_the_label_is_found(tmp_path: Path) -> None:
    if not shutil.which("blkid"):
        pytest.skip("there is no blkid")
    file = tmp_path / "drive.iso"
    file.write_bytes(iso.write({"a": b"b"}, "config-2"))
    assert subprocess.run(["blkid", "-o", "value", "-s", "LABEL", file], capture_output=True, text=True).stdout == "config-2\n"


def test_an_empty_drive_is_a_drive() -> None:
    assert read(iso.write({}, "config-2"), 16, joliet=False) == {}


# -- console log ---------------------------------------------------------------------------------------------------------------


def test_a_log_keeps_its_end_while_it_is_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "console.log"
    assert not log.trim(file)
    assert log.tail(file, 100) == b""
    data = random.Random(1).randbytes(3 << 20)
    with file.open("ab", buffering=0) as writer:
        writer.write(data)
        assert log.trim(file)
        assert file.stat().st_blocks * 512 <= (1 << 20) + 65536
        writer.write(b"after")
    assert log.tail(file, 1 << 19) == (data + b"after")[-(1 << 19) :]
    kept = log.tail(file, 10 << 20)
    assert (data + b"after").endswith(kept)
    assert 1 << 20 <= len(kept) < (1 << 20) + 65536
    assert not log.trim(file), "once is enough"


def test_where_there_are_no_holes_the_log_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoHoles:
        def fallocate(self, *_: object) -> int:
            return -1

    monkeypatch.setattr(log, "_libc", NoHoles())
    monkeypatch.setattr(log.ctypes, "get_errno", lambda: 95)
    file = tmp_path / "console.log"
    with file.open("ab", buffering=0) as writer:
        writer.write(bytes(3 << 20))
        assert log.trim(file)
        writer.write(b"after")
    assert log.tail(file, 100) == b"after"


# -- KVM -----------------------------------------------------------------------------------------------------------------------


def test_the_probe_is_what_its_source_says(tmp_path: Path) -> None:
    if not shutil.which("as") or not shutil.which("ld"):
        pytest.skip("there are no binutils")
    source = Path(accel.__file__).parent / "files" / "probe.s"
    subprocess.run(["as", "--64", "-o", tmp_path / "probe.o", source], check=True)
    subprocess.run(["ld", "-Ttext=0", "--oformat", "binary", "-o", tmp_path / "probe.bin", tmp_path / "probe.o"], check=True)
    assert (tmp_path / "probe.bin").read_bytes() == accel.CODE
    assert accel.CODE_AT == 0xFE00
    assert accel.CODE_AT + len(accel.CODE) < accel.RESET_AT


@pytest.mark.kernel
def test_the_probe_runs_to_its_end(tmp_path: Path) -> None:
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("there is no qemu-system-x86_64")
    firmware = tmp_path / "rom"
    firmware.write_bytes(accel.rom())
    done = subprocess.run(accel.argv("tcg", "qemu64", firmware), timeout=60, capture_output=True)
    assert accel.judge(done.returncode)[0], done


@pytest.mark.parametrize(("status", "words"), [(None, "did not end"), (-6, "signal 6"), (1, "status 1")])
def test_anything_else_is_no_kvm(status: int | None, words: str) -> None:
    works, reason = accel.judge(status)
    assert not works
    assert words in reason


async def test_the_verdict_is_found_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(accel, "DEVICE", device)
    runs: list[list[str]] = []

    async def run(argv: list[str], seconds: float) -> int | None:
        runs.append(argv)
        assert os.access(argv[argv.index("-bios") + 1], os.R_OK)
        await asyncio.sleep(0.01)
        return accel.DONE

    first = accel.Accel(run, tmp_path, tmp_path)
    assert first.known is None
    assert await asyncio.gather(first.chosen(), first.chosen()) == ["kvm", "kvm"]
    assert await accel.Accel(run, tmp_path, tmp_path).chosen() == "kvm"
    assert len(runs) == 1
    device.chmod(0o600 if device.stat().st_mode & 0o077 else 0o666)
    assert await accel.Accel(run, tmp_path, tmp_path).chosen() == "kvm"
    assert len(runs) == 2, "the device has changed"
    (tmp_path / accel.VERDICT).write_text(json.dumps({"key": "half"})[:7])
    assert await accel.Accel(run, tmp_path, tmp_path).chosen() == "kvm"
    assert len(runs) == 3
    first.refuse("it failed a guest")
    assert await first.chosen() == "tcg"
    assert not (tmp_path / accel.ROM).exists()


async def test_without_a_device_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accel, "DEVICE", tmp_path / "none")

    async def run(argv: list[str], seconds: float) -> int | None:
        raise AssertionError("the probe was run")

    found = accel.Accel(run, tmp_path, tmp_path)
    assert await found.chosen() == "tcg"
    assert "there is no" in found.reason
    assert await accel.Accel(run, tmp_path, tmp_path, "kvm").chosen() == "kvm"


# -- words ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory", "not enough free memory"),
        ("qemu-system-x86_64: -blockdev x: No space left on device", "disk is full"),
        (
            "Could not access KVM kernel module: Permission denied\nqemu-system-x86_64: failed to initialize kvm: Permission denied",
            "KVM refused",
        ),
        ("qemu-system-x86_64: -blockdev x: Image is not in qcow2 format", "its disk is damaged"),
        ("qemu-system-x86_64: could not load kernel '/k': No such file", "its kernel image"),
        ("qemu-system-x86_64: warning: TCG doesn't support x\nqemu-system-x86_64: a new complaint", "a new complaint"),
        ("", "QEMU said nothing"),
    ],
)
def test_what_qemu_says_in_words(stderr: str, words: str) -> None:
    assert words in meaning(stderr)


def test_the_machine_is_described() -> None:
    facts = machine.facts([os.getpid()], Path("/"), 7)
    assert facts["uid_count"] == 7
    assert facts["memory_mb"] > 0
    assert machine.memory_mb([os.getpid()]) >= machine.memory_mb([])
    json.dumps(facts)
