"""Drivers: the only code that touches the machine. Each serves the `host.py` of its services; none imports another."""
