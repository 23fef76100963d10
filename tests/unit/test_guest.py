"""The guest image's parts that need no guest: trees, archives, disks, kernel modules, the JSON reader, what a build leaves behind.

Not here: guests that boot (tests/kernel/test_guest_boot.py).
"""

from __future__ import annotations

import io
import json
import shutil
import stat
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pileus.errors import HostError
from pileus.guest import build, disk, initrd, kernel, recipe, rootfs
from pileus.guest.kernel import Module
from pileus.guest.packages import Package, Packages
from pileus.guest.tree import Node, Tree

FILES = files("pileus.guest").joinpath("files")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "tree")


def archive(*members: tuple[str, int, bytes | str]) -> tarfile.TarFile:
    """A package's tar: (name, mode with type bits, body or link target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, mode, body in members:
            info = tarfile.TarInfo(name)
            info.mode, info.uid, info.gid = stat.S_IMODE(mode), 0, 42
            if isinstance(body, str):
                info.type, info.linkname = tarfile.SYMTYPE, body
            info.size = len(body) if isinstance(body, bytes) else 0
            tar.addfile(info, io.BytesIO(body) if isinstance(body, bytes) else None)
    return tarfile.open(fileobj=io.BytesIO(out.getvalue()), mode="r|")


# --- trees ------------------------------------------------------------------------------------------------------------------------------


def test_packages_meet_in_merged_folders(tree: Tree) -> None:
    tree.folder("usr/bin")
    tree.link("bin", "usr/bin")
    package = archive(("./bin/sudo", 0o104755, b"x"), ("./bin/alias", 0, "sudo"), ("./usr/share/doc/y", 0o644, b""))
    tree.unpack(package, lambda path: "doc" not in path)
    assert tree.nodes["usr/bin/sudo"] == Node(stat.S_IFREG | 0o4755, 0, 42)
    assert stat.S_ISLNK(tree.nodes["usr/bin/alias"].mode)
    assert "usr/share/doc" not in tree.nodes and not (tree.root / "usr/share").exists()
    assert (tree.root / "usr/bin/sudo").stat().st_mode & 0o7000 == 0, "no setuid file on the host"


@pytest.mark.parametrize("name", ["../etc/passwd", "usr/../../x", "/a/../../b"])
def test_a_path_that_climbs_out_is_refused(tree: Tree, name: str) -> None:
    with pytest.raises(ValueError, match="climbs out"):
        tree.unpack(archive((name, 0o644, b"")), lambda p: True)


def test_a_link_to_the_outside_stays_inside(tree: Tree, tmp_path: Path) -> None:
    """A package's absolute link counts from the guest's root, so what is unpacked through it never lands on the host."""
    (tmp_path / "victim").mkdir()
    tree.unpack(archive(("out", 0, str(tmp_path / "victim")), ("out/file", 0o644, b"x")), lambda p: True)
    assert list((tmp_path / "victim").iterdir()) == []
    assert (str(tmp_path / "victim") + "/file").lstrip("/") in tree.nodes


def test_remove_takes_all_below(tree: Tree) -> None:
    tree.file("a/b/c", b"")
    tree.file("ab", b"")
    tree.remove("a")
    tree.remove("never/there")
    assert set(tree.nodes) == {"", "ab"}


def test_only_differences_are_corrected(tree: Tree) -> None:
    tree.file("etc/shadow", b"x", 0o600, 0, 0)
    tree.file("home/u", b"x", 0o755, 1000, 1000)
    lines = disk.corrections(tree).splitlines()
    assert 'set_inode_field "/home/u" uid 1000' in lines
    assert 'set_inode_field "/home/u" mode 0100755' in lines
    assert not [line for line in lines if "shadow" in line and "mode" in line]


# --- archives and disks -------------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("cpio"), reason="cpio is not installed")
def test_initrd_is_what_cpio_reads(tree: Tree, tmp_path: Path) -> None:
    tree.file("bin/busybox", b"\x7fELF" + bytes(1001), 0o755)
    tree.link("bin/sh", "busybox")
    tree.file("init", b"#!/bin/sh\n", 0o755)
    initrd.write_initrd(tree, tmp_path / "initrd")
    with (tmp_path / "initrd").open("rb") as file:
        out = subprocess.run(["cpio", "-itv", "--quiet"], stdin=file, capture_output=True, text=True, check=True).stdout
    rows = {line.split(maxsplit=8)[-1]: line.split()[:5] for line in out.splitlines()}
    assert list(rows) == ["bin", "bin/busybox", "bin/sh -> busybox", "init"]
    assert rows["bin/busybox"][0] == "-rwxr-xr-x" and rows["bin/busybox"][4] == "1005"
    assert {tuple(row[2:4]) for row in rows.values()} == {("root", "root")}


@pytest.mark.skipif(not shutil.which("mke2fs", path="/usr/sbin:/sbin"), reason="e2fsprogs is not installed")
def test_ext4_has_the_owners_and_modes_of_the_tree(tree: Tree, tmp_path: Path) -> None:
    tree.file("usr/bin/sudo", b"x", 0o4755)
    tree.file("home/cirros/with space", b"y", 0o640, 1000, 1000)
    tree.link("bin", "usr/bin")
    tree.folder("tmp", 0o1777)
    target = tmp_path / "root.ext4"
    disk.make_ext4(tree, target, "label", disk.content_size(tree))

    def debugfs(command: str) -> str:
        argv = ["debugfs", "-R", command, str(target)]
        return subprocess.run(argv, capture_output=True, text=True, check=True, env={"PATH": "/usr/sbin:/sbin"}).stdout

    for path, mode, owner in (("/usr/bin/sudo", "04755", "0"), ('"/home/cirros/with space"', "0640", "1000"), ("/tmp", "01777", "0")):
        shown = debugfs(f"stat {path}")
        assert f"Mode:  {mode}" in shown.replace("   ", "  "), shown
        assert f"User: {owner:>5}   Group: {owner:>5}" in shown, shown
    subprocess.run(["e2fsck", "-f", "-n", target], check=True, capture_output=True, env={"PATH": "/usr/sbin:/sbin"})


def test_partition_entry() -> None:
    flag, _, kind, _, start, size = struct.unpack("<B3sB3sII", disk.entry(0x80, 0x83, 1 << 20, 5 << 20))
    assert (flag, kind, start, size) == (0x80, 0x83, 2048, 10240)


def test_sparse_copy_keeps_holes(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(bytes(disk.MIB) + b"x" * 10 + bytes(disk.MIB))
    with target.open("wb") as file:
        disk.copy_sparse(source, file.fileno(), 3 * disk.MIB)
        file.truncate(6 * disk.MIB)
    body = target.read_bytes()
    assert body[4 * disk.MIB : 4 * disk.MIB + 10] == b"x" * 10 and body.count(0) == len(body) - 10
    assert target.stat().st_blocks * 512 <= 2 * disk.MIB


# --- kernel -------------------------------------------------------------------------------------------------------------------------------


def elf(modinfo: bytes) -> bytes:
    """A 64-bit ELF file with a .modinfo section and no more than that needs."""
    strings = b"\0.modinfo\0.shstrtab\0.BTF\0"
    body = modinfo + strings
    head = bytearray(64)
    head[:4] = b"\x7fELF"
    struct.pack_into("<Q", head, 40, 64 + len(body))
    struct.pack_into("<HHH", head, 58, 64, 3, 2)
    sections = [(0, 0, 0, 0), (1, 1, 64, len(modinfo)), (10, 3, 64 + len(modinfo), len(strings))]
    return bytes(head) + body + b"".join(struct.pack("<IIQQQQ", n, t, 0, 0, o, s).ljust(64, b"\0") for n, t, o, s in sections)


def test_a_module_tells_its_needs() -> None:
    body = elf(b"depends=virtio,virtio-ring\0alias=virtio:d00000001v*\0license=GPL\0alias=x\0")
    module = kernel.read_module("kernel/drivers/net/virtio-net.ko", body)
    assert module == Module("virtio_net", "kernel/drivers/net/virtio-net.ko", ("virtio", "virtio_ring"), ("virtio:d00000001v*", "x"))


def test_signature_and_type_information_go() -> None:
    plain = elf(b"depends=\0")
    signature = b"s" * 300
    signed = plain + signature + struct.pack(">8xI", len(signature)) + kernel.SIGNED
    assert kernel.unsigned(signed) == kernel.unsigned(plain)
    assert len(kernel.unsigned(signed)) == len(plain)
    assert b"\0.BTF\0" not in kernel.unsigned(signed)
    assert kernel.read_module("a.ko", kernel.unsigned(signed)) == kernel.read_module("a.ko", plain)


MODULES = {
    "a": Module("a", "k/a.ko", ("b", "c"), ("pci:1",)),
    "b": Module("b", "k/b.ko", ("c",), ()),
    "c": Module("c", "k/c.ko", (), ()),
}


def test_needs_come_first() -> None:
    assert [m.name for m in kernel.load_order(["a", "built-in"], MODULES)] == ["c", "b", "a"]
    assert kernel.indexes(MODULES)["modules.dep"].decode().splitlines() == ["k/a.ko: k/b.ko k/c.ko", "k/b.ko: k/c.ko", "k/c.ko:"]
    assert kernel.indexes(MODULES)["modules.alias"] == b"alias pci:1 a\n"


def test_what_is_no_kernel_is_refused() -> None:
    with pytest.raises(HostError, match="no bzImage"):
        kernel.vmlinux(bytes(0x300), lambda data: data)
    image = bytearray(0x2000)
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, 0, 100)
    with pytest.raises(HostError, match="compressed in a way"):
        kernel.vmlinux(bytes(image), lambda data: data)
    image[0x1F1] = 1
    image[0x400:0x404] = b"\x02\x21\x4c\x18"
    with pytest.raises(HostError, match="no PVH"):
        kernel.vmlinux(bytes(image), lambda data: b"\x7fELF")
    assert kernel.vmlinux(bytes(image), lambda data: b"\x7fELF" + kernel.XEN_ELFNOTE_PHYS32_ENTRY).startswith(b"\x7fELF")


# --- what the guest reads of itself -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def awk() -> list[str]:
    for words in (["busybox", "awk"], ["awk"]):
        if shutil.which(words[0]):
            return words
    pytest.skip("neither busybox nor awk is installed")


def identity(awk: list[str], text: str) -> dict[str, str] | None:
    """What the guest's shell would know after reading this meta_data.json; None when it refuses it."""
    read = f'values=$({" ".join(awk)} -f {FILES}/identity.awk) && eval "$values"'
    script = read + ' && printf "%s\\0" "$id" "$name" "$keys" "$password_login"'
    done = subprocess.run(["sh", "-c", script], input=text.encode(), capture_output=True, check=False, timeout=20)
    return None if done.returncode else dict(zip(("id", "name", "keys", "password"), done.stdout.decode().split("\0"), strict=False))


