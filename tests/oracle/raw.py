"""Raw requests from a seed: plain ones, and ones with every trick that a path, a query or a header can be given.

Each comes from a stratum. In a plain stratum nothing is spelt oddly, so that there must be no other refusals than those
of the oracle; in the others Kubently may refuse more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.oracle.requests import Fields, Raw

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "QUERY")
SUBRESOURCES = (
    *("status", "scale", "log", "exec", "attach", "portforward", "proxy", "token", "ephemeralcontainers", "binding"),
    *("eviction", "resize", "finalize", "approval", "console"),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of objects."""

    prefix: str
    plural: str
    names: Sequence[str]
    namespace: str = "shop"
    """Empty for those without one."""
    subresources: Sequence[str] = ("status",)


KINDS = (
    Kind("/api/v1", "pods", ("queue-0", "broken", "nowhere"), subresources=("log", "log", "status")),
    Kind("/api/v1", "configmaps", ("settings", "proxy", "watch"), subresources=("",)),
    Kind("/api/v1", "services", ("web", "exec")),
    Kind("/api/v1", "events", ("x.1",), subresources=("",)),
    Kind("/api/v1", "serviceaccounts", ("robot", "default"), subresources=("token", "")),
    Kind("/api/v1", "secrets", ("db", "sh.helm.release.v1.web.v1")),
    Kind("/api/v1", "nodes", ("alpha-0",), ""),
    Kind("/api/v1", "namespaces", ("shop", "default"), ""),
    Kind("/apis/apps/v1", "deployments", ("web", "api"), subresources=("status", "scale")),
    Kind("/apis/apps/v1", "replicasets", ("none",), subresources=("status", "scale")),
    Kind("/apis/batch/v1", "jobs", ("report",)),
    Kind("/apis/rbac.authorization.k8s.io/v1", "clusterroles", ("system:node", "everything-reader"), "", ("",)),
    Kind("/apis/coordination.k8s.io/v1", "leases", ("x",), "watch"),
    Kind("/apis/example.com/v1", "widgets", ("left",)),
)

REVIEWS: Mapping[str, Mapping[str, Any]] = {
    "authorization.k8s.io/v1/selfsubjectaccessreviews": {
        "spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "version": "v1"}}
    },
    "authorization.k8s.io/v1/selfsubjectrulesreviews": {"spec": {"namespace": "shop"}},
    "authentication.k8s.io/v1/selfsubjectreviews": {},
}
OTHER_REVIEWS = (
    *("authorization.k8s.io/v1/subjectaccessreviews", "authentication.k8s.io/v1/tokenreviews"),
    *("authorization.k8s.io/v1/namespaces/shop/localsubjectaccessreviews", "example.com/v1/selfsubjectreviews"),
    "certificates.k8s.io/v1/certificatesigningrequests",
)
_REVIEW_KINDS = {
    "selfsubjectaccessreviews": "SelfSubjectAccessReview",
    "selfsubjectrulesreviews": "SelfSubjectRulesReview",
    "selfsubjectreviews": "SelfSubjectReview",
}

PATHS = (
    *("/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/version", "/openapi/v2", "/openapi/v3"),
    *("/openapi/v3/apis/apps/v1", "/healthz", "/livez/ping", "/readyz", "/", "/metrics", "/logs/", "/debug/pprof/"),
    *("/configz", "/openid/v1/jwks", "/.well-known/openid-configuration", "/apiserver", "/versions", "/statusz"),
)

