"""What can go wrong, by meaning. Raise one of these; nobody but the boundary in `kit/web.py` catches them.

    PileusError
    ├── SettingError            a setting that cannot be used (command line and start-up)
    ├── HostError               the machine would not do what a driver asked
    │   └── CommandError        a host command failed: argv, status, stderr and a line ready to paste (kit/shell.py)
    └── Fault                   something a client is told, with an HTTP status
        ├── BadRequest    400   the request cannot be understood or cannot be meant
        ├── Unauthorized  401   no valid token
        ├── Forbidden     403   the caller's roles do not allow this action
        │   └── OverQuota 403   (Neutron says 409)
        ├── NotFound      404   no such thing, or not yours
        ├── BadMethod     405   the path is there, the method is not
        ├── NotAcceptable 406   a version that is not served
        ├── Conflict      409   the thing is in a state, or a relation, that forbids it
        │   └── Busy      409   a verb that may not run in the state the thing is in
        ├── Stale         412   the revision the client holds is no longer current
        ├── TooLarge      413   more bytes than are allowed
        ├── UnsupportedMedia 415 the body is of a type that is not taken
        └── Unavailable   503   the host cannot do it now

A message names the thing, says what is wrong and what to do next. `type` is the name some dialects show beside the message (Neutron's
exception names); `extra` holds what a dialect puts in its body or headers.
"""

from __future__ import annotations

from typing import Any, ClassVar


class PileusError(Exception):
    """Everything that Pileus raises on purpose."""


class SettingError(PileusError):
    """A setting that cannot be used; the message says which and what is allowed."""


class HostError(PileusError):
    """The machine would not do what a driver asked."""


class Fault(PileusError):
    """Something a client is told."""

    status: ClassVar[int] = 500

    def __init__(self, message: str, *, type: str = "", **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.type = type or self.__class__.__name__
        self.extra = extra


class BadRequest(Fault):
    status = 400


class Unauthorized(Fault):
    status = 401


class Forbidden(Fault):
    status = 403


class OverQuota(Forbidden):
    """More of a resource than the project may have. `extra`: resource, limit, used."""


class NotFound(Fault):
    status = 404


class BadMethod(Fault):
    status = 405


class NotAcceptable(Fault):
    status = 406


class Conflict(Fault):
    status = 409


class Busy(Conflict):
    """A verb that may not run in the state the thing is in."""


class Stale(Fault):
    status = 412


class TooLarge(Fault):
    status = 413


class UnsupportedMedia(Fault):
    status = 415


class Unavailable(Fault):
    status = 503
