"""The micro guest's root file system and its initrd, put together from packages and our own files.

Not here: the lists (recipe.py), and how trees become a disk (disk.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pileus.errors import HostError
from pileus.guest import kernel, recipe
from pileus.guest.packages import Package, Packages, run
from pileus.guest.tree import Tree

BOOT_BUSYBOX = "usr/lib/pileus/busybox"
# As Debian's own, and usr/sbin too, since a login by SSH looks for commands in usr/bin only.
MERGED = {"bin": "usr/bin", "sbin": "usr/bin", "usr/sbin": "bin", "lib": "usr/lib", "lib64": "usr/lib64"}
NOT_LINKED = frozenset({"busybox", "dpkg", "dpkg-deb", "rpm", "rpm2cpio", "halt", "poweroff", "reboot", "nc", "linuxrc", "openvt"})
FOR_THE_BOOT = frozenset({"init", "login", "udhcpc"})  # by the busybox that starts sooner
INITRD_APPLETS = ("sh", "mount", "modprobe", "findfs", "sleep", "switch_root", "setsid", "cttyhack")
FOLDERS = ("dev", "proc", "sys", "run", "mnt", "media", "home", "var/log", "var/lib/pileus", "var/cache", "etc/dropbear", "usr/local/bin")


@dataclass(frozen=True)
class Kernel:
    """A kernel package taken apart in the build folder."""

    release: str
    bzimage: bytes
    modules: dict[str, kernel.Module]
    folder: Path  # lib/modules/<release>

    def body(self, module: kernel.Module) -> bytes:
        return kernel.unsigned((self.folder / module.path).read_bytes())


def own(name: str) -> bytes:
    """One of our files for the guest."""
    return files("pileus.guest").joinpath("files", name).read_bytes()


def take_kernel(packages: Packages, package: Package, work: Path) -> Kernel:
    """Unpack a kernel package. Raises HostError when it has no kernel."""
    tree = Tree(work / "kernel")
    with packages.open(package) as archive:
        tree.unpack(archive, lambda path: path.startswith(("boot/vmlinuz-", "lib/modules/")))
    images = list(tree.files("boot"))
    if len(images) != 1:
        raise HostError(f"{package.file} holds {len(images)} kernels, not one")
    release = images[0].removeprefix("boot/vmlinuz-")
    folder = tree.root / "lib/modules" / release
    return Kernel(release, (tree.root / images[0]).read_bytes(), kernel.read_modules(folder), folder)


def make_root(
    packages: Packages, chosen: list[Package], whole: frozenset[str], busybox: bytes, work: Path, step: Callable[[float], None]
) -> Tree:
    """The root file system without its kernel modules.

    `whole`: packages of which nothing but documentation is left out. `busybox`: the one for the boot.
    """
    tree = Tree(work / "root")
    for link, target in MERGED.items():
        tree.folder(target if target.startswith("usr/") else f"usr/{target}")
        tree.link(link, target)
    for number, package in enumerate(chosen):
        step(number / len(chosen))
        with packages.open(package) as archive:
            tree.unpack(archive, wanted(package.name if package.name not in whole else ""))
    applets(tree, busybox)
    skeleton(tree)
    certificates(tree)
    compile_python(tree)
    return tree


def wanted(name: str) -> Callable[[str], bool]:
    """Which files of a package go into the guest."""
    if (keep := recipe.KEEP.get(name)) is None:
        return lambda path: not path.startswith(recipe.DROP)
    exact = frozenset(keep)
    begins = (recipe.LIBRARIES, *(pattern[:-1] for pattern in keep if pattern.endswith("*")))
    return lambda path: path in exact or path.startswith(begins)


def take_busybox(packages: Packages, package: Package) -> bytes:
    """The program in the package of the static busybox."""
    with packages.open(package) as archive:
        for member in archive:
            if member.name.endswith("bin/busybox") and (body := archive.extractfile(member)):
                return body.read()
    raise HostError(f"{package.file} holds no busybox")


def applets(tree: Tree, busybox: bytes) -> None:
    """A link for every busybox command that no package brings."""
    tree.file(BOOT_BUSYBOX, busybox, 0o755)
    tree.link("usr/lib/pileus/sh", "busybox")
    here = {p.removeprefix("usr/bin/") for p in tree.nodes if p.startswith("usr/bin/")}
    common = set(inside(tree, "usr/bin/busybox", "--list").split())
    for name in common.union(run([str(tree.root / BOOT_BUSYBOX), "--list"]).split()) - here - NOT_LINKED:
        tree.link(f"usr/bin/{name}", "busybox" if name in common - FOR_THE_BOOT else f"/{BOOT_BUSYBOX}")


def inside(tree: Tree, program: str, *words: str, env: dict[str, str] | None = None) -> str:
    """Run a program of the guest here, by the guest's own loader and libraries, since the host's may be older."""
    root = tree.root
    loader = [str(root / "usr/lib64/ld-linux-x86-64.so.2"), "--library-path", str(root / "usr/lib/x86_64-linux-gnu")]
    return run([*loader, str(root / program), *words], env=env)


def skeleton(tree: Tree) -> None:
    """Folders, our files, links."""
    for path in FOLDERS:
        tree.folder(path)
    tree.folder("tmp", 0o1777)
    tree.folder("var/tmp", 0o1777)
    tree.folder("root", 0o700)
    tree.folder("home/cirros", 0o755, recipe.CIRROS, recipe.CIRROS)
    tree.folder("home/cirros/.ssh", 0o700, recipe.CIRROS, recipe.CIRROS)
    tree.link("var/run", "/run")
    tree.link("etc/mtab", "/proc/self/mounts")
    tree.link("etc/resolv.conf", "/run/resolv.conf")
    for name, (path, mode) in recipe.FILES.items():
        tree.file(path, own(name), mode)
    for verb in ("poweroff", "reboot", "halt"):
        tree.link(f"usr/bin/{verb}", "/usr/lib/pileus/power")
    tree.file("etc/filesystems", b"ext4\nvfat\niso9660\nsquashfs\n*\n")  # mount without -t tries these, whose modules are not loaded yet
    tree.file("etc/shells", b"/bin/sh\n/bin/ash\n")
    tree.file("etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n")


def certificates(tree: Tree) -> None:
    """The one file of certificate authorities that curl reads; ca-certificates would make it when installed."""
    parts = [(tree.root / p).read_bytes() for p in tree.files("usr/share/ca-certificates/mozilla")]
    tree.remove("usr/share/ca-certificates")
    tree.file("etc/ssl/certs/ca-certificates.crt", b"\n".join(parts))


def compile_python(tree: Tree) -> None:
    """Compile a Python's library as its package would when installed: else each start in a guest compiles it anew, which takes seconds.

    The guest's own Python does it, run by the guest's own loader.
    """
    for path in [p for p in tree.files("usr/bin") if p.startswith("usr/bin/python3.") and p.count(".") == 1]:
        library = f"usr/lib/{path.rpartition('/')[2]}"
        root = tree.root
        inside(
            tree, path,
            "-S", "-E", "-m", "compileall", "-q", "-s", str(root), "--invalidation-mode", "unchecked-hash", str(root / library),
            env={"PYTHONHOME": str(root / "usr")},
        )  # fmt: skip
        for file in sorted((root / library).rglob("*.pyc")):
            relative = str(file.relative_to(root))
            tree.folder(relative.rpartition("/")[0])
            tree.file(relative, file.read_bytes())


def add_modules(tree: Tree, source: Kernel) -> None:
    """Kernel modules on the disk, with the indexes modprobe reads."""
    names = [m.name for m in source.modules.values() if m.path.startswith(recipe.MODULES_DISK)]
    chosen = {m.name: m for m in kernel.load_order(names, source.modules)}
    home = f"usr/lib/modules/{source.release}"
    for module in chosen.values():
        tree.file(f"{home}/{module.path}", source.body(module))
    for name, body in kernel.indexes(chosen).items():
        tree.file(f"{home}/{name}", body)


def make_initrd(root: Tree, source: Kernel, work: Path) -> Tree:
    """What the kernel unpacks first: busybox, the disk's drivers, and `files/initrd-init`."""
    tree = Tree(work / "initrd")
    for folder in ("bin", "dev", "root"):
        tree.folder(folder)
    tree.file("bin/busybox", root.root / BOOT_BUSYBOX, 0o755)
    for name in INITRD_APPLETS:
        tree.link(f"bin/{name}", "busybox")
    tree.file("init", own("initrd-init"), 0o755)
    chosen = {m.name: m for m in kernel.load_order(recipe.MODULES_INITRD + recipe.MODULES_OTHER_DISKS, source.modules)}
    home = f"lib/modules/{source.release}"
    for module in chosen.values():
        tree.file(f"{home}/{module.path}", source.body(module))
    tree.file(f"{home}/modules.dep", kernel.indexes(chosen)["modules.dep"])
    return tree


def describe(tree: Tree, version: str) -> None:
    """Which image this is, for `report` and for whoever asks later."""
    tree.file("usr/lib/pileus/release", f"IMAGE=pileus-{recipe.NAME}\nVERSION={version}\n".encode())
    tree.file("etc/os-release", f'NAME="Pileus {recipe.NAME}"\nID=pileus\nVERSION_ID="{version}"\n'.encode())