def test_identity_of_a_real_document(awk: list[str]) -> None:
    document = {
        "uuid": "83679162", "hostname": "vm.novalocal", "name": "vm", "public_keys": {"k": "ssh-ed25519 AAAA a\n", "l": "ssh-rsa BB+/= b"},
        "keys": [{"name": "k", "type": "ssh", "data": "other", "uuid": "no"}], "meta": {"pileus:password_login": "FALSE", "uuid": "no"},
        "random_seed": "x" * 700, "launch_index": 0, "dedicated_cpus": [], "admin_pass": None,
    }  # fmt: skip
    want = {"id": "83679162", "name": "vm.novalocal", "keys": "ssh-ed25519 AAAA a\nssh-rsa BB+/= b", "password": "false"}
    assert identity(awk, json.dumps(document)) | {"": ""} == want | {"": ""}  # type: ignore[operator]
    assert identity(awk, json.dumps(document, indent=2)) == identity(awk, json.dumps(document))


@pytest.mark.parametrize("text", ["", "<html>404</html>", '{"uuid": "1"', '{"hostname": "x"}', '{"uuid": "1"}}', "uuid", '{"uuid": "1"} <'])
def test_what_is_no_identity_is_refused(awk: list[str], text: str) -> None:
    assert identity(awk, text) is None


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\b\f", exclude_categories=["Cs"]), max_size=40))
def test_no_text_escapes_into_the_shell(awk: list[str], text: str) -> None:
    """Whatever a user calls a server comes out as it went in; nothing of it is run."""
    for ascii_only in (True, False):
        if ascii_only and any(ord(c) > 0xFFFF for c in text):
            continue  # surrogate pairs do not come out right, and no host name holds them
        found = identity(awk, json.dumps({"uuid": "1", "hostname": text, "x": {"uuid": text}}, ensure_ascii=ascii_only))
        assert found is not None
        assert found["name"] == text


