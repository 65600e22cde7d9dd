"""An independent reading of raw requests: what an API server would take one for, and why it must be refused.

The reading is that of Kubernetes' request attributes (kubernetes.io, "Determine the request verb" and "API URIs"), on
a decoded path, as Go's HTTP server hands it to the API server. The objections err on one side only: what has none is
a plain read.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Raw:
    """A request as it is on the wire."""

    method: str
    path: bytes
    query: bytes = b""
    headers: Fields = ()
    body: bytes = b""

    def __str__(self) -> str:
        target = self.path + (b"?" + self.query if self.query else b"")
        return f"{self.method} {target.decode('latin-1')} {list(self.headers)}"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an API server's authorizer is asked about."""

    verb: str
    path: str = ""
    """Only of what is not for a resource."""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


READ_PATHS = ("api", "apis", "version", "openapi", "healthz", "livez", "readyz")
READ_SUBRESOURCES = ("", "status", "scale")
SELF_REVIEWS = (
    "authentication.k8s.io/selfsubjectreviews",
    "authorization.k8s.io/selfsubjectaccessreviews",
    "authorization.k8s.io/selfsubjectrulesreviews",
)

_OF_ALL = {"pretty", "timeout"}
_OF_GET = _OF_ALL | {"resourceVersion", "includeObject"}
_OF_LIST = _OF_GET | {
    *("labelSelector", "fieldSelector", "limit", "continue", "resourceVersionMatch", "timeoutSeconds"),
    *("watch", "allowWatchBookmarks", "sendInitialEvents"),
}
_OF_LOGS = _OF_ALL | {
    *("container", "follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes"),
    "stream",
}
_OF_PATHS = _OF_ALL | {"hash", "verbose"}
_NUMBERS = {"limit", "timeoutSeconds", "sinceSeconds", "tailLines", "limitBytes"}

# ---------------------------------------------------------------------- reading


def attributes(request: Raw) -> Attributes:
    """Read *request* as an API server does, leniently."""
    verb = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(request.method, "get")
    decoded = unquote_to_bytes(request.path).decode("utf-8", "surrogateescape")
    trimmed = decoded.strip("/")
    parts = trimmed.split("/") if trimmed else []
    if len(parts) < 3 or parts[0] not in ("api", "apis") or (parts[0] == "apis" and len(parts) < 4):
        return Attributes(verb, path="/" + trimmed)
    group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
    if rest[0] in ("watch", "proxy"):
        verb, rest = rest[0], rest[1:] or [""]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in ("status", "finalize"):
            rest = rest[2:]
    resource, name, subresource = [*rest, "", ""][:3]
    if not name and verb == "get":
        verb, name = _of_collection(request.query)
    if not name and verb == "delete":
        verb = "deletecollection"
    return Attributes(verb, "", group, version, resource, subresource, namespace, name)


def _of_collection(query: bytes) -> tuple[str, str]:
    values = parameters(query)
    verb = "list"
    if "watch" in values and values["watch"][0].lower() not in ("false", "0"):
        verb = "watch"
    return verb, _exact_name(values.get("fieldSelector", [""])[0])


def _exact_name(selector: str) -> str:
    """The name that a field selector asks for, where it asks for one that could stand in a path."""
    for term in re.split(r"(?<!\\),", selector):
        field, equals, value = re.sub(r"==", "=", term, count=1).partition("=")
        if equals and field == "metadata.name":
            name = re.sub(r"\\([\\,=])", r"\1", value)
            return "" if name in (".", "..") or "/" in name or "%" in name else name
    return ""


def parameters(query: bytes) -> dict[str, list[str]]:
    """The parameters of a query, as Go's net/url reads them: pairs with a semicolon or a wrong escape are lost."""
    found: dict[str, list[str]] = {}
    for pair in query.split(b"&"):
        if pair and b";" not in pair and not re.search(rb"%(?![0-9A-Fa-f]{2})", pair):
            key, _, value = (unquote_to_bytes(part.replace(b"+", b" ")) for part in pair.partition(b"="))
            found.setdefault(key.decode("utf-8", "replace"), []).append(value.decode("utf-8", "replace"))
    return found


# ---------------------------------------------------------------------- objections


def objections(request: Raw) -> list[str]:
    """Why *request* must be refused; empty for a read that may go on."""
    return [*_of_spelling(request), *_of_attributes(request), *_of_query(request), *_of_headers(request.headers)]


