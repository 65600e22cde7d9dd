"""Kubernetes API requests: the request line read into a description, and a description written as a request line.

`parse` follows the rules by which the apiserver itself describes a request to its authorizers (k8s.io/apiserver,
pkg/endpoints/request/requestinfo.go), with one difference: where the apiserver is lenient it refuses. `build` writes
the request line anew from the description, so what was decided is what is sent, and whatever the description does not
hold (odd spellings, parameters nobody listed) does not travel. Headers go through the allow-lists of `headers`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NoReturn
from urllib.parse import quote

from kubently.errors import InvalidRequestError
from kubently.kube import _parameters
from kubently.kube._parameters import Parameters

Verb = Literal["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
READ_VERBS: frozenset[Verb] = frozenset({"get", "list", "watch"})

SELF_REVIEWS = frozenset(
    {
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authentication.k8s.io", "selfsubjectreviews"),
    }
)
"""Group and resource of the questions about the caller that are asked by creating an object; nothing is stored."""

MAX_PATH_BYTES = 4096
MAX_QUERY_BYTES = 32 * 1024
"""Label selectors of clients with many names are long; etcd's and the apiserver's own limits are beyond this."""

_VERBS: Mapping[str, Verb] = {
    "GET": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_METHODS: Mapping[Verb, str] = {
    **{verb: method for method, verb in _VERBS.items()},
    "list": "GET",
    "watch": "GET",
    "deletecollection": "DELETE",
}


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request as Kubernetes' authorizers see it.

    A request for a resource has group, version, resource and what else applies; any other has only a verb and a path.
    """

    verb: Verb
    is_resource_request: bool
    path: str = ""
    """Decoded path without a trailing slash; only for what is not a resource request."""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    tail: tuple[str, ...] = ()
    """What follows the proxy subresource; always denied, kept so that the refusal can name the request."""
    namespace: str = ""
    """Empty: cluster-scoped, or across all namespaces. For a Namespace object: its own name."""
    name: str = ""
    """From the path, or for list and watch from a field selector metadata.name=."""
    query: tuple[tuple[str, str], ...] = ()
    """Decoded parameters in canonical spelling, sorted; empty where the request is of a sort that is never sent."""

    @property
    def method(self) -> str:
        """The HTTP method of the verb."""
        return _METHODS[self.verb]

    @property
    def label_selector(self) -> str:
        """The labelSelector parameter, or empty."""
        return self._parameter("labelSelector")

    @property
    def field_selector(self) -> str:
        """The fieldSelector parameter, or empty."""
        return self._parameter("fieldSelector")

    @property
    def is_watch(self) -> bool:
        """Whether the answer is a stream of watch events."""
        return self.verb == "watch"

    @property
    def is_stream(self) -> bool:
        """Whether the answer goes on until someone ends it: a watch, or a log that is followed."""
        return self.is_watch or self._parameter("follow") == "true"

    @property
    def is_log(self) -> bool:
        """Whether this reads a container's log: text, not objects."""
        return (self.group, self.resource, self.subresource) == ("", "pods", "log")

    @property
    def qualified_resource(self) -> str:
        """The resource with its group and subresource: "pods", "pods/log", "deployments.apps/scale"."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{resource}/{self.subresource}" if self.subresource else resource

    def _parameter(self, key: str) -> str:
        return dict(self.query).get(key, "")

    def __str__(self) -> str:
        if not self.is_resource_request:
            return f"{self.verb} {self.path}"
        where = f" in namespace {self.namespace}" if self.namespace and self.resource != "namespaces" else ""
        return f"{self.verb} {self.qualified_resource}{' ' if self.name else ''}{self.name}{where}"


def parse(method: str, raw_path: bytes | str, raw_query: bytes | str = b"") -> ApiRequest:
    """Describe a request from its method, the raw (still encoded) path and the raw query without its question mark.

    Raises InvalidRequestError for everything that is not spelt plainly: other methods, encoded or doubled separators,
    dot segments, control characters, text that is not UTF-8, unknown, repeated or unreadable parameters.
    """
    verb = _VERBS.get(method)
    if verb is None:
        _refuse(f"the method {method[:20]!r} is not used by the Kubernetes API that is served here")
    segments = _segments(_raw(raw_path, MAX_PATH_BYTES, "path"))
    if not _is_resource_path(segments):
        return _parse_non_resource(verb, segments, raw_query)
    return _parse_resource(verb, segments, raw_query)


def build(request: ApiRequest) -> tuple[bytes, bytes]:
    """Write the path and the query (without its question mark) of a request; the counterpart of `parse`."""
    segments = _resource_segments(request) if request.is_resource_request else request.path.split("/")[1:]
    path = "".join(f"/{quote(segment, safe=_SAFE_IN_PATH)}" for segment in segments)
    query = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in request.query)
    return (path or "/").encode("ascii"), query.encode("ascii")


def _refuse(message: str, hint: str = "") -> NoReturn:
    raise InvalidRequestError(message, hint=hint)


# ---- path

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SAFE_IN_PATH = "-._~:@!$&'()*+,="
_SEGMENT = re.compile(rb"(?:[A-Za-z0-9\-._~:@!$&'()*+,=]|%[0-9A-Fa-f]{2})+")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_NEVER_IN_A_SEGMENT = frozenset("/\\%?#;")

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_MAX_NAME = 253

_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_LEGACY_PREFIXES = frozenset({"watch", "proxy"})


def _raw(value: bytes | str, limit: int, what: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    if len(raw) > limit:
        _refuse(f"the {what} is longer than {limit} bytes")
    return raw


def _segments(raw: bytes) -> tuple[str, ...]:
    if not raw.startswith(b"/"):
        _refuse("the path does not begin with a slash")
    trimmed = raw.removesuffix(b"/")
    return tuple(map(_segment, trimmed[1:].split(b"/"))) if trimmed else ()


def _segment(raw: bytes) -> str:
    if raw in (b"", b".", b".."):
        _refuse("the path has an empty or a dot segment")
    if not _SEGMENT.fullmatch(raw):
        _refuse(f"the path segment {raw[:80]!r} has characters that must not stand in a path")
    if any(int(code, 16) in _UNRESERVED for code in _ESCAPE.findall(raw)):
        _refuse(f"the path segment {raw[:80]!r} encodes letters, digits or dots", "write them plainly")
    segment = _unescape(raw)
    if not segment.isprintable() or _NEVER_IN_A_SEGMENT.intersection(segment):
        _refuse(f"the path segment {raw[:80]!r} hides a separator or a control character")
    return segment


def _unescape(raw: bytes) -> str:
    """Decode percent escapes, whose form the caller has checked."""
    decoded = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), raw)
    try:
        return decoded.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{raw[:80]!r} is not UTF-8") from error


def _is_resource_path(segments: tuple[str, ...]) -> bool:
    """/api/v1/RESOURCE and /apis/GROUP/VERSION/RESOURCE; anything shorter is discovery."""
    return (segments[:1] == ("api",) and len(segments) >= 3) or (segments[:1] == ("apis",) and len(segments) >= 4)


def _parse_non_resource(verb: Verb, segments: tuple[str, ...], raw_query: bytes | str) -> ApiRequest:
    request = ApiRequest(verb=verb, is_resource_request=False, path="/" + "/".join(segments))
    return _with_query(request, raw_query)


def _parse_resource(verb: Verb, segments: tuple[str, ...], raw_query: bytes | str) -> ApiRequest:
    group, version, parts = _split_prefix(segments)
    if parts[0] in _LEGACY_PREFIXES:
        _refuse(f"the legacy prefix {parts[0]!r} is not served", "use ?watch=true, or the resource's own path")
    namespace, parts = _split_namespace(parts)
    resource, name, subresource, *tail = (*parts, *[""] * (3 - len(parts)))
    _check_parts(resource, name, subresource, tail)
    if resource == "namespaces" and namespace != name:
        _refuse("namespaces do not live in a namespace")
    request = ApiRequest(
        verb=_nameless_verb(verb, name),
        is_resource_request=True,
        group=group,
        version=version,
        resource=resource,
        subresource=subresource,
        tail=tuple(tail),
        namespace=namespace,
        name=name,
    )
    return _with_query(request, raw_query)


def _split_prefix(segments: tuple[str, ...]) -> tuple[str, str, tuple[str, ...]]:
    """Return group, version and the rest of a resource path."""
    if segments[0] == "api":
        group, version, parts = "", segments[1], segments[2:]
    else:
        group, version, parts = segments[1], segments[2], segments[3:]
        _check(_SUBDOMAIN, group, "API group")
    _check(_LABEL, version, "API version")
    return group, version, parts


def _split_namespace(parts: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the namespace and the parts from the resource on; a Namespace object is in the namespace of its name."""
    if parts[0] != "namespaces" or len(parts) == 1:
        return "", parts
    _check(_LABEL, parts[1], "namespace")
    if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
        return parts[1], parts[2:]
    return parts[1], parts


