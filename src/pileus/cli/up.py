"""`pileus up`: datacenter, way out, control plane; whatever of these lives already is kept."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import click

from pileus.cli import clouds_yaml, http
from pileus.cli.cloud import Cloud, Control, tell
from pileus.drivers.datacenter import lock, outbound
from pileus.drivers.datacenter import start as datacenter
from pileus.drivers.datacenter.process import end, started
from pileus.errors import Conflict, HostError

READY_TIMEOUT = 60.0  # seconds; below one on a quiet machine
ANSWER_TIMEOUT = 10.0  # a control plane that lives but says nothing for so long is replaced
MOVES = ("PILEUS_HOME", "PILEUS_CACHE")  # may be relative to the folder that `up` is called in
SOCKS_PORT = 1080  # that of SOCKS by IANA's list
LOG_MAX = 10 << 20  # bytes; then the log is set aside at the next start


@click.command(
    epilog="""\b
Examples:
  pileus up                      real guests, real networks
  pileus up --socks              also a SOCKS5 proxy, for a browser: socks5h://127.0.0.1:1080
  pileus up --drivers fake       the APIs only: no guests, nothing needed of the machine
  PILEUS_HOME=/tmp/two pileus up --port 0     a second cloud beside the first"""
)
@click.option("--drivers", type=click.Choice(["linux", "fake"]), help="What is behind the APIs; kept for this cloud. Default: linux.")
@click.option("--port", type=click.IntRange(0, 65535), help="Where the APIs listen on 127.0.0.1; 0: any free port. Kept from then on.")
@click.option(
    "--socks",
    type=click.IntRange(0, 65535),
    is_flag=False,
    flag_value=SOCKS_PORT,
    metavar="[PORT]",
    help=f"A SOCKS5 proxy on 127.0.0.1 into the public network, for a browser, until `down`. Default: {SOCKS_PORT}; 0: none.",
)
@click.option("--foreground", is_flag=True, help="Be the control plane, logging here, until interrupted; guests then live on.")
def up(drivers: str | None, port: int | None, socks: int | None, foreground: bool) -> None:
    """Start the cloud; returns when its APIs answer.

    What lives is kept: after a crash the guests are found as they are. A second `up` is harmless.
    """
    began = time.monotonic()
    cloud = Cloud.of_environment()
    cloud.paths.make()
    with cloud.commanding():
        kind = _drivers(cloud, drivers)
        if control := _living(cloud):
            _check_same(control, kind, port)
            if kind == "linux":
                _reach_out(cloud)
            endpoint, word = control.endpoint, "is up already"
        else:
            cloud.password()
            if kind == "linux":
                pid = datacenter.start(cloud.paths)
                tell(f"Datacenter: process {pid} ({time.monotonic() - began:.2f} s)")
                _reach_out(cloud)
            listener = _listen(cloud, port)
            if foreground:
                os.environ.update({"PILEUS_SOCKS_PORT": str(socks)} if socks is not None else {})
                _become_control(cloud, kind, listener)
            endpoint, word = _start_control(cloud, kind, listener)["endpoint"], "is up"
        written = clouds_yaml.install(cloud, endpoint)
        if socks is not None:
            written = [_socks(cloud, endpoint, socks), *written]
    seconds = time.monotonic() - began
    click.echo(f"Pileus {word}: {endpoint} (drivers: {kind}, {seconds:.2f} s)")
    for line in (*written, 'Next: eval "$(pileus env)", then `openstack server list`; `pileus status`; the end: `pileus down`'):
        click.echo(line)


def _socks(cloud: Cloud, endpoint: str, port: int) -> str:
    """Have the control plane, which may live since long, listen there. Raises Conflict."""
    told = http.Client(endpoint, cloud.password()).call("PUT", "/pileus/v1/socks", {"port": port}).body["socks"]["port"]
    return f"SOCKS5 proxy: socks5h://127.0.0.1:{told}" if told else "SOCKS5 proxy: none"


def _drivers(cloud: Cloud, asked: str | None) -> str:
    kept: str | None = cloud.remembered().get("drivers")
    if asked and kept and asked != kept:
        raise Conflict(f"this cloud was made with --drivers {kept}; its data fits no other. To begin anew: pileus destroy")
    kind = asked or kept or cloud.settings.drivers
    cloud.remember(drivers=kind)
    return kind


def _living(cloud: Cloud) -> Control | None:
    """The control plane if it answers; one that does not is ended."""
    control = cloud.control()
    if control is None and not lock.is_taken(cloud.control_lock):
        return None
    until = time.monotonic() + ANSWER_TIMEOUT
    while control and not control.endpoint and time.monotonic() < until:  # an `up` that was broken off has left it starting
        time.sleep(0.05)
        control = cloud.control()
    if control and control.endpoint and http.answers(control.endpoint, ANSWER_TIMEOUT):
        return control
    if control is None:
        raise HostError(f"some process holds {cloud.control_lock} and it is not known which: try `fuser {cloud.control_lock}`")
    tell(f"The control plane, process {control.pid}, does not answer: it is replaced")
    if not end(control.pid, (signal.SIGTERM, 2), (signal.SIGKILL, 10)):
        raise HostError(f"process {control.pid} cannot be ended")
    return None


def _check_same(control: Control, drivers: str, port: int | None) -> None:
    if control.drivers != drivers:
        raise Conflict(f"this cloud is up with --drivers {control.drivers}; stop it first: pileus down")
    if port and not control.endpoint.endswith(f":{port}"):
        raise Conflict(f"this cloud is up at {control.endpoint}; to move it: pileus down, then pileus up --port {port}")


def _reach_out(cloud: Cloud) -> None:
    """The way out. Only one that was asked for by name must be there."""
    choice = cloud.settings.outbound
    try:
        name = outbound.start(cloud.paths, choice)
    except HostError as error:
        if choice != "auto":
            raise
        tell(f"Warning: guests will not reach the Internet: {error}")
        return
    if name is None and choice == "auto":
        tell("Warning: guests will not reach the Internet: install slirp4netns or pasta (or set outbound = none)")


def _listen(cloud: Cloud, asked: int | None) -> socket.socket:
    """The socket of the APIs: on the port asked for, else the one kept, else the one in the settings, else (not when asked) a free one."""
    kept = cloud.remembered()
    wanted = cloud.settings.port
    port: int = asked if asked is not None else kept["port"] if kept.get("wanted") == wanted else wanted
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        if asked is not None or isinstance(error, PermissionError):
            raise Conflict(f"port {port} of 127.0.0.1 cannot be had: {error.strerror}. Any free one: --port 0") from None
        listener.bind(("127.0.0.1", 0))
        tell(f"Port {port} is taken by another program: {listener.getsockname()[1]} it is, from now on")
    listener.listen(1024)
    cloud.remember(port=listener.getsockname()[1], wanted=wanted)
    return listener


def _options(cloud: Cloud, drivers: str, listener: socket.socket, held: int, ready: int | None) -> list[str]:
    options = {
        "listener": listener.fileno(), "lock": held, "ready": ready, "drivers": drivers, "port": listener.getsockname()[1]
    }  # fmt: skip
    return [sys.executable, "-P", "-m", "pileus", "control", json.dumps(options)]


def _hold(cloud: Cloud) -> int:
    held = lock.take(cloud.control_lock, wait=2.0)
    if held is None:
        raise Conflict("another control plane of this cloud is starting")
    cloud.control_file.unlink(missing_ok=True)
    return held


def _sign(held: int, pid: int, drivers: str) -> None:
    """Say in the lock file whose it is."""
    os.ftruncate(held, 0)
    os.pwrite(held, json.dumps({"pid": pid, "start": started(pid), "drivers": drivers}).encode(), 0)


def _become_control(cloud: Cloud, drivers: str, listener: socket.socket) -> None:
    for line in clouds_yaml.install(cloud, f"http://127.0.0.1:{listener.getsockname()[1]}"):
        tell(line)
    held = _hold(cloud)
    _sign(held, os.getpid(), drivers)
    for fd in (held, listener.fileno()):
        os.set_inheritable(fd, True)
    argv = _options(cloud, drivers, listener, held, None)
    os.execv(argv[0], argv)  # noqa: S606


def _start_control(cloud: Cloud, drivers: str, listener: socket.socket) -> dict[str, Any]:
    """Start the control plane as a process of its own and wait until it answers. Raises HostError with the end of its log."""
    log = cloud.control_log
    if log.exists() and log.stat().st_size > LOG_MAX:
        log.replace(log.with_suffix(".log.1"))
    held = _hold(cloud)
    read, write = os.pipe()
    with listener, os.fdopen(read, "rb") as said, os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as out:
        began = out.tell()
        process = subprocess.Popen(
            _options(cloud, drivers, listener, held, write),
            pass_fds=[listener.fileno(), held, write],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            env={**os.environ, **{name: os.path.abspath(os.environ[name]) for name in MOVES if os.environ.get(name)}},
            start_new_session=True,
        )
        _sign(held, process.pid, drivers)
        os.close(write)
        os.close(held)
        poll = select.poll()
        poll.register(said, select.POLLIN)
        line = said.readline() if poll.poll(READY_TIMEOUT * 1000) else b""
    if line:
        facts: dict[str, Any] = json.loads(line)
        return facts
    silent = process.poll() is None and not _ended(process)
    process.kill()
    status = process.wait()
    what = f"did not answer within {READY_TIMEOUT:g} s" if silent else f"ended with status {status}"
    with log.open("rb") as file:
        file.seek(began)
        lines = file.read().decode(errors="replace").strip().splitlines()[-15:]
    raise HostError(f"the control plane {what}. The end of {log}:\n" + "\n".join(f"    {line}" for line in lines))


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        return False
    return True
