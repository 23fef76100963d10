"""CalculatorService: reads an expression, brings it into postfix order, and has the four services do the arithmetic.

It can do no arithmetic itself. `services` is one line each: the sign, the service's name, its address and its port.
"""

import sys

from service import NotThere, Refused, ask, say, serve, show

PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "negate": 3}
SERVICES = {}


def tokens(text):
    """Numbers (as float) and signs (as text), each with its place. Raises Refused."""
    found, i = [], 0
    while i < len(text):
        if text[i].isspace():
            i += 1
        elif text[i] in "+-*/()":
            found.append((text[i], i + 1))
            i += 1
        elif text[i].isdigit() or text[i] == ".":
            start = i
            while i < len(text) and (text[i].isdigit() or text[i] == "."):
                i += 1
            try:
                found.append((float(text[start:i]), start + 1))
            except ValueError:
                raise Refused(f"'{text[start:i]}' at character {start + 1} is not a number") from None
        else:
            raise Refused(f"'{text[i]}' at character {i + 1} has no meaning here")
    if not found:
        raise Refused("nothing to compute; ask as in: curl -d '(5+6)' -X POST http://...")
    return found


def postfix(text):
    """The expression as a list of numbers and signs, each sign after its operands (the shunting-yard algorithm)."""
    out, waiting, operand_next = [], [], True
    for token, place in tokens(text):
        if isinstance(token, float):
            if not operand_next:
                raise Refused(f"a sign is missing before character {place}")
            out.append(token)
            operand_next = False
        elif token == "(":
            if not operand_next:
                raise Refused(f"a sign is missing before character {place}")
            waiting.append((token, place))
        elif token == ")":
            if operand_next:
                raise Refused(f"a number is missing before ')' at character {place}")
            while waiting and waiting[-1][0] != "(":
                out.append(waiting.pop()[0])
            if not waiting:
                raise Refused(f"')' at character {place} closes nothing")
            waiting.pop()
        elif operand_next:
            if token != "-":
                raise Refused(f"a number is missing before '{token}' at character {place}")
            waiting.append(("negate", place))
        else:
            while waiting and waiting[-1][0] != "(" and PRECEDENCE[waiting[-1][0]] >= PRECEDENCE[token]:
                out.append(waiting.pop()[0])
            waiting.append((token, place))
            operand_next = True
    if operand_next:
        raise Refused("the expression ends where a number is missing")
    while waiting:
        sign, place = waiting.pop()
        if sign == "(":
            raise Refused(f"'(' at character {place} is never closed")
        out.append(sign)
    return out


def compute(text):
    """The value of an expression, every operation of it by the service in charge."""
    stack = []
    for item in postfix(text):
        if isinstance(item, float):
            stack.append(item)
            continue
        b = stack.pop()
        sign, a = ("-", 0.0) if item == "negate" else (item, stack.pop())
        name, address, port = SERVICES[sign]
        said = ask(name, address, port, f"{show(a)} {show(b)}")
        try:
            stack.append(float(said))
        except ValueError:
            raise NotThere(f"{name} answered something that is no number") from None
    return stack[0]


def answer(text):
    try:
        result = show(compute(text))
    except (NotThere, Refused) as error:
        say("New request :", f"{text} : {error}")
        raise
    say("New request :", f"{text} = {result}")
    return "result = " + result


if __name__ == "__main__":
    with open(sys.argv[1]) as lines:
        for line in lines:
            sign, name, address, port = line.split()
            SERVICES[sign] = name, address, int(port)
    serve(80, answer)
