"""Header fields that may travel between a client and an apiserver.

Both directions go through allow-lists: what is not named here (credentials, cookies, impersonation, hop-by-hop fields,
tricks with message framing) does not travel. Header fields are pairs of bytes as an HTTP parser or ASGI gives them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kubently.errors import InvalidRequestError

Field = tuple[bytes, bytes]

PRINCIPAL = b"x-kubently-principal"
LIMITS = b"x-kubently-limits"
REQUEST_ID = b"x-request-id"
"""What the control plane tells an executor about the caller; without LIMITS there are none."""
CLUSTER_DATE = b"x-kubently-cluster-date"
"""In the API's answers to Kubernetes clients: the Date of the cluster's API server."""

_REQUEST = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"if-modified-since",
        b"if-none-match",
        b"kubectl-command",
        b"kubectl-session",
        b"traceparent",
        b"tracestate",
        b"user-agent",
    }
)
_BODY = frozenset({b"content-type"})
_RESPONSE = frozenset(
    {
        b"audit-id",
        b"cache-control",
        b"content-type",
        b"date",
        b"expires",
        b"retry-after",
        b"vary",
        b"warning",
    }
)
_OF_THE_EXACT_BODY = frozenset({b"content-encoding", b"content-length", b"etag", b"last-modified"})
_RESPONSE_PREFIX = b"x-kubernetes-pf-"

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]{0,16384}")
_ONCE = frozenset({b"content-length", b"content-type", b"host", b"transfer-encoding"})

_JSON = b"application/json"


def request_headers(headers: Iterable[Field], *, with_body: bool = False) -> list[Field]:
    """Return the fields of a client's request that go on to the apiserver, names in lower case.

    *with_body* is for the few requests that may carry one; it keeps Content-Type. Raises InvalidRequestError for
    fields that are malformed, for two statements about the body's length, and for a wish to change the protocol.
    """
    fields = [_checked(name, value) for name, value in headers]
    names = [name for name, _ in fields]
    _refuse_double_framing(names)
    _refuse_upgrade(fields)
    allowed = _REQUEST | _BODY if with_body else _REQUEST
    return [(name, value) for name, value in fields if name in allowed]


def response_headers(headers: Iterable[Field], *, body_changed: bool = False) -> list[Field]:
    """Return the fields of the apiserver's answer that go back to the client, names in lower case.

    With *body_changed* (redaction) those that describe the exact bytes (length, coding, validators) are left out as
    well. Malformed fields are left out.
    """
    return [(name, value) for name, value in _lower(headers) if _may_return(name, body_changed=body_changed)]


def inspectable_accept(headers: Iterable[Field]) -> list[Field]:
    """Narrow request fields so that the answer is JSON (plain or Table) without a content coding.

    Media ranges of other types are taken out of Accept; if none is left the answer is plain JSON. For requests whose
    answer is to be redacted (decided by the caller).
    """
    kept = [(name, value) for name, value in headers if name not in (b"accept", b"accept-encoding")]
    ranges = [item.strip() for name, value in headers if name == b"accept" for item in value.split(b",")]
    accepted = b",".join(item for item in ranges if _media_type(item) == _JSON)
    return [*kept, (b"accept", accepted or _JSON)]


def _media_type(media_range: bytes) -> bytes:
    return media_range.split(b";")[0].strip().lower()


def _checked(name: bytes, value: bytes) -> Field:
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(f"{name[:80]!r} is not a header name")
    if not _VALUE.fullmatch(value):
        raise InvalidRequestError(f"the header {name[:80].decode('ascii')} is too long or has control characters")
    return name.lower(), value


def _refuse_double_framing(names: list[bytes]) -> None:
    """RFC 9112 section 6.3: two statements about the length are how requests are smuggled."""
    if b"content-length" in names and b"transfer-encoding" in names:
        raise InvalidRequestError("Content-Length and Transfer-Encoding stand together")
    for name in _ONCE.intersection(names):
        if names.count(name) > 1:
            raise InvalidRequestError(f"the header {name.decode('ascii')} stands more than once")


def _refuse_upgrade(fields: list[Field]) -> None:
    for name, value in fields:
        tokens = {token.strip() for token in value.lower().split(b",")}
        if name in (b"upgrade", b"http2-settings") or (name == b"connection" and b"upgrade" in tokens):
            raise InvalidRequestError(
                "connections cannot be upgraded here",
                hint="exec, attach, cp and port-forward are not served; watches work over plain HTTP",
            )


def _lower(headers: Iterable[Field]) -> Iterator[Field]:
    for name, value in headers:
        if _NAME.fullmatch(name) and _VALUE.fullmatch(value):
            yield name.lower(), value


def _may_return(name: bytes, *, body_changed: bool) -> bool:
    if name in _OF_THE_EXACT_BODY:
        return not body_changed
    return name in _RESPONSE or name.startswith(_RESPONSE_PREFIX)
