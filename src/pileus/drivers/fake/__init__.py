"""The fake drivers: a machine made of one file. They ship: `pileus up --drivers fake` is the API-only mode.

They keep every promise of the real ones that does not need a packet or a guest, and can be slow or broken on request.
"""
