"""What the five services share: HTTP by hand, over sockets, so that a small Python without its larger libraries is enough.

A service answers POST; the body of the question and of the answer is plain text. The body is taken as it comes: `curl -d` calls it
form-encoded, but a `+` in it is a plus sign, not a space.
"""

import contextlib
import socket
import sys
import threading

LARGEST = 65536  # bytes of a question
PATIENCE = 10  # seconds for a client to say it, or a service to answer
speaking = threading.Lock()


class Refused(Exception):
    """A question that cannot be answered; the text says why."""


class NotThere(Exception):
    """Another service is needed and does not answer; the text names it."""


def say(*lines):
    """Write lines on the console, together even when several clients are served at once."""
    with speaking:
        for line in lines:
            print(line)
        sys.stdout.flush()


def show(number):
    """A number as JavaScript prints it: 11 rather than 11.0."""
    if number == int(number) and abs(number) < 1e21:
        return str(int(number))
    return repr(number)


def operands(text):
    """The two numbers of `3 4`. Raises Refused."""
    try:
        a, b = (float(part) for part in text.split())
    except ValueError:
        raise Refused("expected two numbers with a space between them, as in: 3 4") from None
    return a, b


def receive(client):
    """The method and body of one request. Raises Refused."""
    head = b""
    while b"\r\n\r\n" not in head:
        more = client.recv(4096)
        if not more or len(head) > LARGEST:
            raise Refused("not an HTTP request")
        head += more
    head, _, body = head.partition(b"\r\n\r\n")
    first, *headers = head.decode("latin-1").split("\r\n")
    length = 0
    for header in headers:
        name, _, value = header.partition(":")
        if name.strip().lower() == "content-length" and value.strip().isdigit():
            length = int(value)
        if name.strip().lower() == "expect":
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if length > LARGEST:
        raise Refused("the question is too long")
    while len(body) < length:
        more = client.recv(4096)
        if not more:
            raise Refused("the question broke off")
        body += more
    return first.split(" ")[0], body[:length].decode("utf-8", "replace").strip()


def serve_one(client, answer):
    status = "200 OK"
    try:
        client.settimeout(PATIENCE)
        method, text = receive(client)
        if method != "POST":
            status, reply = "405 Method Not Allowed", "error = ask with POST, as in: curl -d 'question' -X POST http://..."
        else:
            reply = answer(text)
    except Refused as error:
        status, reply = "400 Bad Request", f"error = {error}"
    except NotThere as error:
        status, reply = "502 Bad Gateway", f"error = {error}"
    except OSError:
        client.close()
        return
    body = (reply + "\r\n").encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    with contextlib.suppress(OSError):
        client.sendall(head.encode() + body)
    client.close()


def serve(port, answer):
    """Answer each POST on this port with what `answer(text)` returns, for ever."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", port))
    listener.listen(64)
    say(f"Listening on port : {port}")
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve_one, args=(client, answer), daemon=True).start()


def operation(port, sign, compute):
    """A service of one operation: `a b` in, the result out, and what it did on the console."""

    def answer(text):
        a, b = operands(text)
        result = compute(a, b)
        say("New request :", "A = " + show(a), "B = " + show(b), f"A {sign} B = {show(result)}")
        return show(result)

    serve(port, answer)


def ask(name, address, port, text):
    """What another service answers. Raises NotThere with its name, or Refused with what it said."""
    try:
        with socket.create_connection((address, port), 2) as service:
            service.settimeout(PATIENCE)
            head = f"POST / HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
            service.sendall((head + text).encode())
            reply = b""
            while more := service.recv(4096):
                reply += more
    except OSError as error:
        raise NotThere(f"{name} does not answer at {address}:{port} ({error})") from None
    head, _, body = reply.partition(b"\r\n\r\n")
    said = body.decode("utf-8", "replace").strip()
    if head.split(b" ")[1:2] != [b"200"]:
        raise Refused("{} says: {}".format(name, said.replace("error = ", "")))
    return said
