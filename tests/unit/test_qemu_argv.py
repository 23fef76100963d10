"""QEMU's command line: what a guest is given, and nothing else."""

from __future__ import annotations

import json
import re

from pileus.compute.host import SLOTS, Guest, Nic
from pileus.drivers.qemu.argv import Boot, Line, Machine, build

ID = "00000000-0000-0000-0000-00000000000a"
GUEST = Guest("web, main", 256, 2, (Nic("p1", "fa:16:3e:00:00:01", 1450), Nic("p2", "fa:16:3e:00:00:02", 1500)), "quiet")
BOOT = Boot("/pileus/servers/x/kernel", "/pileus/servers/x/initrd", "quiet console=ttyS0")


def value(line: Line, option: str) -> str:
    return line.argv[line.argv.index(option) + 1]


def values(line: Line, option: str) -> list[str]:
    return [line.argv[n + 1] for n, word in enumerate(line.argv) if word == option]


def test_a_guest_that_is_started_from_its_kernel() -> None:
    line = build(Machine(ID, GUEST, "tcg", BOOT))
    assert value(line, "-bios") == "qboot.rom"
    assert (value(line, "-kernel"), value(line, "-initrd"), value(line, "-append")) == (BOOT.kernel, BOOT.initrd, BOOT.cmdline)
    assert (value(line, "-m"), value(line, "-smp"), value(line, "-cpu")) == ("256", "2", "EPYC")
    assert value(line, "-accel").startswith("tcg")
    assert "VGA" not in " ".join(line.argv)


def test_a_guest_that_boots_by_itself_has_a_screen_and_the_usual_firmware() -> None:
    line = build(Machine(ID, GUEST, "kvm"))
    assert "-kernel" not in line.argv
    assert "-bios" not in line.argv
    assert any(device.startswith("VGA") for device in values(line, "-device"))
    assert (value(line, "-accel"), value(line, "-cpu")) == ("kvm", "host")


def test_without_qboot_the_usual_firmware_does() -> None:
    line = build(Machine(ID, GUEST, "tcg", BOOT, qboot=False))
    assert "-bios" not in line.argv
    assert value(line, "-kernel") == BOOT.kernel


def test_a_kernel_needs_no_initrd() -> None:
    assert "-initrd" not in build(Machine(ID, GUEST, "tcg", Boot("k", None, ""))).argv


def test_everything_but_the_kernel_is_a_descriptor() -> None:
    line = build(Machine(ID, GUEST, "tcg", BOOT, drive=True))
    assert list(line.fds) == ["qmp", "serial", "log", "disk", "base", "drive", "tap0", "tap1"]
    assert len(set(line.fds.values())) == len(line.fds)
    used = " ".join(line.argv)
    for what, number in line.fds.items():
        assert re.search(rf"\bfd={number}\b", used), what
    paths = [word for word in line.argv if word.startswith("/") or "=/" in word.replace("=/dev/fdset/", "")]
    assert paths == [BOOT.kernel, BOOT.initrd]


def test_each_card_has_its_tap_and_address() -> None:
    line = build(Machine(ID, GUEST, "tcg", BOOT))
    assert values(line, "-netdev") == [f"tap,id=net-p1,fd={line.fds['tap0']}", f"tap,id=net-p2,fd={line.fds['tap1']}"]
    cards = [device for device in values(line, "-device") if device.startswith("virtio-net")]
    assert [("mac=fa:16:3e:00:00:01" in cards[0], "host_mtu=1450" in cards[0]), ("mac=fa:16:3e:00:00:02" in cards[1], True)] == [
        (True, True),
        (True, True),
    ]


def test_the_disk_is_an_overlay_and_the_base_is_read_only() -> None:
    nodes = {}
    for text in values(build(Machine(ID, GUEST, "tcg", BOOT)), "-blockdev"):
        node = json.loads(text) if text.startswith("{") else dict(pair.split("=", 1) for pair in text.split(","))
        nodes[node["node-name"]] = node
    assert (nodes["base"]["read-only"], nodes["base"]["backing"], nodes["base-file"]["read-only"]) == (True, None, "on")
    assert nodes["root"]["backing"] == "base"
    assert "read-only" not in nodes["root"].keys() | nodes["root-file"].keys()


def test_it_is_confined_and_says_who_it_is() -> None:
    line = build(Machine(ID, GUEST, "tcg", BOOT))
    assert value(line, "-sandbox") == "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
    assert value(line, "-uuid") == ID
    assert value(line, "-name") == "guest=web,, main,debug-threads=on"
    smbios = value(line, "-smbios")
    assert "product=OpenStack Nova" in smbios, "cloud-init looks for these words"
    assert f"serial={ID}" in smbios
    assert "-nodefaults" in line.argv
    assert "-no-user-config" in line.argv


def test_a_config_drive_is_a_second_disk() -> None:
    devices = [device for device in values(build(Machine(ID, GUEST, "tcg", BOOT, drive=True)), "-device") if "virtio-blk" in device]
    assert [device.partition("drive=")[2].partition(",")[0] for device in devices] == ["root", "config"]


def test_translated_code_is_bounded_by_the_guest() -> None:
    def size(memory: int) -> str:
        return value(build(Machine(ID, Guest("one", memory, 1), "tcg", BOOT)), "-accel")

    assert [size(memory) for memory in (64, 256, 8192)] == ["tcg,tb-size=64", "tcg,tb-size=128", "tcg,tb-size=256"]


def test_each_card_has_a_place_of_its_own_and_there_is_room_for_more() -> None:
    devices = values(build(Machine(ID, GUEST, "tcg", BOOT)), "-device")
    places = [device for device in devices if device.startswith("pcie-root-port,")]
    assert len(places) == SLOTS
    assert len({re.search(r"addr=(\S+?)(,|$)", place)[1] for place in places}) == SLOTS  # type: ignore[index]
    cards = [device for device in devices if "virtio-net-pci" in device]
    assert [re.search(r"bus=(\w+)", card)[1] for card in cards] == ["slot0", "slot1"]  # type: ignore[index]
    assert [re.search(r"id=([\w-]+)", card)[1] for card in cards] == ["nic-p1", "nic-p2"]  # type: ignore[index]
