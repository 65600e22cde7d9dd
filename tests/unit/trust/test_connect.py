"""CONNECT without I/O: every answer is a way, or an error with a code; none hangs, none shows the password."""

from __future__ import annotations

import itertools
import socket
import ssl
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.trust.connect import (
    MAX_HEAD,
    Handshake,
    ProxyAnswerError,
    ProxyAuthError,
    ProxyError,
    ProxyRefusedError,
)
from kubently.trust.proxies import Proxy

SECRET = "Basic YW5uOmh1bnRlcjI="
OPEN = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"


def handshake(*, authorization: str = SECRET) -> Handshake:
    return Handshake(Proxy("proxy", 3128, authorization=authorization), "api.example.com", 443)


def refused(answer: bytes, *, authorization: str = SECRET) -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        handshake(authorization=authorization).receive(answer)
    error = caught.value
    assert "http://proxy:3128" in error.message
    assert "api.example.com:443" in error.message or isinstance(error, ProxyAuthError)
    return error


def test_request_names_the_target_and_carries_the_credentials() -> None:
    lines = handshake().request.decode().split("\r\n")

    assert lines[:2] == ["CONNECT api.example.com:443 HTTP/1.1", "Host: api.example.com:443"]
    assert lines[2].startswith("User-Agent: kubently/")
    assert lines[3:] == [f"Proxy-Authorization: {SECRET}", "", ""]


def test_request_to_an_ipv6_address_has_brackets_and_no_credentials_where_there_are_none() -> None:
    request = Handshake(Proxy("proxy", 1), "2001:db8::1", 8443).request

    assert request.startswith(b"CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n")
    assert b"Proxy-Authorization" not in request


@pytest.mark.parametrize(
    "answer",
    [
        OPEN,
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 204 x\n\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OPEN,
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",  # RFC 9110: to be ignored
    ],
)
@given(cuts=st.lists(st.integers(0, 80), max_size=6))
def test_way_is_open_wherever_the_answer_is_split(answer: bytes, cuts: Sequence[int]) -> None:
    asked = handshake()
    edges = sorted({0, len(answer), *(cut for cut in cuts if cut < len(answer))})
    pieces = [answer[a:b] for a, b in itertools.pairwise(edges)]

    assert [asked.receive(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]


@pytest.mark.parametrize(
    ("status", "kind", "code", "words"),
    [
        (b"403 Filtered", ProxyRefusedError, "proxy-refused", "forbids api.example.com:443 (403 Filtered)"),
        (b"407 Auth", ProxyAuthError, "proxy-auth-required", "refuses the credentials it was given (407 Auth)"),
        (b"502 Bad", ProxyRefusedError, "proxy-refused", "could not reach api.example.com:443 (502 Bad)"),
        (b"504", ProxyRefusedError, "proxy-refused", "could not reach api.example.com:443 (504)"),
        (b"405 No", ProxyRefusedError, "proxy-refused", "opens no connection to api.example.com:443 (405 No)"),
        (b"302 Found", ProxyRefusedError, "proxy-refused", "opens no connection to"),
    ],
)
def test_refusals_have_their_codes(status: bytes, kind: type[ProxyError], code: str, words: str) -> None:
    error = refused(b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n<html>")

    assert type(error) is kind
    assert error.code == code
    assert words in error.message


def test_missing_credentials_are_asked_for() -> None:
    assert "wants credentials" in refused(b"HTTP/1.1 407 x\r\n\r\n", authorization="").message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "it is not HTTP"),
        (b"\x15\x03\x01\x00\x02", "it is not HTTP"),
        (b"HTTP/2 200\r\n\r\n", "it is not HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "it is not HTTP"),
        (b"HTTP/1.1 2000 x\r\n\r\n", "it is not HTTP"),
        (b"HTTP/1.1 099 x\r\n\r\n", "it is not HTTP"),
        (OPEN + b"x", "more follows it"),
        (b"HTTP/1.1 200 " + b"x" * MAX_HEAD, "over 16 KiB"),
        (b"HTTP/1.1 200 x\r\n" + b"a: b\r\n" * MAX_HEAD + b"\r\n", "over 16 KiB"),
    ],
)
def test_what_is_no_answer_is_said(answer: bytes, words: str) -> None:
    error = refused(answer)

    assert type(error) is ProxyAnswerError
    assert words in error.message


def test_reason_is_printable_and_short() -> None:
    error = refused(b"HTTP/1.1 403 \x1b[31mno\x07\xff" + b"y" * 500 + b"\r\n\r\n")

    assert error.message.isascii() or "\N{REPLACEMENT CHARACTER}" in error.message
    assert error.message.isprintable()
    assert "y" * 100 not in error.message


@given(st.lists(st.binary(max_size=400), max_size=120))
def test_garbage_is_an_error_or_waits_for_more_and_is_never_kept_beyond_the_bound(pieces: Sequence[bytes]) -> None:
    asked, taken = handshake(), 0
    for piece in pieces:
        taken += len(piece)
        try:
            if asked.receive(piece):
                return
        except ProxyError as error:
            assert "hunter2" not in f"{error} {error.hint} {error.details}"
            assert SECRET not in f"{error} {error.hint} {error.details}"
            return
        assert taken <= MAX_HEAD


@given(
    st.sampled_from([b"HTTP/1.1 200 x\r\n", b"HTTP/1.1 100 x\r\n\r\n", b"HTTP/1.1 403 "]),
    st.binary(min_size=1, max_size=50),
)
def test_endless_answer_ends_at_the_bound(begin: bytes, line: bytes) -> None:
    asked = handshake()
    with pytest.raises(ProxyError):
        if not asked.receive(begin):
            for _ in range(MAX_HEAD + 1):
                assert not asked.receive(line)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "nothing listens there"),
        (TimeoutError(), "did not answer in time"),
        (socket.gaierror(-2, "Name or service not known"), "its name is not found"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "it may be an http:// proxy"),
        (OSError(113, "No route to host"), "No route to host"),
    ],
)
def test_unreachable_proxy_is_named_and_not_the_api(error: OSError, words: str) -> None:
    found = handshake().unreachable(error)

    assert found.code == "proxy-unreachable"
    assert found.message.startswith("the proxy http://proxy:3128 cannot be reached: ")
    assert words in found.message
    assert "api.example.com" not in found.message
