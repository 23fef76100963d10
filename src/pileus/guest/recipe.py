"""What a micro guest is made of: packages, kernel modules, our own files, the kernel's command line. Data only.

To change what is in the guest, change it here; the digest of this file and of `files/` is a part of the image's version.
"""

from __future__ import annotations

NAME = "micro"
LABEL = "cirros-rootfs"
KERNEL = "linux-image-cloud-amd64"

# The busybox of the boot and of its scripts: it starts 3 ms sooner, and its shell takes its own commands first. People get the other one,
# whose shell looks for commands along PATH. (The two packages conflict, so apt is asked for this one apart.)
BOOT_BUSYBOX = "busybox-static"

# What the guest holds. Recommendations are left out, dependencies come by themselves.
GUEST = (
    "busybox",
    "ca-certificates",
    "curl",
    "dosfstools",
    "dropbear-bin",
    "e2fsprogs",
    "iputils-ping",
    "ndisc6",
    "libpam-modules",
    "openssh-sftp-server",
    "sudo",
    "util-linux",
    "wide-dhcpv6-client",
)
# What builds the disk: unpacked beside it, so that the host need not have it.
TOOLS = ("lz4", "mtools", "syslinux")

# Packages that others depend on and the guest does without, and the names they stand for: there is no packaging system in the guest,
# nor an init system of Debian's.
PROVIDED = {
    "adduser": "",
    "debconf": "debconf-2.0",
    "dpkg": "",
    "init-system-helpers": "",
    "initramfs-tools": "linux-initramfs-tool",
    "install-info": "",
    "kmod": "",
    "libcap2-bin": "",
    "linux-base": "",
    "logsave": "",
    "lsb-base": "",
    "media-types": "mailcap, mime-support",
    "openssl": "",
    "passwd": "",
    "perl": "perl-base",
    "perl-base": "",
    "sharutils": "",
    "systemd": "systemd-sysv",
    "tar": "",
    "udev": "",
    "usrmerge": "usr-is-merged",
    "util-linux-extra": "",
}

# Of these packages only these files (where they lie in the guest, whose usr/sbin is usr/bin) and the shared
# libraries ("*" at the end: whatever begins so); of all others everything but documentation and translations.
KEEP = {
    "dropbear-bin": ("usr/bin/dropbear", "usr/bin/dropbearkey"),
    "e2fsprogs": ("usr/bin/mke2fs", "usr/bin/mkfs.*", "usr/bin/e2fsck", "usr/bin/fsck.*", "usr/bin/resize2fs", "usr/bin/tune2fs",
                  "usr/bin/e2label", "usr/bin/lsattr", "usr/bin/chattr", "etc/mke2fs.conf"),
    "libpam-modules": ("usr/lib/x86_64-linux-gnu/security/pam_permit.so",),
    "libpam-modules-bin": (),
    "ndisc6": ("usr/bin/rdisc6",),
    "openssh-client": ("usr/bin/ssh", "usr/bin/scp", "usr/bin/sftp", "usr/bin/ssh-keygen"),
    "sudo": ("usr/bin/sudo", "usr/libexec/sudo/libsudo_util.so*", "usr/libexec/sudo/sudoers.so"),
    "util-linux": ("usr/bin/lsblk", "usr/bin/findmnt", "usr/bin/flock", "usr/bin/taskset", "usr/bin/resizepart", "usr/bin/blkid",
                   "usr/bin/blockdev", "usr/bin/wipefs", "usr/bin/mkfs", "usr/bin/fsck"),
    "wide-dhcpv6-client": ("usr/bin/dhcp6c",),
}  # fmt: skip
LIBRARIES = "usr/lib/x86_64-linux-gnu/lib"
DROP = (
    "usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/info/", "usr/share/lintian/", "usr/share/bash-completion/",
    "usr/share/bug/", "usr/share/zsh/", "usr/share/apport/", "usr/share/gcc/", "usr/share/gdb/", "usr/share/pixmaps/",
    "usr/share/applications/", "usr/lib/systemd/", "usr/lib/udev/", "usr/lib/tmpfiles.d/", "usr/lib/x86_64-linux-gnu/gconv/",
    "usr/lib/x86_64-linux-gnu/libmvec", "etc/init.d/", "etc/cron.d/", "etc/cron.daily/", "etc/logrotate.d/",
)  # fmt: skip

