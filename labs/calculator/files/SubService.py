"""SubService: A - B."""

from service import operation

operation(50002, "-", lambda a, b: a - b)
