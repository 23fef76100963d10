"""The holder: PID 1 of the datacenter. It keeps the namespaces, starts and reaps every process in them, and remembers how each ended.

It holds no cloud logic and no wish, so the control plane may crash and come back. Standard library only, started by `__main__.py`.

Protocol 1: SOCK_SEQPACKET on `run/holder.socket`, one JSON object a message; `id` of the request comes back in the reply, beside what
is named below or `error` (words) and `errno`.

    hello                                          -> protocol, layout
    spawn  name argv netns? fds? log? uid? env?
           cwd? oom_score_adj? keep_caps?          -> pid start     (fds: the numbers in the child, of the descriptors sent along)
    list                                           -> living {name: [pid, start]}, ended {name: status}
    kill   name signal                             -> {}
    acknowledge name                               -> {}            the status of an ended process may be forgotten
    hold   name                                    -> {}            keep the descriptors sent along until the end (name: replaces)
    watch                                          -> {}, then one {exit: name, status} each, beginning with all not acknowledged
    end                                            -> files         kill all, give every file back to the user, end

pid and start (field 22 of /proc/pid/stat) are as the host sees them. status: >= 0 exit code, < 0 minus the signal.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any

from pileus.drivers.datacenter import namespaces, syscalls
from pileus.drivers.datacenter.spawn import Started, spawn

PROTOCOL = 1
MESSAGE_MAX = 1 << 18  # bytes
FDS_MAX = 32
OOM_SCORE_ADJ = -900  # what the holder asks for itself; only root is given it
Message = dict[str, Any]


def main(options: str) -> None:
    """Become the datacenter: never returns. `options`: JSON of sync and lock (descriptors), run and data (folders)."""
    wish: Message = json.loads(options)
    sync = socket.socket(fileno=wish["sync"])
    os.set_inheritable(wish["lock"], False)  # held for life, by this process alone
    os.set_inheritable(wish["sync"], False)
    os.umask(0o077)
    try:
        host_proc = _enter(sync, wish["run"], wish["data"])
        listener = _listen(wish["run"] + "/holder.socket")
    except OSError as error:
        sync.send(f"error {error}".encode())
        sys.exit(1)
    sync.send(b"ready")
    sync.close()
    _Holder(listener, host_proc).serve()


def _enter(sync: socket.socket, run: str, data: str) -> int:
    """Make all namespaces and become PID 1 in them. Returns a descriptor of the host's /proc."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(OOM_SCORE_ADJ))
    host_proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    sync.send(b"map")
    sync.recv(16)
    os.setresgid(0, 0, 0)  # supplementary groups stay: a guest may need the user's kvm group
    os.setresuid(0, 0, 0)
    syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS)
    if os.fork():
        os._exit(0)
    os.setsid()
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # else only the host's root could look into our namespaces
    syscalls.set_name("pileus-holder")
    namespaces.enter_root(run, data)
    namespaces.name_host()
    namespaces.prepare_network()
    return host_proc