LIST_QUERIES = (
    *("", "", "limit=3", "limit=500", "labelSelector=app%3Dweb", "labelSelector=app+in+%28web%2Capi%29"),
    *("fieldSelector=metadata.name%3Dweb", "fieldSelector=metadata.namespace%3Dshop", "resourceVersion=0"),
    *("watch=true&timeoutSeconds=1", "watch=1&timeoutSeconds=1", "resourceVersion=0&watch=true&timeoutSeconds=1"),
    *("includeObject=Object", "limit=1&resourceVersion=0&resourceVersionMatch=NotOlderThan", "pretty=true"),
    "allowWatchBookmarks=true&watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dqueue-0",
)
LOG_QUERIES = (
    *("", "tailLines=2", "container=queue&timestamps=true", "previous=true", "limitBytes=20", "follow=true"),
    *("sinceSeconds=3600&tailLines=1", "follow=true&tailLines=1&container=queue"),
)
ODD_PARAMETERS = (
    *("dryRun=All", "watch=false", "watch=true", "watch=0", "watch=TRUE", "watch", "watch=", "watch=yes", "Watch=true"),
    *("w%61tch=true", "%77atch=1", "limit=1", "limit=1", "limit=-1", "limit=1e3", "limit=%31", "limit=1%00"),
    *("limit=9223372036854775807", "limit=9223372036854775808", "labelSelector=a%0Ab", "labelSelector=%zz"),
    *("labelSelector=owner%3Dhelm", "labelSelector=", "labelSelector=%C3%A9", "labelSelector=%ff", "unheardof=1"),
    *("fieldSelector=metadata.name%3Ddb", "fieldSelector=metadata.name%3D%3Ddb", "fieldSelector=metadata.name!%3Ddb"),
    *("fieldSelector=metadata.name%3Da%2Cmetadata.name%3Db", "fieldSelector=metadata.name%3D..%2Fdb"),
    *("fieldSelector=metadata.name%3Da%5C%2Cb", "fieldSelector=%2Cmetadata.name%3Dweb", "fieldSelector=x%5C"),
    *("follow=true", "container=queue", "insecureSkipTLSVerifyBackend=true", "command=sh&command=-c", "stdin=true"),
    *("tailLines=1", "sinceTime=2020-01-01T00%3A00%3A00Z", "sinceTime=%0d%0a", "stream=Stdout", "stream=All"),
    *("fieldManager=kubectl", "force=true", "propagationPolicy=Foreground", "gracePeriodSeconds=0", "path=%2Fetc"),
    *("pretty=1", "timeout=5s", "timeout=5", "resourceVersion=0;watch=true", "a;b", "#", "&&", "=", "%26watch=true"),
    *("includeObject=Object", "includeObject=Everything", "as=admin", "impersonate=admin", "timeoutSeconds=1"),
)