@pytest.mark.parametrize("name", sorted(p.name for p in FILES.iterdir() if p.is_file() and p.read_bytes().startswith(b"#!")))
def test_scripts_are_shell(name: str) -> None:
    shell = ["busybox", "sh"] if shutil.which("busybox") else ["sh"]
    subprocess.run([*shell, "-n", str(FILES / name)], check=True, timeout=20)


def test_every_file_has_its_place() -> None:
    elsewhere = {"initrd-init", "extlinux.conf"}  # in the initrd and in the boot partition
    assert {p.name for p in FILES.iterdir() if p.is_file()} == set(recipe.FILES) | elsewhere


# --- builds -------------------------------------------------------------------------------------------------------------------------------


def test_version_depends_on_what_goes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = build.digest([])
    assert plain == build.digest([]) and len(plain) == 16
    assert len({plain, build.digest(["python3"]), build.digest(["jq", "python3"])}) == 3
    monkeypatch.setattr(build, "debian", lambda: "debian 13")
    assert build.digest([]) != plain


@pytest.fixture
def fake_build(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Builds without packages: each writes small files. The list holds what happened."""
    happened: list[str] = []

    def obtain(self: Packages, names: list[str], progress: object) -> list[Package]:
        return [Package(name, "1", f"{name}_1_amd64.deb", 1) for name in names]

    def assemble(source: object, chosen: object, extra: object, version: str, work: Path, progress: object) -> None:
        happened.append(version)
        (work / "out").mkdir()
        for part in build.PARTS[:-1]:
            (work / "out" / part).write_text(version)

    monkeypatch.setattr(Packages, "obtain", obtain)
    monkeypatch.setattr(build, "assemble", assemble)
    monkeypatch.setattr(build, "require", lambda *_: None)
    yield happened


def test_the_second_build_is_the_first(fake_build: list[str], tmp_path: Path) -> None:
    stages: list[str] = []
    first = build.build_micro(tmp_path, ["b", "a", "a"], lambda stage, part: stages.append(stage))
    second = build.build_micro(tmp_path, ["a", "b"], lambda stage, part: None)
    assert first == second and fake_build == [first.version]
    assert first.disk.read_text() == first.version and first.disk.stat().st_mode & 0o222 == 0
    assert stages[-1] == "ready"
    assert json.loads((first.disk.parent / "manifest.json").read_text())["asked"] == ["a", "b"]


def test_a_killed_build_leaves_nothing_half_made(fake_build: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at the worst moment: all files written, not yet renamed. The folder is swept by the next build, which then succeeds."""

    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(build, "finish", killed)
        patch.setattr(shutil, "rmtree", lambda *a, **k: None)  # SIGKILL runs no `finally`
        with pytest.raises(SystemExit):
            build.build_micro(tmp_path, [], lambda stage, part: None)
    left = {p.name for p in (tmp_path / "micro").iterdir()}
    assert any(name.startswith(".build-") for name in left) and build.digest([]) not in left
    image = build.build_micro(tmp_path, [], lambda stage, part: None)
    assert {p.name for p in (tmp_path / "micro").iterdir()} == {"lock", image.version}


def test_a_full_disk_is_said_in_words(fake_build: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "disk.raw")

    monkeypatch.setattr(build, "assemble", full)
    with pytest.raises(HostError, match="No space left on device"):
        build.build_micro(tmp_path, [], lambda stage, part: None)
    assert {p.name for p in (tmp_path / "micro").iterdir()} == {"lock"}


def test_without_apt_the_error_lists_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda command, path="": None if command in ("apt-get", "debugfs") else f"/usr/bin/{command}")
    with pytest.raises(HostError, match=r"lacks: apt-get, debugfs\. Needed: .*e2fsprogs"):
        build.build_micro(tmp_path, [], lambda stage, part: None)


