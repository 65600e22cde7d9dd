"""Secrets out of what leaves a cluster: out of objects by their structure, out of text by `TextRedactor`.

Objects are changed where their kind says that a secret stands there: whatever the shape of the answer (one object, a
list, a Table, a watch event, a manifest inside another object), the data of a Secret does not get through.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from kubently.kube import _certificates
from kubently.kube._own_secret import OwnSecret, hidden
from kubently.kube._patterns import NO_PATTERNS, Patterns, marker
from kubently.kube._text import TextRedactor, is_sensitive_name, redact_text, redact_words
from kubently.kube.policy import SecretsMode

__all__ = ["TextRedactor", "is_sensitive_name", "marker", "redact_object", "redact_text", "redact_words"]

MAX_DEPTH = 100
"""Levels of an object that are looked through; what is deeper is masked."""

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MAX_SECRET_ANNOTATION_CHARS = 256
"""An annotation of a Secret that is longer may well be a copy of it."""

_SILENT_KINDS = frozenset({"", "List", "PartialObjectMetadata", "PartialObjectMetadataList", "Table"})
"""Kinds that do not say what the objects in them are."""
_MEMBER_FIELDS = frozenset({"items", "object", "rows"})
"""Where the objects of a list, a Table or a watch event stand."""


def redact_object(
    obj: Mapping[str, Any],
    *,
    secrets: SecretsMode = "none",
    kind: str = "",
    own_secret: OwnSecret | None = None,
    patterns: Patterns = NO_PATTERNS,
) -> dict[str, Any]:
    """Return a copy of an API answer (object, list, Table or watch event) without the secrets in it.

    The data of Secrets and annotations that may repeat it are blanked; with *secrets* "metadata" the keys of the data
    stay, and what is public about certificates is added, with "none" they go too. Of *own_secret* the name is left.
    Elsewhere private keys and web tokens are masked, and in ConfigMaps, environment variables and arguments also values
    whose name says that they are secret, and what *patterns* find. *kind* is the kind of the objects where the answer
    itself does not say it (Tables, metadata only).
    """
    return _ObjectRedactor(secrets, own_secret, patterns).mapping(obj, kind, 0)


class _ObjectRedactor:
    """Walks through an answer; *hint* is the kind of objects that do not say their own."""

    def __init__(self, secrets: SecretsMode, own_secret: OwnSecret | None, patterns: Patterns) -> None:
        self._secrets = secrets
        self._own_secret = own_secret
        self._patterns = patterns

    def mapping(self, obj: Mapping[str, Any], hint: str, depth: int) -> dict[str, Any]:
        kind = _kind(obj, hint)
        if kind == "Secret" and (shown := hidden(obj, self._own_secret)) is not None:
            return shown
        out = {key: self._field(key, value, kind if key in _MEMBER_FIELDS else "", depth) for key, value in obj.items()}
        if kind == "Secret":
            self._blank_secret(out, obj)
        elif kind == "ConfigMap":
            _redact_config_map(out, self._patterns)
        return out

    def _field(self, key: str, value: Any, hint: str, depth: int) -> Any:
        if key == "env" and isinstance(value, list):
            return [_redact_variable(self._value(item, "", depth + 1), self._patterns) for item in value]
        if key in ("args", "command") and isinstance(value, list) and all(isinstance(item, str) for item in value):
            return redact_words(value, self._patterns)
        if key == "annotations" and isinstance(value, Mapping):
            return {name: self._annotation(name, text, depth + 1) for name, text in value.items()}
        return self._value(value, hint, depth + 1)

    def _value(self, value: Any, hint: str, depth: int) -> Any:
        if isinstance(value, str):
            return _redact_plain_text(value)
        if not isinstance(value, Mapping | list):
            return value
        if depth > MAX_DEPTH:
            return marker(f"deeper than {MAX_DEPTH} levels")
        if isinstance(value, Mapping):
            return self.mapping(value, hint, depth)
        return [self._value(item, hint, depth + 1) for item in value]

    def _annotation(self, name: str, value: Any, depth: int) -> Any:
        """Redact an annotation; those that hold a manifest are redacted as one."""
        if not isinstance(value, str) or not value.startswith("{"):
            return self._value(value, "", depth)
        try:
            manifest = json.loads(value)
            redacted = self._value(manifest, "", depth)
        except (ValueError, RecursionError):
            return marker("unreadable manifest") if name == LAST_APPLIED else redact_text(value, self._patterns)
        return value if redacted == manifest else json.dumps(redacted, separators=(",", ":"))

    def _blank_secret(self, secret: dict[str, Any], original: Mapping[str, Any]) -> None:
        for field in {"data", "stringData"}.intersection(secret):
            value = secret[field]
            keys = value if isinstance(value, dict) and self._secrets == "metadata" else ()
            # Clients decode data before they show it, so what stands there has to be base64.
            mask = marker("data of a Secret")
            text = base64.b64encode(mask.encode()).decode() if field == "data" else mask
            secret[field] = dict.fromkeys(keys, text)
        metadata = secret.get("metadata")
        if not isinstance(metadata, dict):
            return
        data = original.get("data")
        facts = _certificates.facts(data) if isinstance(data, Mapping) and self._secrets == "metadata" else {}
        if isinstance(annotations := metadata.get("annotations"), dict):
            kept = {key: value for key, value in annotations.items() if not key.startswith(_certificates.PREFIX)}
            metadata["annotations"] = {key: _secret_annotation(key, value) for key, value in kept.items()} | facts
        elif facts:
            metadata["annotations"] = facts


def _kind(obj: Mapping[str, Any], hint: str) -> str:
    """Return the kind of an object, or of the members of a list."""
    own = obj.get("kind")
    if not isinstance(own, str) or own in _SILENT_KINDS:
        return hint
    return own.removesuffix("List") if isinstance(obj.get("items"), list) else own


def _secret_annotation(key: str, value: Any) -> Any:
    is_short_text = isinstance(value, str) and len(value) <= _MAX_SECRET_ANNOTATION_CHARS and "{" not in value
    return value if is_short_text and key != LAST_APPLIED else marker("may repeat the data of a Secret")


def _redact_config_map(config_map: dict[str, Any], patterns: Patterns) -> None:
    """Mask values by their names and as text; releases that Helm keeps in ConfigMaps hold whole manifests."""
    metadata = config_map.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    is_helm = isinstance(labels, dict) and labels.get("owner") == "helm"
    if isinstance(data := config_map.get("data"), dict):
        config_map["data"] = {
            key: marker("Helm release") if is_helm and key == "release" else _redact_named(key, value, patterns)
            for key, value in data.items()
        }
    if isinstance(binary := config_map.get("binaryData"), dict):
        config_map["binaryData"] = {key: _redact_binary(key, value) for key, value in binary.items()}


def _redact_variable(variable: Any, patterns: Patterns) -> Any:
    if isinstance(variable, dict) and isinstance(variable.get("value"), str):
        variable["value"] = _redact_named(str(variable.get("name", "")), variable["value"], patterns)
    return variable


def _redact_named(name: str, value: Any, patterns: Patterns) -> Any:
    if not isinstance(value, str) or not value:
        return value
    return marker("named like a secret") if is_sensitive_name(name) else redact_text(value, patterns)


def _redact_binary(name: str, value: Any) -> Any:
    if not isinstance(value, str) or not (is_sensitive_name(name) or _holds_private_key(value)):
        return value
    return base64.b64encode(marker("private key").encode()).decode()


def _holds_private_key(encoded: str) -> bool:
    try:
        return b"PRIVATE KEY-----" in base64.b64decode(encoded)
    except (binascii.Error, ValueError):
        return False


def _redact_plain_text(text: str) -> str:
    """Redact text of any field: only where it surely holds a key or a token, since messages speak of secrets too."""
    return redact_text(text) if "PRIVATE KEY" in text or "eyJ" in text else text