ACCEPTS = (
    *(b"application/json", b"*/*", b"application/yaml", b"application/vnd.kubernetes.protobuf", b"application/cbor"),
    b"application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    b"application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
)
PLAIN_HEADERS: Sequence[Fields] = (
    *((), ((b"Accept", b"application/json"),), ((b"User-Agent", b"kubectl/v1.37.0"),)),
    *(((b"Accept", accept), (b"Accept-Encoding", b"gzip")) for accept in ACCEPTS),
)
ODD_HEADERS: Sequence[Fields] = (
    ((b"Impersonate-User", b"admin"), (b"Impersonate-Group", b"system:masters")),
    ((b"Impersonate-Extra-Scopes", b"all"), (b"Impersonate-Uid", b"0")),
    ((b"impersonate_user", b"admin"),),
    ((b"X-Remote-User", b"admin"), (b"X-Remote-Group", b"system:masters"), (b"X-Remote-Extra-A", b"b")),
    ((b"X-Forwarded-For", b"127.0.0.1"), (b"X-Forwarded-User", b"admin"), (b"Forwarded", b"for=127.0.0.1")),
    ((b"X-Kubently-Principal", b"admin"), (b"X-Kubently-Limits", b"[]")),
    ((b"Cookie", b"session=1"), (b"Origin", b"https://elsewhere"), (b"Referer", b"https://elsewhere")),
    ((b"Authorization", b"Bearer x"), (b"Proxy-Authorization", b"Basic eDp5")),
    ((b"Connection", b"keep-alive"), (b"Keep-Alive", b"timeout=5")),
    ((b"Connection", b"close, Impersonate-User"), (b"Expect", b"100-continue"), (b"TE", b"trailers")),
    ((b"X-HTTP-Method-Override", b"DELETE"), (b"X-Original-URL", b"/api/v1/secrets")),
    ((b"If-None-Match", b'"x"'), (b"Range", b"bytes=0-1")),
    ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")),
    ((b"connection", b"keep-alive, upgrade"), (b"UPGRADE", b"SPDY/3.1")),
    ((b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"AAMAAABkAAQAAP__")),
    ((b"Connection", b"UpGrAdE"),),
    ((b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")),
    ((b"Content-Length", b"0"), (b"Content-Length", b"5")),
    ((b"Host", b"a"), (b"Host", b"b")),
    ((b"Content-Type", b"application/json"), (b"Content-Type", b"application/yaml")),
    ((b"X-Folded", b"a\r\n Impersonate-User: admin"),),
    ((b"X-Bare", b"a\nImpersonate-User: admin"),),
    ((b"X-Nul", b"a\0b"),),
    ((b"Imper sonate-User", b"admin"),),
    ((b"Impersonate-User:", b"admin"),),
    ((b"", b"x"),),
    ((b"X-Long", b"x" * 20_000),),
    ((b"X-Latin", b"\xe9"),),
)

_SLASHES = (
    *(b"%2F", b"%2f", b"%252F", b"//", b"///", b"/./", b"/%2e/", b"/x/../", b"/x/%2e%2e/", b"\\", b"%5C", b"/\\"),
    *(b"%c0%af", b"%e0%80%af", b"%EF%BC%8F", b"/%20", b"/;/", b";/", b";a=b/", b"%3B/", b"/%00/", b"%0d%0a/", b"/%2F"),
)
_TAILS = (
    *(b"/", b"/", b"/", b"//", b"/.", b"/..", b"/%2e", b"%00", b"%20", b" ", b"%09", b"\t", b"%0d%0a", b"\r\nX: y"),
    *(b";a=b", b"%3Ba", b"%23", b"#x", b"%3Fwatch=true", b"%3F", b".", b"%ff", b"%", b"%2", b"%zz", b"*", b"~", b"%7E"),
    *(
        b"/" + b"a" * 5000,
        b"/" + b"a" * 260,
        b"%u0073",
        b"%EF%BD%93",
        b"\xff",
        b"\xc3\xa9",
        b"%C3%A9",
        b"@",
        b":",
        b"%3A",
    ),
)
_HEADS = (b"https://127.0.0.1", b"http://elsewhere:1", b"/", b"//elsewhere", b"/.", b"/..", b"*", b"", b"/%2e%2e", b"x")

Maker = Callable[[Random], Raw]


# ---------------------------------------------------------------------- plain


def _resource(random: Random, kind: Kind | None = None, *, methods: Sequence[str] = ("GET",)) -> Raw:
    kind = kind or random.choice(KINDS)
    base = kind.prefix
    if kind.namespace and random.random() < 0.75:
        base += f"/namespaces/{kind.namespace}"
    base += f"/{kind.plural}"
    method = random.choice(methods)
    if random.random() < 0.5:
        return _collection(random, method, base)
    subresource = random.choice(("", *kind.subresources)) if kind.namespace in base.split("/") else ""
    name = random.choice(kind.names)
    query = random.choice(LOG_QUERIES) if subresource == "log" else random.choice(("", "", "pretty=true"))
    path = f"{base}/{name}" + (f"/{subresource}" if subresource else "")
    return _raw(random, method, path, query)


def _collection(random: Random, method: str, path: str) -> Raw:
    return _raw(random, method, path, random.choice(LIST_QUERIES) if method == "GET" else "")


def _raw(random: Random, method: str, path: str, query: str = "") -> Raw:
    return Raw(method, path.encode(), query.encode(), random.choice(PLAIN_HEADERS))


def _plain_method(random: Random) -> Raw:
    return _resource(random, methods=(*("GET",) * 4, *METHODS))


def _plain_subresource(random: Random) -> Raw:
    kind = random.choice(KINDS)
    namespace = f"/namespaces/{kind.namespace}" if kind.namespace else ""
    path = f"{kind.prefix}{namespace}/{kind.plural}/{random.choice(kind.names)}/{random.choice(SUBRESOURCES)}"
    if path.endswith("/proxy") and random.random() < 0.5:
        path += "/metrics"
    return _raw(random, random.choice((*("GET",) * 3, "POST", "PUT", "PATCH", "DELETE")), path)


def _plain_path(random: Random) -> Raw:
    return _raw(random, random.choice((*("GET",) * 6, "POST", "DELETE")), random.choice(PATHS))


def _plain_review(random: Random) -> Raw:
    review = random.choice((*REVIEWS, *REVIEWS, *OTHER_REVIEWS))
    prefix, _, resource = review.rpartition("/")
    group_version = "/".join(prefix.split("/")[:2])
    body = {"apiVersion": group_version, "kind": _REVIEW_KINDS.get(resource, "Unknown"), **REVIEWS.get(review, {})}
    path = f"/apis/{review}" + random.choice(("", "", "", "/x", "/x/status"))
    content_type = (b"Content-Type", b"application/json")
    return Raw(random.choice(("POST", "POST", "POST", "PUT")), path.encode(), b"", (content_type,), _json(body))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


# ---------------------------------------------------------------------- odd


def _legacy(random: Random) -> Raw:
    """The prefixes watch and proxy, and objects that are only called so."""
    request = _resource(random)
    prefix, version, rest = request.path.partition(b"/v1/")
    word = random.choice((b"watch/", b"proxy/", b"Watch/", b"%77atch/", b"namespaces/watch/", b"namespaces/proxy/"))
    return replace(request, path=prefix + version + word + rest.removeprefix(b"namespaces/shop/"))


def _odd_path(random: Random) -> Raw:
    """One or two changes of how the path is spelt."""
    request = _resource(random) if random.random() < 0.8 else _plain_path(random)
    path = request.path
    for _ in range(random.choice((1, 1, 2))):
        path = random.choice(_PATH_CHANGES)(random, path)
    return replace(request, path=path)


def _other_slash(random: Random, path: bytes) -> bytes:
    places = [index for index, byte in enumerate(path) if byte == ord("/")]
    if not places:
        return path
    place = random.choice(places)
    return path[:place] + random.choice(_SLASHES) + path[place + 1 :]


def _encoded_byte(random: Random, path: bytes) -> bytes:
    place = random.randrange(len(path)) if path else 0
    form = random.choice(("%%%02X", "%%%02x", "%%25%02X", "%%00%02X"))
    return path[:place] + (form % path[place]).encode() + path[place + 1 :] if path else path


def _encoded_colon(random: Random, path: bytes) -> bytes:
    return path.replace(b":", random.choice((b"%3A", b"%3a", b"%253A")))


def _other_case(random: Random, path: bytes) -> bytes:
    parts = path.split(b"/")
    place = random.randrange(len(parts))
    parts[place] = random.choice((bytes.upper, bytes.title, bytes.swapcase))(parts[place])
    return b"/".join(parts)


def _wide_letter(random: Random, path: bytes) -> bytes:
    letters = [index for index, byte in enumerate(path) if 0x61 <= byte <= 0x7A]
    if not letters:
        return path
    place = random.choice(letters)
    wide = chr(path[place] - 0x61 + 0xFF41).encode()
    form = wide if random.random() < 0.3 else b"".join(b"%%%02X" % byte for byte in wide)
    return path[:place] + form + path[place + 1 :]


def _other_tail(random: Random, path: bytes) -> bytes:
    return path + random.choice(_TAILS)


def _other_head(random: Random, path: bytes) -> bytes:
    head = random.choice(_HEADS)
    return path.removeprefix(b"/") if head == b"x" else head + path


def _unchanged_but_slash(_: Random, path: bytes) -> bytes:
    return path + b"/"


_PATH_CHANGES: Sequence[Callable[[Random, bytes], bytes]] = (
    *(_other_slash, _encoded_byte, _encoded_colon, _other_case, _wide_letter, _other_tail, _other_head),
    _unchanged_but_slash,
)


def _odd_query(random: Random) -> Raw:
    request = _resource(random)
    parts = [part for part in request.query.split(b"&") if part]
    for _ in range(random.choice((1, 1, 2, 3))):
        parts.insert(random.randint(0, len(parts)), random.choice(ODD_PARAMETERS).encode())
    if parts and random.random() < 0.2:
        parts.append(random.choice(parts))
    return replace(request, query=b"&".join(parts))


def _odd_headers(random: Random) -> Raw:
    request = _resource(random)
    extra = [field for fields in random.sample(ODD_HEADERS, random.choice((1, 1, 2))) for field in fields]
    return replace(request, headers=(*request.headers, *extra))


def _odd_body(random: Random) -> Raw:
    """Bodies where there are none, and reviews with odd ones."""
    request = random.choice((_plain_review, _resource))(random)
    bodies = (b"{}", b"[]", b"", b"null", b'{"spec":' * 200, b"GET /api/v1/secrets HTTP/1.1\r\n\r\n", b"\xff" * 10)
    return replace(request, body=random.choice((request.body, *bodies)))


def _all_odd(random: Random) -> Raw:
    path, query, fields = _odd_path(random), _odd_query(random), _odd_headers(random)
    return Raw(
        random.choice(("GET", "GET", "GET", random.choice(METHODS))),
        random.choice((path, query)).path,
        random.choice((query.query, b"", b"dryRun=All")),
        random.choice((fields.headers, path.headers)),
    )


PLAIN: Mapping[str, Maker] = {
    "reads": _resource,
    "methods": _plain_method,
    "subresources": _plain_subresource,
    "paths": _plain_path,
    "reviews": _plain_review,
}
ODD: Mapping[str, Maker] = {
    "legacy prefixes": _legacy,
    "spelt paths": _odd_path,
    "odd queries": _odd_query,
    "odd headers": _odd_headers,
    "odd bodies": _odd_body,
    "all tricks": _all_odd,
}
STRATA: Mapping[str, Maker] = {**PLAIN, **ODD}


def requests(seed: int, count: int) -> Iterator[tuple[str, Raw]]:
    """*count* requests, as many of each stratum, with its name."""
    random = Random(seed)
    names = list(STRATA)
    for number in range(count):
        name = names[number % len(names)]
        yield name, STRATA[name](random)
