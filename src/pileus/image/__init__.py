"""Image: Glance's API, the uploaded files, and the base disks that guests start from.

Owns the tables `image` and `image_member`, the files `images/<id>` (as uploaded) and `base/<id>.qcow2` (as guests use them).
Does not own the disks of servers and volumes, nor the boot properties' meaning (compute reads those).
"""
