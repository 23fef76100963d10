"""The machine as this driver uses it: sockets, nft transactions and sysctls in a network namespace of the datacenter, by name.

Not here: what is done with them (network.py, port.py, router.py, group.py, root.py). All of it blocks; `Linuxnet` calls it in its thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Protocol, TypeVar

from pileus.drivers.linuxnet import nfnetlink, nft, rtnetlink
from pileus.drivers.linuxnet.netlink import ROUTE, Netlink
from pileus.errors import HostError

T = TypeVar("T")
log = logging.getLogger("pileus.linuxnet")
BRIDGE_FILTER = "net/bridge/bridge-nf-call-iptables"
BRIDGE, BRIDGE_INDEX = "br0", 1000  # a network's switch; an index of our own spares a look-up
# lines of nft in one transaction: a user namespace may not send more at once than net.core.wmem_max (200 chains with their rules)
WEIGHT = 400
LINE_WEIGHT = 120  # characters that weigh as much as a line


class Namespaces(Protocol):
    """Network namespaces by name; None is the datacenter's own. Raises HostError when there is none of that name."""

    def run(self, name: str | None, call: Callable[[], T]) -> T: ...
    def submit(self, name: str | None, call: Callable[[], T]) -> Future[T]: ...
    def create(self, name: str) -> None: ...
    def delete(self, name: str) -> None: ...
    def names(self) -> set[str]: ...


class Machine:
    """Blocking access to the namespaces."""

    def __init__(self, namespaces: Namespaces) -> None:
        self.namespaces = namespaces
        self.closer = nft.Closer()

    def exists(self, name: str) -> bool:
        """Whether there is a namespace of this name."""
        try:
            self.namespaces.run(name, _nothing)
        except HostError:
            return False
        return True

    @contextlib.contextmanager
    def route(self, name: str | None) -> Iterator[Netlink]:
        """A socket for links, addresses, routes and neighbours of a namespace."""
        link = self.namespaces.run(name, lambda: Netlink(ROUTE))
        try:
            yield link
        finally:
            link.close()

    @contextlib.contextmanager
    def filter(self, name: str | None) -> Iterator[Netlink]:
        """A socket for reading tables and open flows of a namespace."""
        link = self.namespaces.run(name, nfnetlink.open_link)
        try:
            yield link
        finally:
            self.closer.later(name, link.close)

    @contextlib.contextmanager
    def sight(self, name: str) -> Iterator[tuple[Netlink, Netlink] | None]:
        """Both sockets, `route` and `filter`, for looking at a namespace; None when there is none of that name."""
        try:
            route, netfilter = self.namespaces.run(name, lambda: (Netlink(ROUTE), nfnetlink.open_link()))
        except HostError:
            yield None
            return
        try:
            yield route, netfilter
        finally:
            route.close()
            self.closer.later(name, netfilter.close)

    @contextlib.contextmanager
    def handle(self, name: str | None) -> Iterator[int]:
        """A descriptor of a namespace."""
        fd = self.namespaces.run(name, lambda: os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        try:
            yield fd
        finally:
            os.close(fd)

    def nft(self, name: str | None, commands: str) -> None:
        """Run nft commands, one a line, as one transaction, or as few as the kernel takes when there are very many. Raises NftError."""
        for chunk in chunks(commands):
            self.namespaces.run(name, partial(nft.run, chunk, partial(self.closer.later, name)))

    def sysctls(self, name: str | None, values: Mapping[str, str]) -> None:
        """Write sysctls, `net/...`, of a namespace. Raises HostError that names the one that is missing or refused."""

        def write() -> None:
            for key, value in values.items():
                try:
                    _write(f"/proc/sys/{key}", value)
                except OSError as error:
                    raise HostError(f"sysctl {key.replace('/', '.')} = {value}: {error.strerror}{_hint(key)}") from None

        self.namespaces.run(name, write)

    def need_bridge_filter(self, name: str | None) -> None:
        """See to it that bridged packets can be filtered, as far as anybody may; that they cannot, `sysctls` says."""
        if self.namespaces.run(name, lambda: read_file(f"/proc/sys/{BRIDGE_FILTER}")):
            return
        log.warning("the kernel module br_netfilter is being loaded: it sends the host's own bridges through iptables too")
        with self.filter(name) as netfilter, contextlib.suppress(HostError):
            nfnetlink.load_bridge_filter(netfilter)

    def link(self, name: str | None, device: str) -> rtnetlink.Link | None:
        with self.route(name) as route:
            return find(route, device)


def _write(path: str, value: str) -> None:
    """Half the system calls of Python's files, which counts where there are dozens."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def read_file(path: str) -> str:
    """The content of a file of the calling thread's namespace; empty when there is none."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def find(route: Netlink, device: str) -> rtnetlink.Link | None:
    """A link by its name."""
    answer = route.get(rtnetlink.get_link(device))
    return rtnetlink.read_link(answer) if answer else None


def links(route: Netlink) -> list[rtnetlink.Link]:
    return [rtnetlink.read_link(answer) for answer in route.dump(rtnetlink.get_link())]


def chunks(commands: str) -> list[str]:
    """The commands, cut between lines where they are too many for one transaction; a table in braces is never that long."""
    found: list[str] = []
    lines: list[str] = []
    weight = 0
    for line in commands.splitlines(keepends=True):
        cost = 1 + len(line) // LINE_WEIGHT
        if weight + cost > WEIGHT and lines:
            found.append("".join(lines))
            lines, weight = [], 0
        lines.append(line)
        weight += cost
    return [*found, "".join(lines)] if lines else found


def _nothing() -> None:
    return None


def _hint(key: str) -> str:
    if key.startswith("net/bridge/"):
        return ". Security groups need the kernel module br_netfilter: run `sudo modprobe br_netfilter`"
    return ""
