"""Expressions drawn at random, and what Python's own grammar makes of them: an evaluator that shares nothing with the calculator's."""

from __future__ import annotations

import ast
import operator
import random
from collections import Counter
from collections.abc import Iterator

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


def evaluate(node: ast.expr, used: Counter[str]) -> float:
    """The value of an expression; `used` counts its operations by their signs. Raises ZeroDivisionError."""
    if isinstance(node, ast.Constant):
        assert isinstance(node.value, int | float)
        return float(node.value)
    assert isinstance(node, ast.BinOp)
    a, b = evaluate(node.left, used), evaluate(node.right, used)
    value = float(OPERATORS[type(node.op)](a, b))
    used[SIGNS[type(node.op)]] += 1
    return value


def draw(depth: int = 0) -> str:
    """An expression with numbers, the four signs and parentheses."""
    if depth > 3 or random.random() < 0.3:
        return random.choice([str(random.randint(1, 99)), f"{random.uniform(0.1, 9):.2f}"])
    text = f"{draw(depth + 1)}{random.choice('+-*/')}{draw(depth + 1)}"
    return f"({text})" if random.random() < 0.5 else text


def drawn(count: int) -> Iterator[tuple[str, float, Counter[str]]]:
    """So many expressions that have a value: text, value, and how often each sign is used."""
    while count:
        text, used = draw(), Counter[str]()
        try:
            value = evaluate(ast.parse(text, mode="eval").body, used)
        except ZeroDivisionError:
            continue
        count -= 1
        yield text, value, used
