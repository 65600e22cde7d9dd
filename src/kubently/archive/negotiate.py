"""Content negotiation as an API server does it: which form of an object the client wants."""

from __future__ import annotations

from dataclasses import dataclass

from kubently.archive import answers

_META_GROUP = "meta.k8s.io"
_META_VERSIONS = ("v1", "v1beta1")
_FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_ACCEPTED = "only the following media types are accepted: application/json"


@dataclass(frozen=True, slots=True)
class Form:
    """What to make of an object: itself (an empty kind), or one of the kinds of meta.k8s.io."""

    kind: str = ""
    version: str = "v1"
    pretty: bool = False

    @property
    def api_version(self) -> str:
        """The apiVersion of the kinds of meta.k8s.io."""
        return f"{_META_GROUP}/{self.version}"


@dataclass(frozen=True, slots=True)
class _Clause:
    media_type: str
    parameters: dict[str, str]
    quality: float


def _clauses(accept: str) -> list[_Clause]:
    """Return the clauses of an Accept header, the best first, equals in their order."""
    found = []
    for clause in accept.split(","):
        media_type, *pairs = (part.strip() for part in clause.split(";"))
        parameters = {key: value for key, _, value in (pair.partition("=") for pair in pairs)}
        found.append(_Clause(media_type.lower(), parameters, _quality(parameters.pop("q", "1"))))
    return sorted((item for item in found if item.media_type), key=lambda item: -item.quality)


def _quality(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return 1.0


def form(accept: str) -> Form:
    """Return the first form in an Accept header that can be served.

    Raises RefusedError (406) where there is none, as for Protobuf alone.
    """
    clauses = _clauses(accept)
    if not clauses:
        return Form()
    for clause in clauses:
        if clause.media_type not in (answers.JSON, "*/*"):
            continue
        kind, pretty = clause.parameters.get("as", ""), "pretty" in clause.parameters
        if not kind:
            return Form(pretty=pretty)
        version = clause.parameters.get("v", "")
        if kind in _FORMS and version in _META_VERSIONS and clause.parameters.get("g") == _META_GROUP:
            return Form(kind, version, pretty)
    raise answers.RefusedError(406, "NotAcceptable", _ACCEPTED)


def discovery_version(accept: str) -> str:
    """Return the version of aggregated discovery that an Accept header asks for, or "" for the plain documents."""
    for clause in _clauses(accept):
        wanted = clause.parameters
        if clause.media_type not in (answers.JSON, "*/*"):
            continue
        if not wanted.get("as"):
            return ""
        if wanted["as"] == "APIGroupDiscoveryList" and wanted.get("g") == "apidiscovery.k8s.io":
            version = wanted.get("v", "")
            if version in ("v2", "v2beta1"):
                return version
    return ""
