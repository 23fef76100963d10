"""The metadata relay's HTTP: what is a request and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.network.live.relay import Head, MetadataResponse, Refused, body_length, read_head, written


def head(text: str) -> Head:
    return read_head(text.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n")


def test_a_request() -> None:
    found = head("GET /latest/meta-data/?a=b HTTP/1.1\nHost: 169.254.169.254\nX-Empty:\nAccept:  */*  ")
    assert (found.method, found.path, found.keep) == ("GET", "/latest/meta-data/?a=b", True)
    assert found.headers == {"host": "169.254.169.254", "x-empty": "", "accept": "*/*"}


def test_how_long_a_connection_lasts() -> None:
    assert not head("GET / HTTP/1.0").keep
    assert head("GET / HTTP/1.0\nConnection: keep-alive").keep
    assert not head("GET / HTTP/1.1\nConnection: Close").keep


REFUSED = {
    "GET / HTTP/2.0": 400,
    "GET  / HTTP/1.1": 400,
    "get / HTTP/1.1": 400,
    "GET x HTTP/1.1": 400,
    "GET http://x/ HTTP/1.1": 400,
    "GET / HTTP/1.1\nno colon": 400,
    "GET / HTTP/1.1\n folded": 400,
    "GET / HTTP/1.1\nSpace : x": 400,
    "GET / HTTP/1.1\nHost: a\nHost: b": 400,
    "GET / HTTP/1.1\nContent-Length: 1\nContent-Length: 1": 400,
    "GET / HTTP/1.1\nX: a\x01b": 400,
    "TRACE / HTTP/1.1": 405,
    "POST / HTTP/1.1\nTransfer-Encoding: chunked": 501,
}


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(Refused) as caught:
        head(text)
    assert caught.value.status == REFUSED[text]


@pytest.mark.parametrize(("length", "status"), [("-1", 400), ("1e3", 400), ("٣", 400), ("", 400), ("65537", 413)])
def test_refused_bodies(length: str, status: int) -> None:
    with pytest.raises(Refused) as caught:
        body_length(Head("POST", "/", {"content-length": length}, True))
    assert caught.value.status == status


@given(st.binary(max_size=200))
def test_rubbish_is_refused_and_nothing_else(data: bytes) -> None:
    try:
        read_head(data + b"\r\n\r\n")
    except Refused as refused:
        assert refused.status in (400, 405, 501)


def test_an_answer() -> None:
    answer = written(MetadataResponse(200, b"words", {"Content-Type": "application/json"}), keep=True, head_only=False)
    assert answer == b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nwords"
    answer = written(MetadataResponse(404, b"words"), keep=False, head_only=True)
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert answer.endswith(b"Content-Length: 5\r\nConnection: close\r\n\r\n")