def _of_spelling(request: Raw) -> Iterator[str]:
    """A path that could be read in two ways has no right one."""
    raw = request.path.removesuffix(b"/")
    if not request.path.startswith(b"/"):
        yield "the target is no path"
    if re.search(rb"[^\x21-\x7e]|[\\;?#\"<>^`{|}\[\]]|%(?![0-9A-Fa-f]{2})", raw):
        yield "the path has bytes that no path has"
    once = unquote_to_bytes(raw)
    if [unquote_to_bytes(part) for part in raw.split(b"/")] != once.split(b"/"):
        yield "a separator is encoded"
    if unquote_to_bytes(once) != once or b"%" in once:
        yield "it is encoded twice"
    if any(posixpath.normpath(path or b"/") != (path or b"/") or path.startswith(b"//") for path in (raw, once)):
        yield "it has empty or dot segments"
    if re.search(rb"[\x00-\x1f\x7f\\;?#]", once):
        yield "it hides bytes that no path has"
    if len(request.path) > 4096:
        yield "it is too long"
    if b"\xff" in once or "�" in once.decode("utf-8", "replace"):
        yield "it is not UTF-8"


def _of_attributes(request: Raw) -> Iterator[str]:
    seen = attributes(request)
    if request.method not in ("GET", "POST"):
        yield f"{request.method} is no read"
    if seen.path:
        first = seen.path.split("/")[1]
        if first not in READ_PATHS or seen.verb != "get":
            yield f"{seen.verb} {seen.path} is none of the paths that may be read"
        return
    what = f"{seen.group}/{seen.resource}"
    if seen.verb == "create":
        if what not in SELF_REVIEWS or seen.namespace or seen.name or seen.subresource:
            yield f"{what} may not be created"
        return
    if seen.verb not in ("get", "list", "watch"):
        yield f"{seen.verb} is no read"
    if any(_looks_like(seen_part, "secret") for seen_part in (seen.resource, seen.namespace.partition("/")[2])):
        yield "it reads Secrets"
    is_log = (seen.group, seen.resource, seen.subresource) == ("", "pods", "log")
    if seen.subresource not in READ_SUBRESOURCES and not is_log:
        yield f"the subresource {seen.subresource} may not be read"
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", seen.resource):
        yield f"{seen.resource!r} is no resource"


def _looks_like(text: str, word: str) -> bool:
    return unicodedata.normalize("NFKC", text).casefold().startswith(word)


def _of_query(request: Raw) -> Iterator[str]:
    if re.search(rb"[^\x21-\x7e]|[;#]|%(?![0-9A-Fa-f]{2})", request.query):
        yield "the query has bytes that no query has"
    seen = attributes(request)
    known = _known_parameters(seen)
    for key, values in parameters(request.query).items():
        if key not in known:
            yield f"the parameter {key!r} is not one of reads"
        if len(set(values)) > 1 and not _mean_the_same(values):
            yield f"the parameter {key!r} says two things"
        if any(not value.isprintable() for value in values):
            yield f"the parameter {key!r} has control characters"
        if key in _NUMBERS and not all(map(_is_number, values)):
            yield f"the parameter {key!r} is no number, so the API server forgets the name that is asked for"


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII)) and abs(int(text) * 2 + 1) <= 2**64 - 1


def _mean_the_same(values: Iterable[str]) -> bool:
    return {value.lower() for value in values} in ({"true", "1"}, {"false", "0"}, {"true"}, {"false"})


def _known_parameters(seen: Attributes) -> set[str]:
    if seen.path:
        return _OF_PATHS
    if seen.verb == "create":
        return _OF_ALL
    if seen.subresource == "log":
        return _OF_LOGS
    return _OF_GET if seen.verb == "get" else _OF_LIST


def _of_headers(headers: Fields) -> Iterator[str]:
    names = [name.lower() for name, _ in headers]
    for name, value in headers:
        if not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            yield f"{name!r} is no header name"
        if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
            yield f"{name!r} has control characters"
        if name.lower() in (b"upgrade", b"http2-settings"):
            yield "it wants another protocol"
        if name.lower() == b"connection" and b"upgrade" in value.lower():
            yield "it wants another protocol"
    if b"content-length" in names and b"transfer-encoding" in names:
        yield "it states two lengths"
    for once in (b"content-length", b"transfer-encoding", b"host", b"content-type"):
        if names.count(once) > 1:
            yield f"{once!r} stands twice"


# ---------------------------------------------------------------------- what is sent

_NEVER_SENT = re.compile(
    rb"authorization|cookie.*|impersonate-.*|x-remote-.*|x-forwarded-.*|forwarded|x-kubently-.*|connection|keep-alive"
    rb"|upgrade|http2-settings|te|trailer|transfer-encoding|content-length|host|expect|proxy-.*|sec-.*|origin|x-real-ip"
)


def objections_to_sent(request: Raw) -> list[str]:
    """Why *request* must not reach an API server in this form: besides `objections`, headers that say who asks."""
    found = objections(request)
    found += [f"{name!r} is sent" for name, _ in request.headers if _NEVER_SENT.fullmatch(name.lower())]
    if request.body and request.method != "POST":
        found.append("a read has a body")
    if request.method == "GET" and any(name == b"content-type" for name, _ in request.headers):
        found.append("a read says what its body is")
    return found
