"""QEMU: guests as processes that are handed everything they may touch as open descriptors, and run under a user of their own.

argv    the command line, a pure function
accel   KVM or TCG, found out by running a guest
qmp     QEMU's monitor, a small client
cards   network cards put into a machine that runs, and taken out
log     the console log, kept small
iso     the config drive's file system
driver  what there is, and the steps

Not here: disk images (drivers/disks), taps (drivers/linuxnet), who starts and reaps processes (drivers/datacenter): constructor arguments.
"""

from pileus.drivers.qemu.driver import QemuGuests

__all__ = ["QemuGuests"]
