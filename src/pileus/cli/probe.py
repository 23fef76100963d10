"""What this machine can do for a cloud, each thing tried as it will be used; nothing is left behind and nothing is changed.

Not here: how the findings are shown (`doctor.py`).
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from pileus.cli.cloud import Cloud
from pileus.drivers.datacenter import idmap, outbound, start
from pileus.drivers.datacenter.client import HolderError
from pileus.drivers.datacenter.entry import attach

Verdict = Literal["ok", "limited", "missing"]
QEMU = f"qemu-system-{platform.machine()}"
NFT = ("libnftables.so.1", "libnftables.so")
GUEST_MB = 512  # of memory, below which not much of a cloud fits
DISK_MB = 2048


class Finding(NamedTuple):
    """One probe's outcome. missing: guests cannot run without it; limited: something is less than it could be. advice: what to do."""

    probe: str
    verdict: Verdict
    detail: str
    advice: str = ""


@dataclass(frozen=True)
class Place:
    """The folders of a datacenter that is only made to see whether one can be."""

    data: Path
    state: Path
    run: Path


def all_findings(cloud: Cloud) -> list[Finding]:
    """Every probe of this machine, in the order in which things build upon each other."""
    return [
        *datacenter(),
        subordinate_ids(),
        program(QEMU, "runs guests", "qemu-system-x86"),
        program("qemu-img", "makes their disks", "qemu-utils"),
        nftables(),
        trunks(),
        way_out(cloud),
        kvm(cloud),
        memory(cloud),
        disk(cloud),
        image_build(),
    ]


def datacenter() -> list[Finding]:
    """Make a datacenter, look at it from inside, end it."""
    with tempfile.TemporaryDirectory(prefix="pileus-") as folder:
        place = Place(*(Path(folder, name) for name in ("data", "state", "run")))
        for made in (place.data, place.state, place.run):
            made.mkdir()
        try:
            start.start(place)
        except (HolderError, OSError) as error:
            return [Finding("datacenter", "missing", str(error), namespace_advice())]
        try:
            inside = _in_child(lambda: _look_inside(place))
        finally:
            start.stop(place)
    return [Finding("datacenter", "ok", "namespaces, mounts and a process to hold them"), *inside]


def _look_inside(place: Place) -> list[Finding]:
    entered = attach(place)
    return entered.netns.run(None, lambda: [tap(), forwarding(), bridge_filter()])


def _in_child(call: Callable[[], list[Finding]]) -> list[Finding]:
    """What `call` finds, in a process of its own: it goes where there is no way back from."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, json.dumps(call()).encode())
        except BaseException as error:
            os.write(write, json.dumps([Finding("datacenter", "missing", f"it cannot be entered: {error}")]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return [Finding(*one) for one in json.loads(told or "[]")]


def namespace_advice() -> str:
    """Why an ordinary user may make no namespaces here, as far as the kernel tells."""
    for file, bad, advice in (
        ("kernel/unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=15000"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "Ubuntu's AppArmor forbids it: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or run as root",
        ),
    ):
        if _first_line(Path("/proc/sys", file)) == bad:
            return advice
    return "inside a container: run it with --privileged, or with --security-opt seccomp=unconfined --security-opt systempaths=unconfined"


def tap() -> Finding:
    """Open the tun device, as guests' network cards need it."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except FileNotFoundError:
        return Finding("tun", "missing", "there is no /dev/net/tun", "sudo modprobe tun (a container: --device /dev/net/tun)")
    except OSError as error:
        return Finding("tun", "missing", f"/dev/net/tun: {error.strerror}", "sudo chmod 0666 /dev/net/tun")
    return Finding("tun", "ok", "guests can have network cards")


def forwarding() -> Finding:
    """Whether routers can be made: sysctls of a network namespace must be writable."""
    if _first_line(Path("/proc/sys/net/ipv4/ip_forward")) == "1":
        return Finding("sysctl", "ok", "routers can be made")
    return Finding("sysctl", "missing", "/proc/sys cannot be written", "a container: --security-opt systempaths=unconfined")


def bridge_filter() -> Finding:
    """br_netfilter: what lets security groups see packets between ports of one network."""
    side = "once loaded it also sends the host's own bridges through iptables; sysctl net.bridge.bridge-nf-call-iptables=0 undoes that"
    if Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
        return Finding("bridge filter", "ok", "security groups can be enforced (br_netfilter is loaded)")
    return Finding("bridge filter", "missing", "the kernel module br_netfilter is not loaded", f"sudo modprobe br_netfilter ({side})")


