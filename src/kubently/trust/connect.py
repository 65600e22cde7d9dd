"""CONNECT (RFC 9110 section 9.3.6) without I/O: what is sent to a proxy, and what its answer means.

It is used for http:// URLs as well. Go and curl would send those in absolute form, for the proxy to read, store and
answer; a tunnel and an endless answer need a pipe, and through a pipe the token is not seen.

A proxy is hostile until it answered: its head is bounded, and nothing may come before we have spoken through it.
"""

from __future__ import annotations

import re
import socket
import ssl

from kubently import __version__
from kubently.errors import KubentlyError
from kubently.trust.proxies import Proxy, authority

MAX_HEAD = 16 * 1024
"""Bytes of the answer's head, 1xx answers included."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
_END = re.compile(rb"\r?\n\r?\n")
_MAX_REASON = 80


class ProxyError(KubentlyError):
    """Base of failures of the HTTP proxy on the way to the API."""

    code = "proxy"


class ProxyUnreachableError(ProxyError):
    """The HTTP proxy itself cannot be reached, or its certificate is not trusted."""

    code = "proxy-unreachable"
    retryable = True


class ProxyRefusedError(ProxyError):
    """The HTTP proxy answered, and opens no connection to the API: it forbids that, or it cannot."""

    code = "proxy-refused"


class ProxyAuthError(ProxyError):
    """The HTTP proxy wants credentials, or others than it was given."""

    code = "proxy-auth-required"


class ProxyAnswerError(ProxyError):
    """What the HTTP proxy answered to CONNECT is no answer: garbage, too long, cut off, or none in time."""

    code = "proxy-answer-invalid"


class Handshake:
    """One CONNECT to host:port: send `request`, `receive` what comes until it says that the way is open."""

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        self.proxy = proxy
        self.target = authority(host, port)
        self._buffer = bytearray()
        self._searched = 0
        """How much of it was searched for the head's end: a byte at a time must not cost its square."""
        self._received = 0

    @property
    def request(self) -> bytes:
        """The bytes to send."""
        lines = [
            f"CONNECT {self.target} HTTP/1.1",
            f"Host: {self.target}",
            f"User-Agent: kubently/{__version__}",
        ]
        if self.proxy.authorization:
            lines.append(f"Proxy-Authorization: {self.proxy.authorization}")
        return "\r\n".join([*lines, "", ""]).encode()

    def receive(self, data: bytes) -> bool:
        """Take what came and say whether the way is open. Raises ProxyError."""
        self._buffer += data
        self._received += len(data)
        while (end := _END.search(self._buffer, self._searched)) is not None:
            if end.end() > MAX_HEAD:
                break
            head = bytes(self._buffer[: end.end()])
            del self._buffer[: end.end()]
            self._searched = 0
            if self._judge(head):
                return True
        self._searched = max(0, len(self._buffer) - 3)
        if self._received > MAX_HEAD:
            raise self._invalid(f"its head is over {MAX_HEAD // 1024} KiB")
        if not b"HTTP/1.".startswith(self._buffer[:7]):
            raise self._invalid("it is not HTTP")
        return False

    def cut(self) -> ProxyAnswerError:
        """The error of a proxy that closed before it had answered."""
        return self._invalid("it closed the connection")

    def late(self) -> ProxyAnswerError:
        """The error of a proxy that did not answer in time."""
        return self._invalid("nothing came in time")

    def unreachable(self, error: OSError) -> ProxyUnreachableError:
        """The error of a proxy to which no connection was made because of *error*."""
        return ProxyUnreachableError(
            f"the proxy {self.proxy} cannot be reached: {_cause(error)}",
            hint="check HTTPS_PROXY, or let NO_PROXY name the API's host",
            details={"proxy": str(self.proxy)},
        )

    def early(self) -> ProxyAnswerError:
        """The error of a proxy that sends before we have spoken through it."""
        return self._invalid("more follows it")

    def _judge(self, head: bytes) -> bool:
        found = _STATUS.match(head)
        if found is None:
            raise self._invalid("it is not HTTP")
        status = int(found[1])
        if status < 200:
            return False
        if status >= 300:
            raise self._refusal(status, _printable(found[2] or b""))
        if self._buffer:
            raise self.early()
        return True

    def _refusal(self, status: int, reason: str) -> ProxyError:
        details = {"proxy": str(self.proxy), "target": self.target, "status": status}
        said = f"{status} {reason}".rstrip()
        if status == 407:
            what = "refuses the credentials it was given" if self.proxy.authorization else "wants credentials"
            return ProxyAuthError(
                f"the proxy {self.proxy} {what} ({said})",
                hint="put user and password into the proxy's URL, percent-encoded; only Basic is supported",
                details=details,
            )
        if status == 403:
            return ProxyRefusedError(
                f"the proxy {self.proxy} forbids {self.target} ({said})",
                hint=f"let the proxy allow CONNECT to {self.target}, or let NO_PROXY name the API's host",
                details=details,
            )
        what = "could not reach" if status in (502, 503, 504) else "opens no connection to"
        return ProxyRefusedError(
            f"the proxy {self.proxy} {what} {self.target} ({said})",
            hint="check the API's host and port as the proxy sees them, and that it allows CONNECT",
            details=details,
        )

    def _invalid(self, what: str) -> ProxyAnswerError:
        return ProxyAnswerError(
            f"the answer of the proxy {self.proxy} to CONNECT {self.target} is invalid: {what}",
            hint="check that HTTPS_PROXY names an HTTP proxy, by its right scheme and port",
            details={"proxy": str(self.proxy), "target": self.target},
        )


def _cause(error: OSError) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate was refused ({error.verify_message})"
        case ssl.SSLError():
            reason = getattr(error, "reason", "") or error
            return f"the TLS handshake failed ({reason}); it may be an http:// proxy"
        case socket.gaierror():
            return "its name is not found"
        case TimeoutError():
            return "it did not answer in time"
        case ConnectionRefusedError():
            return "nothing listens there"
        case _:
            return error.strerror or str(error) or type(error).__name__


def _printable(reason: bytes) -> str:
    return "".join(c for c in reason[:_MAX_REASON].decode("ascii", "replace") if c.isprintable())
