"""Compute: servers, flavors, key pairs, server groups and their quotas (Nova), and the view of the host that Placement gives.

Owns the tables of 005-compute.sql and the wish in every server's row. Not here: images, ports and addresses (their services' actions),
and how a guest is brought in line with its row (host.py, reconcile.py, live.py).
"""
