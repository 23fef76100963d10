"""The floor of a guest's boot: the same image, by plain QEMU, on a tap of its own with a ten-line DHCP server. Prints seconds to ping.

`python -m tests.bench.plain_qemu DISK KERNEL INITRD CMDLINE MEMORY_MB ROUNDS`, inside a user and network namespace where it is root.
Nothing of the product takes part: QEMU, a tap, an address, a ping.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HOST, GUEST, MASK = "10.77.0.1", "10.77.0.2", "255.255.255.0"
MAC = "52:54:00:77:00:02"
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


def tap() -> int:
    """A tap called tap0, up, with our address on it; the guest's is known beforehand, so that no ARP question is lost."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"tap0", IFF_TAP | IFF_NO_PI))
    for line in (f"addr add {HOST}/24 dev tap0", "link set tap0 up", f"neigh replace {GUEST} lladdr {MAC} dev tap0 nud permanent"):
        subprocess.run(["ip", *line.split()], check=True)
    os.set_inheritable(fd, True)
    return fd


def reply(request: bytes) -> bytes:
    """OFFER for DISCOVER, ACK for REQUEST: one address, a mask, ten minutes."""
    kind = request[request.index(b"\x35\x01", 236) + 2]
    head = b"\x02" + request[1:12] + bytes(4) + socket.inet_aton(GUEST) + socket.inet_aton(HOST) + bytes(4) + request[28:44] + bytes(192)
    options = [
        (53, bytes([2 if kind == 1 else 5])),
        (54, socket.inet_aton(HOST)),
        (51, struct.pack("!I", 600)),
        (1, socket.inet_aton(MASK)),
    ]
    return head + b"\x63\x82\x53\x63" + b"".join(bytes([code, len(data)]) + data for code, data in options) + b"\xff"


def serve_dhcp() -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"tap0")
    server.bind(("", 67))
    while True:
        request = server.recv(1500)
        server.sendto(reply(request), ("255.255.255.255", 68))


def ping_until(process: subprocess.Popen[bytes], deadline: float) -> None:
    """Send an echo request each 20 ms until one is answered."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    raw.settimeout(0.02)
    packet = struct.pack("!BBHHH", 8, 0, 0xF7FF - 7, 7, 0)  # checksum over this very header
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"QEMU ended with {process.returncode}")
        raw.sendto(packet, (GUEST, 0))
        try:
            answer, (address, _) = raw.recvfrom(1500)
        except TimeoutError:
            continue
        if address == GUEST and answer[20] == 0:
            return
    raise TimeoutError("the guest did not answer")


def boot(disk: str, kernel: str, initrd: str, cmdline: str, memory: int, fd: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        overlay = Path(folder, "overlay.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "qcow2", str(overlay), "1G"], check=True)
        argv = [
            "qemu-system-x86_64",
            "-nodefaults",
            "-display",
            "none",
            "-machine",
            "q35",
            "-accel",
            "tcg",
            "-cpu",
            "EPYC",
            "-m",
            str(memory),
        ]
        argv += ["-bios", "qboot.rom", "-kernel", kernel, "-initrd", initrd, "-append", cmdline, "-serial", "null"]
        argv += ["-blockdev", f"driver=qcow2,node-name=d0,file.driver=file,file.filename={overlay}", "-device", "virtio-blk-pci,drive=d0"]
        argv += ["-netdev", f"tap,id=n0,fd={fd}", "-device", f"virtio-net-pci,netdev=n0,mac={MAC},romfile=", "-device", "virtio-rng-pci"]
        began = time.monotonic()
        process = subprocess.Popen(argv, pass_fds=[fd], stdin=subprocess.DEVNULL)
        try:
            ping_until(process, began + 120)
            return time.monotonic() - began
        finally:
            process.kill()
            process.wait()


def main() -> None:
    disk, kernel, initrd, cmdline, memory, rounds = sys.argv[1:]
    fd = tap()
    threading.Thread(target=serve_dhcp, daemon=True).start()
    print(json.dumps([boot(disk, kernel, initrd, cmdline, int(memory), fd) for _ in range(int(rounds))]))


if __name__ == "__main__":
    main()
