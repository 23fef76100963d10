"""The life of an image: queued, saving, active, deactivated; by import: queued, uploading, importing, active. Glance's `killed` and
`deleted` are never reached: a failed upload may be tried again, and a deleted image is not shown.
"""

from __future__ import annotations

from pileus.kit.states import States, verb

STATUSES = ("queued", "saving", "active", "killed", "deleted", "uploading", "importing", "pending_delete", "deactivated")

UPLOADS = States({"upload": verb(["queued"])}, refusal="Image status transition from {value} to saving is not allowed")
STAGES = States({"stage": verb(["queued"])}, refusal="Image status transition from {value} to uploading is not allowed")
DOWNLOAD = verb(["active", "deactivated"])
DEACTIVATE = verb(["active", "deactivated"])
REACTIVATE = verb(["active", "deactivated"])
BOOT = verb(["active"])
IMPORTS = {  # method -> the status that it starts from
    "glance-direct": verb(["uploading"]),
    "web-download": verb(["queued"]),
    "glance-download": verb(["queued"]),
    "copy-image": verb(["active"]),
}