def _check_parts(resource: str, name: str, subresource: str, tail: list[str]) -> None:
    _check(_LABEL, resource, "resource")
    if len(name) > _MAX_NAME:
        _refuse(f"the name is longer than {_MAX_NAME} characters")
    if subresource:
        _check(_LABEL, subresource, "subresource")
    if tail and subresource != "proxy":
        _refuse(f"the path goes on after {resource}/{subresource}")


def _check(pattern: re.Pattern[str], text: str, what: str) -> None:
    if not pattern.fullmatch(text):
        _refuse(f"{text[:80]!r} cannot be an {what}" if what[0] in "aA" else f"{text[:80]!r} cannot be a {what}")


def _nameless_verb(verb: Verb, name: str) -> Verb:
    """Say what GET and DELETE mean: without a name they are about the collection."""
    if not name and verb == "get":
        return "list"
    if not name and verb == "delete":
        return "deletecollection"
    return verb


def _resource_segments(request: ApiRequest) -> list[str]:
    segments = ["apis", request.group, request.version] if request.group else ["api", request.version]
    if request.namespace and request.resource != "namespaces":
        segments += ["namespaces", request.namespace]
    segments.append(request.resource)
    if request.name and request.verb not in ("list", "watch"):
        segments.append(request.name)
    if request.subresource:
        segments.append(request.subresource)
    return [*segments, *request.tail]