# Drivers in the initrd, loaded by `files/initrd-init`: for disk and network; and those for a disk that is not on virtio.
MODULES_INITRD = ("virtio_pci", "virtio_blk", "virtio_net")
MODULES_OTHER_DISKS = ("ata_piix", "virtio_scsi", "sd_mod", "sr_mod")
# Module folders and files that go on the disk, besides whatever those need.
MODULES_DISK = (
    "kernel/net/bridge/", "kernel/net/netfilter/", "kernel/net/ipv4/", "kernel/net/ipv6/", "kernel/net/8021q/", "kernel/net/core/",
    "kernel/net/sched/", "kernel/net/packet/", "kernel/net/vmw_vsock/", "kernel/net/llc/", "kernel/net/802/",
    "kernel/drivers/net/virtio_net.ko", "kernel/drivers/net/tun.ko", "kernel/drivers/net/veth.ko", "kernel/drivers/net/vxlan/",
    "kernel/drivers/net/bonding/", "kernel/drivers/net/dummy.ko", "kernel/drivers/net/macvlan.ko", "kernel/drivers/net/wireguard/",
    "kernel/drivers/virtio/", "kernel/drivers/block/virtio_blk.ko", "kernel/drivers/block/loop.ko", "kernel/drivers/block/nbd.ko",
    "kernel/drivers/block/zram/", "kernel/drivers/char/virtio_console.ko", "kernel/drivers/char/hw_random/virtio-rng.ko",
    "kernel/drivers/acpi/button.ko", "kernel/drivers/input/evdev.ko", "kernel/drivers/ata/ata_piix.ko", "kernel/drivers/scsi/sd_mod.ko",
    "kernel/drivers/scsi/sr_mod.ko", "kernel/drivers/scsi/virtio_scsi.ko", "kernel/drivers/md/dm-crypt.ko", "kernel/drivers/md/dm-mod.ko",
    "kernel/fs/isofs/", "kernel/fs/fat/", "kernel/fs/nls/", "kernel/fs/overlayfs/", "kernel/fs/squashfs/", "kernel/fs/fuse/",
    "kernel/crypto/", "kernel/lib/",
)  # fmt: skip

# file in files/ -> (path in the guest, mode). Links to busybox and the like are in rootfs.py.
FILES = {
    "acpi-power": ("etc/acpi/PWRF/00000080", 0o755),
    "boot": ("usr/lib/pileus/boot", 0o755),
    "dhcp": ("usr/lib/pileus/dhcp", 0o755),
    "dhcp-event": ("usr/lib/pileus/dhcp-event", 0o755),
    "dhcp6-event": ("usr/lib/pileus/dhcp6-event", 0o755),
    "fstab": ("etc/fstab", 0o644),
    "group": ("etc/group", 0o644),
    "hostkeys": ("usr/lib/pileus/hostkeys", 0o755),
    "hotplug": ("usr/lib/pileus/hotplug", 0o755),
    "identity": ("usr/lib/pileus/identity", 0o644),
    "identity.awk": ("usr/lib/pileus/identity.awk", 0o644),
    "inittab": ("etc/inittab", 0o644),
    "ipv6": ("usr/lib/pileus/ipv6", 0o755),
    "issue": ("etc/issue", 0o644),
    "login-prompt": ("usr/lib/pileus/login-prompt", 0o755),
    "late": ("usr/lib/pileus/late", 0o755),
    "nc": ("usr/local/bin/nc", 0o755),
    "nsswitch.conf": ("etc/nsswitch.conf", 0o644),
    "online": ("usr/lib/pileus/online", 0o755),
    "pam-sudo": ("etc/pam.d/sudo", 0o644),
    "passwd": ("etc/passwd", 0o644),
    "power": ("usr/lib/pileus/power", 0o755),
    "profile": ("etc/profile", 0o644),
    "report": ("usr/lib/pileus/report", 0o755),
    "resolver": ("usr/lib/pileus/resolver", 0o644),
    "shadow": ("etc/shadow", 0o600),
    "sudoers": ("etc/sudoers", 0o440),
}
CIRROS = 1000  # uid and gid

# Every word saves time under TCG. `tsc=reliable` and `no_timer_check` skip calibration that an emulated clock fails or delays;
# `random.trust_cpu` starts the random pool from RDRAND; `noreplace-smp` leaves 9,000 instructions unpatched (0.2 s); without AppArmor and
# TOMOYO a command starts 1 ms sooner; kdf108 tests itself on each boot; mitigations guard a kernel that has this guest to itself.
CMDLINE = (
    "console=ttyS0 quiet tsc=reliable no_timer_check mitigations=off nokaslr cryptomgr.notests random.trust_cpu=on "
    "rcupdate.rcu_expedited=1 8250.nr_uarts=1 i8042.noaux noreplace-smp lsm=capability "
    "initcall_blacklist=crypto_kdf108_init"
)
