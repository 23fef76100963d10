"""The suites that others wrote, run against a cloud on loopback: Tempest and python-openstackclient's own functional tests, unmodified.

What is asked is theirs; what is here starts a cloud, tells the suite the truth about it, runs it and writes down what came of it.
"""
