"""`pileus` and `python -m pileus`: the command line. Also what `pileus up` starts as a process of its own, the control plane."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line, or (only `pileus up` asks for that) be the control plane."""
    if sys.argv[1:2] == ["control"]:
        from pileus.app import serve
        from pileus.cli.control import run

        return run(sys.argv[2], serve)
    from pileus.cli.command import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
