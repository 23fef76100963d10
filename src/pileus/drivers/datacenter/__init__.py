"""The datacenter: the Linux namespaces in which all of a cloud's guests and networks live, and the small process that holds them.

What it owns: the holder (PID 1 in there) and its protocol, entering the namespaces, network namespaces by name, the way out to the
Internet, running a command as the student. What it does not: bridges, rules, guests; it knows nothing of clouds.

The names below are loaded when they are first asked for, so that the holder (a bare Python, no packages) and the command line stay small.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pileus.drivers.datacenter.client import Exit, Holder, HolderError, Process
    from pileus.drivers.datacenter.entry import Datacenter, attach
    from pileus.drivers.datacenter.netns import Netns

__all__ = ["Datacenter", "Exit", "Holder", "HolderError", "Netns", "Process", "attach"]

_HOME = {"Datacenter": "entry", "attach": "entry", "Netns": "netns"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_HOME.get(name, 'client')}"), name)
