"""MulService: A * B."""

from service import operation

operation(50003, "*", lambda a, b: a * b)
