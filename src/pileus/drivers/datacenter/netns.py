"""Network namespaces by name, and one thread that hops between them to make sockets, taps and netlink requests there.

Sockets and descriptors made there may be used from every thread. Not here: what is in a namespace (`drivers/linuxnet`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from pileus.drivers.datacenter import namespaces, syscalls
from pileus.errors import HostError

T = TypeVar("T")
ROOT = ""  # the datacenter's own network namespace, among the names
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
SYSCTLS = {"net/ipv4/ping_group_range": "0 0"}  # so that ping works in there without capabilities


class Netns:
    """The datacenter's network namespaces. Calls may come from any thread; they run one after another in one thread, some 50 us each.

    The thread can never go back to the host's network namespace, so nothing of the host is touched by mistake.
    """

    def __init__(self, root: int, folder: str = namespaces.NETNS) -> None:
        """root: a descriptor of the datacenter's own network namespace, kept; folder: where the named ones are."""
        self._root, self._folder = root, folder
        self._queue: queue.SimpleQueue[tuple[str, Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._here: str | None = None  # the namespace the thread is in; None: the host's, or unsure
        self._thread = threading.Thread(target=self._serve, name="netns", daemon=True)
        self._thread.start()

    def run(self, name: str | None, call: Callable[[], T]) -> T:
        """The result of `call()`, run in the namespace `name` (None: the datacenter's own). What it raises is raised here.

        Raises HostError when there is no such namespace.
        """
        if threading.current_thread() is self._thread:
            return self._nested(name or ROOT, call)
        return self.submit(name, call).result()

    def submit(self, name: str | None, call: Callable[[], T]) -> Future[T]:
        """The same without waiting for it. Not from within a call, which would wait for itself."""
        future: Future[T] = Future()
        self._queue.put((name or ROOT, call, future))
        return future

    def names(self) -> set[str]:
        """The namespaces there are."""
        device = os.stat(self._folder).st_dev
        with os.scandir(self._folder) as entries:  # a file that nothing is mounted on is what a crash in `create` left
            return {entry.name for entry in entries if os.stat(entry.path).st_dev != device}

    def create(self, name: str) -> None:
        """Make a network namespace with loopback up; nothing happens when it is there. Raises HostError."""
        self.run(None, lambda: self._create(name))

    def delete(self, name: str) -> None:
        """Take a namespace away; it ends when no process or descriptor uses it any more. Nothing happens when it is gone."""
        self.run(None, lambda: self._delete(name))

    def close(self) -> None:
        """End the thread; the namespaces stay."""
        self._queue.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while item := self._queue.get():
            name, call, future = item
            if future.set_running_or_notify_cancel():
                try:
                    self._hop(name)
                    future.set_result(call())
                except BaseException as error:  # whatever it is belongs to the caller
                    future.set_exception(error)
            del item, call, future  # a result must not live until the next call

    def _nested(self, name: str, call: Callable[[], T]) -> T:
        before = self._here
        self._hop(name)
        try:
            return call()
        finally:
            self._hop(before or ROOT)

    def _hop(self, name: str) -> None:
        if name == self._here:
            return
        if name == ROOT:
            syscalls.setns(self._root, syscalls.CLONE_NEWNET)
        else:
            try:
                fd = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
                try:
                    syscalls.setns(fd, syscalls.CLONE_NEWNET)
                finally:
                    os.close(fd)
            except OSError as error:
                missing = error.errno in (errno.ENOENT, errno.EINVAL)  # EINVAL: the file is there, nothing is mounted on it
                raise HostError(f"network namespace {name}: {'there is none' if missing else error}") from None
        self._here = name

    def _path(self, name: str) -> str:
        if not NAME.fullmatch(name):
            raise HostError(f"not a name for a network namespace: {name!r}")
        return f"{self._folder}/{name}"

    def _create(self, name: str) -> None:
        path = self._path(name)
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_dev != os.stat(self._folder).st_dev:  # as in `names`
                return
        self._here = None  # the thread leaves the root namespace
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o400))
            syscalls.unshare(syscalls.CLONE_NEWNET)
            syscalls.loopback_up()
            namespaces.write_sysctls(SYSCTLS)
            syscalls.mount("/proc/thread-self/ns/net", path, None, syscalls.MS_BIND)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise HostError(f"network namespace {name} cannot be made: {error}") from None
        finally:
            self._hop(ROOT)

    def _delete(self, name: str) -> None:
        path = self._path(name)
        with contextlib.suppress(OSError):  # not mounted: EINVAL, not there: ENOENT
            syscalls.umount(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