# ---- query


def _allowed(request: ApiRequest) -> Parameters | None:
    """Return the parameters that a request may carry, or None for the sorts that no policy lets through.

    The parameters of those are not read at all, so that they get the policy's sentence and not one about spelling
    (exec repeats its command parameter, apply sends a field manager).
    """
    if not request.is_resource_request:
        return _non_resource_parameters(request)
    if request.verb == "create":
        return _parameters.COMMON if (request.group, request.resource) in SELF_REVIEWS else None
    if request.verb not in READ_VERBS:
        return None
    if request.is_log:
        return _parameters.LOG
    if request.verb == "get":
        return _parameters.GET if request.subresource in ("", "status", "scale") else None
    return _parameters.LIST


def _non_resource_parameters(request: ApiRequest) -> Parameters | None:
    if request.verb != "get":
        return None
    match request.path.split("/")[1]:
        case "healthz" | "livez" | "readyz":
            return _parameters.HEALTH
        case "" | "api" | "apis" | "openapi" | "version":
            return _parameters.DISCOVERY
        case _:
            return None


def _with_query(request: ApiRequest, raw_query: bytes | str) -> ApiRequest:
    parameters = _allowed(request)
    if parameters is None:
        return request
    query = _parse_query(_raw(raw_query, MAX_QUERY_BYTES, "query"), request, parameters)
    verb, name = request.verb, request.name
    if verb == "list":
        verb = "watch" if query.get("watch") == "true" else "list"
        name = _name_selected(query.get("fieldSelector", ""))
    return replace(request, verb=verb, name=name, query=tuple(sorted(query.items())))


def _parse_query(raw: bytes, request: ApiRequest, parameters: Parameters) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in raw.split(b"&") if raw else ():
        key, value = _parse_pair(pair)
        check = parameters.get(key)
        if check is None:
            _refuse(f"the query parameter {key[:80]!r} is not allowed for {request}")
        try:
            value = check(value)
        except ValueError as error:
            _refuse(f"the query parameter {key!r} {error}")
        if found.setdefault(key, value) != value:
            _refuse(f"the query parameter {key!r} stands twice with different values")
    return found


_QUERY_PART = re.compile(rb"(?:[!$'()*+,\-./0-9:<=>?@A-Z\[\]\\^_`a-z{|}~\"]|%[0-9A-Fa-f]{2})*")


def _parse_pair(pair: bytes) -> tuple[str, str]:
    if not pair or not _QUERY_PART.fullmatch(pair):
        _refuse(f"the query parameter {pair[:80]!r} is not spelt as a URL allows")
    key, _, value = pair.replace(b"+", b" ").partition(b"=")
    return _unescape(key), _unescape(value)


# ---- field selectors (k8s.io/apimachinery/pkg/fields)

_TERM = re.compile(r"((?:[^\\,=!]|\\.)*+)(==|!=|=)((?:[^\\,=]|\\[\\,=])*+)")


def _name_selected(field_selector: str) -> str:
    """Return the one name that a field selector admits, or an empty string if it does not fix one."""
    names: set[str] = set()
    for term in _terms(field_selector):
        match = _TERM.fullmatch(term)
        if match is None:
            # The API server's own words.
            _refuse(f"invalid selector: {field_selector[:200]!r}; can't understand {term[:80]!r}")
        field, operator, value = match.groups()
        if field == "metadata.name" and operator != "!=":
            names.add(re.sub(r"\\(.)", r"\1", value))
    if len(names) > 1:
        _refuse("the field selector asks for more than one metadata.name")
    return _segment_name(names.pop()) if names else ""


_TERM_END = re.compile(r"(?:[^\\,]|\\.)*+")


def _terms(field_selector: str) -> list[str]:
    """Split at commas that no backslash precedes; empty terms are left out, as the apiserver does."""
    terms, position = [], 0
    while position < len(field_selector):
        match = _TERM_END.match(field_selector, position)
        end = match.end() if match else position
        terms.append(field_selector[position:end])
        if field_selector[end : end + 1] not in ("", ","):
            _refuse("the field selector ends in a backslash")
        position = end + 1
    return [term for term in terms if term]


def _segment_name(name: str) -> str:
    """Return *name* if it could be a name in a path (k8s.io/apimachinery/pkg/api/validation/path), else nothing."""
    is_possible = name not in (".", "..") and not {"/", "%"}.intersection(name) and len(name) <= _MAX_NAME
    return name if is_possible else ""
