"""The holder's way in: `python -S -E .../pileus/drivers/datacenter OPTIONS`, a Python without packages. Started by `start.py` only."""

import os.path
import sys

sys.path[0] = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))  # the folder that holds `pileus`

from pileus.drivers.datacenter.holder import main  # noqa: E402

main(sys.argv[1])
