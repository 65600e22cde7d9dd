"""A second handshake after one that failed, verified by nobody, to see what the other end shows.

Nothing is ever sent over it but the handshake itself, and no client certificate. It runs over memory buffers, so that
the first bytes of what is no TLS can be read as well.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kubently.trust.connect import ProxyError

_MAX_BYTES = 256 * 1024
_MAX_CHAIN = 10
_HANDSHAKE, _CERTIFICATE_REQUEST = 22, 13


@dataclass(frozen=True, slots=True)
class Probe:
    """What came back."""

    chain: tuple[bytes, ...] = ()
    """DER, leaf first."""
    first: bytes = b""
    """The first bytes."""
    wants_client: bool = False
    finished: bool = False
    """The handshake came to its end."""


def probe(dial: Callable[[], socket.socket], server_name: str | None, *, timeout: float, listen: bool = False) -> Probe:
    """Shake hands with what *dial* connects to, within *timeout* seconds. A failure is a result: it raises nothing.

    With *listen* the handshake is finished and an alert waited for, a second at most: a server of TLS 1.3 says only
    then that it wants a client certificate. Otherwise the last flight is not sent.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # weak keys are to be seen, not refused
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    seen, finished = bytearray(), False
    with contextlib.suppress(OSError, ValueError, ProxyError):  # ValueError: a host that is no name
        tls = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
        with dial() as connection:
            finished = _shake(tls, incoming, outgoing, connection, seen, deadline=time.monotonic() + timeout)
            refused = finished and listen and _hears_refusal(tls, incoming, outgoing, connection)
        return Probe(_chain(tls), bytes(seen[:16]), refused or _wants_client(bytes(seen)), finished)
    return Probe()


def _shake(
    tls: ssl.SSLObject,
    incoming: ssl.MemoryBIO,
    outgoing: ssl.MemoryBIO,
    connection: socket.socket,
    seen: bytearray,
    *,
    deadline: float,
) -> bool:
    """Whether the handshake came to its end; what was received is added to *seen*."""
    with contextlib.suppress(OSError):
        while len(seen) < _MAX_BYTES and (left := deadline - time.monotonic()) > 0:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                connection.settimeout(left)
                connection.sendall(outgoing.read())
                data = connection.recv(16 * 1024)
                if not data:
                    return False
                seen += data
                incoming.write(data)
            else:
                return True  # our last flight stays here: to the server it is a handshake that was given up
    return False


def _hears_refusal(
    tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, connection: socket.socket
) -> bool:
    """Whether the server ends the connection because no client certificate came."""
    try:
        connection.sendall(outgoing.read())
        connection.settimeout(1.0)
        for _ in range(8):  # session tickets come first
            data = connection.recv(16 * 1024)
            if not data:
                return False
            incoming.write(data)
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.read(1)
                return False
    except ssl.SSLError as error:
        return "CERTIFICATE_REQUIRED" in str(error)
    except OSError:  # silence: it waits for a request
        return False
    return False


def _chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """All that was presented. Python has a public way to see more than the leaf from 3.13 on."""
    with contextlib.suppress(ValueError):
        if hasattr(tls, "get_unverified_chain"):
            return tuple(tls.get_unverified_chain()[:_MAX_CHAIN])
        inner = getattr(tls, "_sslobj", None)
        if inner is not None and hasattr(inner, "get_unverified_chain"):
            found = inner.get_unverified_chain() or ()
            return tuple(ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in found[:_MAX_CHAIN])
        leaf = tls.getpeercert(binary_form=True)
        return (leaf,) if leaf else ()
    return ()


def _wants_client(data: bytes) -> bool:
    """Whether there is a CertificateRequest among the handshake messages in clear (RFC 5246 sections 6.2.1 and 7.4)."""
    return any(kind == _CERTIFICATE_REQUEST for kind in _messages(b"".join(_fragments(data))))


def _fragments(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + 5 <= len(data) and data[at] == _HANDSHAKE:
        length = int.from_bytes(data[at + 3 : at + 5])
        yield data[at + 5 : at + 5 + length]
        at += 5 + length


def _messages(data: bytes) -> Iterator[int]:
    at = 0
    while at + 4 <= len(data):
        yield data[at]
        at += 4 + int.from_bytes(data[at + 1 : at + 4])
