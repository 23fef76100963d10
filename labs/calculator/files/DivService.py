"""DivService: A / B."""

from service import Refused, operation


def divide(a, b):
    if b == 0:
        raise Refused("division by zero")
    return a / b


operation(50004, "/", divide)
