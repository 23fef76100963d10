"""Where things are and what the user chose: two frozen structs, passed down, never global.

Not here: what the host can do (that is probed by drivers) and what users of the cloud chose (that is in the database).
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from pileus.errors import SettingError

SOCKET_PATH_MAX = 107  # unix(7): sun_path holds 108 bytes, one of them the terminating null


class Paths(msgspec.Struct, frozen=True):
    """The folders of one cloud, as the user's own processes see them."""

    config: Path  # config.toml, the user's choices
    data: Path  # the database, images, disks: what `destroy` removes
    state: Path  # logs
    run: Path  # sockets, locks, pid files: worthless after a reboot
    cache: Path  # guest images and packages, shared by all clouds of this user

    @classmethod
    def resolve(cls, env: Mapping[str, str] | None = None) -> Paths:
        """The folders that the environment asks for: PILEUS_HOME moves all but the cache, else the XDG base directories.

        Source: https://specifications.freedesktop.org/basedir-spec/latest/
        """
        env = os.environ if env is None else env
        home = Path(env.get("HOME") or Path.home())
        cache = Path(env.get("PILEUS_CACHE") or Path(env.get("XDG_CACHE_HOME") or home / ".cache") / "pileus")
        if root := env.get("PILEUS_HOME"):
            top = Path(root).absolute()
            return cls(top / "config", top / "data", top / "state", top / "run", cache)
        state = Path(env.get("XDG_STATE_HOME") or home / ".local/state") / "pileus"
        return cls(
            config=Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "pileus",
            data=Path(env.get("XDG_DATA_HOME") or home / ".local/share") / "pileus",
            state=state,
            run=Path(runtime) / "pileus" if (runtime := env.get("XDG_RUNTIME_DIR")) else state / "run",
            cache=cache,
        )

    @property
    def database(self) -> Path:
        return self.data / "pileus.db"

    @property
    def password_file(self) -> Path:
        """The admin's password, mode 0600."""
        return self.data / "admin-password"

    def make(self) -> None:
        """Create the folders, private to the user. A run folder whose sockets could not be named is refused here, in words."""
        for folder in (self.config, self.data, self.state, self.run):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.cache.mkdir(parents=True, exist_ok=True)
        if len(os.fsencode(self.run / "control.socket")) > SOCKET_PATH_MAX:
            raise SettingError(f"the run folder's path is too long for a unix socket: {self.run}. Set PILEUS_HOME to a shorter path.")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the user may choose, from `config.toml` and PILEUS_* variables; the defaults suit a laptop."""

    port: int = 5000  # the one listener, on 127.0.0.1; 0 = any free one
    drivers: Literal["linux", "fake"] = "linux"  # what is behind the APIs: real guests and networks, or the API-only mode
    outbound: Literal["auto", "none", "slirp4netns", "pasta"] = "auto"  # how guests reach the internet; auto takes what is there
    accel: Literal["auto", "kvm", "tcg"] = "auto"  # how guests run; auto: KVM where a guest of a moment shows that it works
    region: str = "RegionOne"  # the one region of the catalog
    public_cidr: str = "192.168.37.0/24"  # the external network, where floating IPs come from
    socks_port: int = 0  # where a SOCKS5 proxy into the public network listens on 127.0.0.1, for a browser; 0: nowhere
    token_hours: int = 24  # how long a token is good for
    lockout_failure_attempts: int = 0  # wrong passwords after which a user is locked out for a while; 0: never
    lockout_duration: int = 1800  # how long that while is
    unique_last_password_count: int = 0  # how many of a user's last passwords a new one must not be; 0: any may be used again
    password_expires_days: int = 0  # days after which a password expires; 0: never
    minimum_password_age: int = 0  # days before a user may change the password again; 0: at once
    password_regex: str = ""  # regular expression that new passwords have to match; empty: any password
    disable_user_account_days_inactive: int = 0  # days without signing in after which a user no longer can; 0: never
    audit_events: int = 50_000  # lines of the identity audit log that are kept; the oldest go first
    memory_reserve_mb: int = 512  # left to the host; what remains is what guests may have
    shutdown_timeout: int = 60  # seconds that a guest has to shut down by itself before the plug is pulled
    image_sources: tuple[str, ...] = ()  # hosts (or host:port) that image imports may fetch from; none: nothing is fetched from the web
    image_conversion: Literal["none", "qcow2", "raw"] = "none"  # the disk format that imports are converted into
    synchronous: Literal["full", "off"] = "full"  # off: tests only; a 2xx may then be lost in a power cut

    @classmethod
    def load(cls, paths: Paths, env: Mapping[str, str] | None = None) -> Settings:
        """Read `config.toml`, then let PILEUS_<SETTING> override it.

        Raises SettingError that names the setting, the file or variable, and what is allowed.
        """
        env = os.environ if env is None else env
        values: dict[str, object] = {}
        file = paths.config / "config.toml"
        if file.exists():
            try:
                values = tomllib.loads(file.read_text())
            except tomllib.TOMLDecodeError as error:
                raise SettingError(f"{file} is not valid TOML: {error}") from None
        for name in cls.__struct_fields__:
            if (text := env.get(f"PILEUS_{name.upper()}")) is not None:
                several = isinstance(cls.__struct_defaults__[cls.__struct_fields__.index(name)], tuple)
                values[name] = text.replace(",", " ").split() if several else int(text) if text.lstrip("-").isdigit() else text
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise SettingError(f"a setting in {file} or a PILEUS_ variable is not usable: {error}") from None