def _listen(path: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(64)
    return listener


class _Holder:
    def __init__(self, listener: socket.socket, host_proc: int) -> None:
        self.listener, self.host_proc = listener, host_proc
        self.living: dict[str, Started] = {}
        self.names: dict[int, str] = {}  # of the living, by pid as seen in here
        self.ended: dict[str, int] = {}
        self.held: dict[str, list[int]] = {}
        self.clients: dict[int, socket.socket] = {}
        self.watchers: set[int] = set()
        self.poll = select.poll()
        self.ending = False

    def serve(self) -> None:
        """Answer until told to end."""
        wakeup, wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        self.poll.register(self.listener, select.POLLIN)
        self.poll.register(wakeup, select.POLLIN)
        while not self.ending:
            for fd, _ in self.poll.poll():
                if fd == wakeup:
                    with contextlib.suppress(BlockingIOError):
                        os.read(wakeup, 4096)
                    self.reap()
                elif fd == self.listener.fileno():
                    self.accept()
                elif fd in self.clients:
                    self.receive(fd)

    def accept(self) -> None:
        with contextlib.suppress(OSError):  # a client that has gone again
            client, _ = self.listener.accept()
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MESSAGE_MAX)
            self.clients[client.fileno()] = client
            self.poll.register(client, select.POLLIN)

    def drop(self, fd: int) -> None:
        self.watchers.discard(fd)
        self.poll.unregister(fd)
        self.clients.pop(fd).close()

    def receive(self, fd: int) -> None:
        try:
            data, fds, flags, _ = socket.recv_fds(self.clients[fd], MESSAGE_MAX, FDS_MAX)
        except BlockingIOError:
            return
        except OSError:
            data, fds, flags = b"", [], 0
        if not data:
            self.drop(fd)
            return
        for number in fds:
            os.set_inheritable(number, False)  # recv_fds of Python 3.11 does not pass MSG_CMSG_CLOEXEC on
        try:
            reply = self.answer(data, fds, flags, fd)
        finally:
            for number in fds:
                if not any(number in held for held in self.held.values()):
                    os.close(number)
        self.send(fd, reply)
        if reply.get("watching"):
            for name, status in self.ended.items():
                self.send(fd, {"exit": name, "status": status})

    def answer(self, data: bytes, fds: list[int], flags: int, client: int) -> Message:
        request: Message = {}
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ValueError(f"a message has at most {MESSAGE_MAX} bytes and {FDS_MAX} descriptors")
            request = json.loads(data)
            reply = self.perform(request, fds, client)
        except KeyError as error:
            reply = {"error": f"no such thing: {error.args[0]}", "errno": 0}
        except OSError as error:
            reply = {"error": error.strerror or str(error), "errno": error.errno or 0}
        except (ValueError, TypeError) as error:
            reply = {"error": str(error), "errno": 0}
        return {**reply, "id": request.get("id") if isinstance(request, dict) else None}

    def perform(self, request: Message, fds: list[int], client: int) -> Message:
        match request["op"]:
            case "hello":
                return {"protocol": PROTOCOL, "layout": namespaces.LAYOUT}
            case "spawn":
                return self.spawn(request, fds)
            case "list":
                self.reap()
                return {"living": {name: [one.pid, one.start] for name, one in self.living.items()}, "ended": self.ended}
            case "kill":
                self.reap()
                if request["name"] in self.living:  # one that has just ended is no error
                    os.kill(self.living[request["name"]].inner, int(request["signal"]))
                elif request["name"] not in self.ended:
                    raise KeyError(request["name"])
                return {}
            case "acknowledge":
                del self.ended[request["name"]]
                return {}
            case "hold":
                for number in self.held.pop(request["name"], []):
                    os.close(number)
                self.held[request["name"]] = fds
                return {}
            case "watch":
                self.watchers.add(client)
                return {"watching": True}
            case "end":
                return self.end()
        raise ValueError(f"no such op: {request['op']}")

    def send(self, fd: int, message: Message) -> None:
        """Send, or drop a client that does not read: it comes again and asks for the list."""
        if fd in self.clients:
            try:
                self.clients[fd].send(json.dumps(message).encode())
            except OSError:
                self.drop(fd)

    def spawn(self, request: Message, fds: list[int]) -> Message:
        self.reap()
        name = request["name"]
        if name in self.living or name in self.ended:
            raise ValueError(f"{name} is already there" + ("" if name in self.living else ", ended and not acknowledged"))
        started = spawn(request, fds, self.host_proc)
        self.living[name] = started
        self.names[started.inner] = name
        return {"pid": started.pid, "start": started.start}

    def reap(self) -> None:
        """Take the status of every process that has ended; those that nobody named are orphans, and forgotten."""
        while True:
            try:
                inner, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not inner:
                return
            if name := self.names.pop(inner, None):
                del self.living[name]
                self.ended[name] = os.waitstatus_to_exitcode(status)
                for watcher in list(self.watchers):
                    self.send(watcher, {"exit": name, "status": self.ended[name]})

    def end(self) -> Message:
        if os.getpid() != 1:
            raise ValueError("only PID 1 of a datacenter ends all there is")  # -1 below is everybody
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        self.ending = True
        return {"files": give_back(namespaces.DATA)}


def give_back(folder: str) -> int:
    """Make the user the owner of every file below that a guest's uid owns. Returns how many there were."""
    count = 0
    for path, folders, files in os.walk(folder):
        for name in folders + files:
            entry = os.path.join(path, name)
            with contextlib.suppress(OSError):
                if os.lstat(entry).st_uid:
                    os.lchown(entry, 0, 0)
                    count += 1
    return count
