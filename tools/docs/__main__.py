"""Writes the generated pages, each only when it changed. With --check: says which would, and ends with 1 when any would."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tools.docs import api, commands, errors, readme, settings

ROOT = Path(__file__).resolve().parents[2]

PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/api.md": api.index_page,
    "docs/reference/identity.md": lambda: api.service_page("identity"),
    "docs/reference/image.md": lambda: api.service_page("image"),
    "docs/reference/network.md": lambda: api.service_page("network"),
    "docs/reference/compute.md": lambda: api.service_page("compute"),
    "docs/reference/rules.md": api.rules_page,
    "docs/reference/cli.md": commands.command_page,
    "docs/reference/settings.md": settings.settings_page,
    "docs/reference/errors.md": errors.error_page,
}


def stale() -> dict[Path, str]:
    """The pages that are not what the code says, with what they should be."""
    wanted = {ROOT / name: write() for name, write in PAGES.items()}
    return {path: text for path, text in wanted.items() if not path.exists() or path.read_text() != text}


def main() -> int:
    found = stale()
    if "--check" in sys.argv:
        for path in found:
            print(f"out of date: {path.relative_to(ROOT)} (make docs)")
        return 1 if found else 0
    for path, text in found.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(f"written: {path.relative_to(ROOT)}")
    if "--no-transcript" not in sys.argv and readme.transcribe(ROOT / "README.md"):
        print("written: README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