def subordinate_ids() -> Finding:
    """Whether each guest can have a uid of its own."""
    wide = idmap.subordinate("uid"), idmap.subordinate("gid")
    if all(wide):
        first = wide[0]
        return Finding("guest uids", "ok", f"each guest runs as a user of its own, of {first.size if first else 0}")
    advice = f"apt install uidmap; sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {os.environ.get('USER', 'YOU')}"
    return Finding("guest uids", "limited", "no newuidmap, or no subordinate ids for you: guests share your own uid", advice)


def program(name: str, purpose: str, package: str) -> Finding:
    """A program that must be there and must start."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        return Finding(name, "missing", f"not found; it {purpose}", f"apt install {package}")
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(name, "missing", f"{path} does not start: {error}", f"apt install --reinstall {package}")
    return Finding(name, "ok", done.stdout.splitlines()[0] if done.stdout else path)


def nftables() -> Finding:
    """The library that writes firewall rules."""
    for name in NFT:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return Finding("nftables", "ok", name)
    return Finding("nftables", "missing", f"{NFT[0]} is not found; it writes security groups and floating IPs", "apt install nftables")


def trunks() -> Finding:
    """VLANs, by which trunks carry ports; a kernel with modules loads theirs when it is asked to."""
    there = Path("/proc/net/vlan").exists() or (bool(shutil.which("modinfo")) and _quiet("modinfo", "-n", "8021q"))
    if there:
        return Finding("VLANs", "ok", "trunks can carry ports (8021q)")
    return Finding("VLANs", "limited", "the kernel has no 8021q: trunks' sub-ports stay down", "a kernel with CONFIG_VLAN_8021Q")


def _quiet(*argv: str) -> bool:
    """Whether a command says yes."""
    return subprocess.run(argv, capture_output=True, timeout=20, stdin=subprocess.DEVNULL, check=False).returncode == 0


def way_out(cloud: Cloud) -> Finding:
    """Whether guests can reach the Internet."""
    if cloud.settings.outbound == "none":
        return Finding("way out", "ok", "none, as set: guests do not reach the Internet")
    if path := outbound.tool(cloud.settings.outbound):
        return Finding("way out", "ok", path)
    return Finding("way out", "limited", "guests do not reach the Internet", "apt install slirp4netns")


def kvm(cloud: Cloud) -> Finding:
    """KVM, by the verdict of the probe guest that the first `up` runs; never by the mere presence of the device."""
    device = Path("/dev/kvm")
    if not device.exists():
        return Finding(
            "KVM", "limited", "no /dev/kvm: guests are emulated, which is slower", "load kvm_intel or kvm_amd, if this is no guest"
        )
    if not os.access(device, os.R_OK | os.W_OK):
        return Finding(
            "KVM", "limited", "/dev/kvm is not open to you: guests are emulated", "sudo usermod -aG kvm $USER, then log in again"
        )
    try:
        kept = json.loads((cloud.paths.cache / "kvm-probe.json").read_text())
        works, reason = bool(kept["works"]), str(kept["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return Finding("KVM", "limited", "not probed: a guest tries it at the first `pileus up`")
    return Finding("KVM", "ok" if works else "limited", reason, "" if works else "guests are emulated, which is slower")


def memory(cloud: Cloud) -> Finding:
    """What is left for guests."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) // 1024 - cloud.settings.memory_reserve_mb
    detail = f"{max(free, 0)} MB for guests ({cloud.settings.memory_reserve_mb} MB stay with the host)"
    return Finding("memory", "ok" if free >= GUEST_MB else "limited", detail, "" if free >= GUEST_MB else "close something large")


def disk(cloud: Cloud) -> Finding:
    """Room where the cloud's data goes."""
    folder = cloud.paths.data
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free >> 20
    return Finding(
        "disk", "ok" if free >= DISK_MB else "limited", f"{free} MB at {folder}", "" if free >= DISK_MB else "make room, or set PILEUS_HOME"
    )


def image_build() -> Finding:
    """What `pileus image build` needs."""
    missing = [name for name in ("apt-get", "dpkg-deb", "mke2fs", "debugfs") if not shutil.which(name, path=os.environ["PATH"] + ":/sbin")]
    if not missing:
        return Finding("image build", "ok", "guest images can be built here")
    return Finding("image build", "limited", f"not found: {', '.join(missing)}", "apt install e2fsprogs, or copy a cache from a Debian")


def _first_line(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
