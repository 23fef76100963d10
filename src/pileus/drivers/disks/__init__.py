"""Disks, by qemu-img and plain files: `images` makes what guests start from, `servers` what they run on."""
