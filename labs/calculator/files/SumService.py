"""SumService: A + B."""

from service import operation

operation(50001, "+", lambda a, b: a + b)
