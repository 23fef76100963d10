"""What needs the host, or a guest, while somebody waits: the metadata service, the console log; and the documents of the config drive."""

from pileus.compute.live.console import console_log
from pileus.compute.live.content import describe, drive_files
from pileus.compute.live.service import Answer, Metadata

__all__ = ["Answer", "Metadata", "console_log", "describe", "drive_files"]