@pytest.mark.parametrize("name", ["../x", "-o=Dpkg::Pre-Invoke::=id", "A", "a b", "python3/sid", ""])
def test_only_names_of_packages_reach_apt(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Packages, "_prepare", lambda self: pytest.fail("apt was about to be asked"))
    monkeypatch.setattr("pileus.guest.packages.require", lambda *_: None)
    with pytest.raises(HostError, match="not the name of a Debian package"):
        Packages(tmp_path, {}).obtain([name], lambda stage, part: None)


def test_what_was_asked_for_is_not_taken_as_provided() -> None:
    assert {"perl", "perl-base"} <= set(recipe.PROVIDED)
    assert not {"perl", "perl-base"} & set(build.without(recipe.PROVIDED, ["perl"]))
    assert "dpkg" in build.without(recipe.PROVIDED, ["perl"])


def test_which_files_of_a_package_go_in() -> None:
    chosen = rootfs.wanted("openssh-client")
    assert [chosen(p) for p in ("usr/bin/ssh", "usr/bin/ssh-agent", "usr/lib/x86_64-linux-gnu/libx.so.1")] == [True, False, True]
    chosen = rootfs.wanted("jq")
    assert [chosen(p) for p in ("usr/bin/jq", "usr/share/doc/jq/copyright", "etc/jq.conf")] == [True, False, True]
