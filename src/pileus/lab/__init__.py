"""The lab runner: carries out a lab's text with the clients a student would use, and checks what came of it.

It is another process than the cloud: it imports no service and speaks through `openstack` and `pileus`, with ordinary credentials.
"""
