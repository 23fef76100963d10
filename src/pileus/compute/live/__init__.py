"""What needs the host, or a guest, while somebody waits: the metadata service, the console log; and the documents of the config drive."""

from pileus.compute.live.console import Consoles
from pileus.compute.live.content import describe, drive_files
from pileus.compute.live.service import Answer, Metadata

__all__ = ["Answer", "Consoles", "Metadata", "describe", "drive_files"]
