"""Helm's releases without the secrets in them, so that Helm itself can still read them.

Helm keeps a revision of a release as JSON, compressed with gzip and twice in base64 (once by Helm, once by Kubernetes),
in a Secret's ``data.release``. It holds the user's values, the whole chart, and every rendered manifest. What leaves is
made anew from the members that are listed here; Helm matches names of members without regard to case, so nothing
unknown is copied. Counterpart: helm.sh/helm, pkg/storage/driver and pkg/release.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from kubently.kube._helm_requests import OWNER, OWNER_LABEL, RELEASE_TYPE, is_about_one_release
from kubently.kube._manifests import Room, redact_manifests
from kubently.kube._own_secret import OwnSecret, hidden, stub
from kubently.kube._patterns import NO_PATTERNS, Patterns, marker
from kubently.kube.paths import ApiRequest
from kubently.kube.policy import Policy, SecretsMode
from kubently.kube.redact import MAX_DEPTH, redact_object, redact_text

MAX_RELEASE_BYTES = 16 * 1024 * 1024
"""Of one release after decompression. A Secret holds at most a megabyte, which is rarely more than ten of JSON."""

MAX_VALUES = 300_000
"""Of one release, manifests aside, which are text in it. Read into objects a value takes a hundred bytes and more,
however short its text: a few kilobytes in a Secret could be a gigabyte here."""

_GZIP_MAGIC = b"\x1f\x8b\x08"
_GZIP_WINDOW = 31
"""zlib's window bits for 32 KiB and a gzip head."""

_NO_MANIFESTS = f"# {marker('manifests are shown for one release at a time')}\n"
_UNREADABLE = marker("a Helm release that cannot be read")


@dataclass(frozen=True, slots=True)
class ReleaseRedactor:
    """Rewrites answers to requests for Secrets that were made as Helm makes them."""

    secrets: SecretsMode = "none"
    own_secret: OwnSecret | None = None
    patterns: Patterns = NO_PATTERNS
    with_manifests: bool = True
    """Without, they are left out: reading the YAML of a thousand revisions would take a minute, and `helm list` shows
    none of it."""

    def __call__(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Rewrite one Secret, or a watch event.

        Releases keep what `helm list`, `get`, `history` and `status` show. What is no release is shown as Secrets
        are elsewhere; where none are shown it is its name and nothing else.
        """
        if not ("type" in answer and isinstance(answer.get("object"), Mapping)):
            return self._secret(answer)
        shown = answer["object"]
        is_secret = shown.get("kind") == "Secret" and answer["type"] != "BOOKMARK"
        return {**answer, "object": self._secret(shown) if is_secret else self._plain(shown)}

    def _secret(self, secret: Mapping[str, Any]) -> dict[str, Any]:
        if (shown := hidden(secret, self.own_secret)) is not None:
            return shown
        if not _is_release(secret):
            return self._plain(secret) if self.secrets == "metadata" else stub(secret)
        data = secret.get("data")
        release = self.release(data.get("release") if isinstance(data, Mapping) else None)
        return self._plain(secret) | {"data": {"release": base64.b64encode(release).decode("ascii")}}

    def release(self, stored: object) -> bytes:
        """Return a Secret's ``data.release`` redacted, in Helm's own encoding; a marker where it cannot be read."""
        redact = partial(redact_object, secrets=self.secrets, own_secret=self.own_secret, patterns=self.patterns)
        try:
            parts = _Parts(redact, self.patterns, with_manifests=self.with_manifests)
            made = parts.release(json.loads(_checked(_decoded(stored))))
            text = json.dumps(made, separators=(",", ":"), allow_nan=False)
        except (ValueError, RecursionError, zlib.error):
            return _UNREADABLE.encode()
        return base64.b64encode(gzip.compress(text.encode(), mtime=0))

    def _plain(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        return redact_object(obj, kind="Secret", secrets=self.secrets, patterns=self.patterns)


def redactor_for(request: ApiRequest, policy: Policy) -> ReleaseRedactor:
    """Return what the answer to a request of Helm goes through."""
    return ReleaseRedactor(policy.secrets, policy.own_secret, policy.patterns, is_about_one_release(request))


def _is_release(secret: Mapping[str, Any]) -> bool:
    metadata = secret.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return secret.get("type") == RELEASE_TYPE and isinstance(labels, Mapping) and labels.get(OWNER_LABEL) == OWNER


def _decoded(stored: object) -> bytes:
    """Undo the encodings; releases of Helm's first years are not compressed. Raises ValueError or zlib.error."""
    if not isinstance(stored, str):
        raise ValueError("no release")
    packed = base64.b64decode(base64.b64decode(stored, validate=True), validate=True)
    if not packed.startswith(_GZIP_MAGIC):
        return packed
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    unpacked = unpacker.decompress(packed, MAX_RELEASE_BYTES)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("too large, or not one whole gzip stream")
    return unpacked


_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def _checked(text: bytes) -> str:
    """Return the text of a release. Raises ValueError for one of too many values, and for what is not UTF-8."""
    # A quote that begins a text follows no backslash: those of so many texts would be dear to take out.
    if text.count(b'"') - text.count(b'\\"') > 4 * MAX_VALUES:
        raise ValueError("too many texts")
    bare = _TEXT.sub(b"", text)
    if sum(map(bare.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise ValueError("too many values")
    return text.decode()


# ---- the members of a release: what is not named here is left out

_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,18}(?:Z|[+-][0-9]{2}:[0-9]{2})")


class _Parts:
    """Makes each part of a release anew."""

    def __init__(
        self, redact: Callable[[Mapping[str, Any]], Mapping[str, Any]], patterns: Patterns, *, with_manifests: bool
    ) -> None:
        self._redact = redact
        self._patterns = patterns
        self._with_manifests = with_manifests
        self._room = Room()

    def release(self, value: object) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError("no release")
        return _made(
            value,
            {
                "name": self._text,
                "info": self._info,
                "chart": self._chart,
                "config": _blank,
                "manifest": self._manifests,
                "hooks": self._hooks,
                "version": _whole,
                "namespace": self._text,
                "apply_method": self._text,
            },
        )

    def _info(self, value: object) -> dict[str, Any]:
        instants = dict.fromkeys(("first_deployed", "last_deployed", "deleted"), _instant)
        return _made(value, {**instants, **dict.fromkeys(("description", "status", "notes"), self._text)})

    def _chart(self, value: object) -> dict[str, Any]:
        # Templates and files are not needed to show a release, and may hold anything.
        return _made(value, {"metadata": self._clean, "values": _blank})

    def _hooks(self, value: object) -> list[Any]:
        return [self._hook(hook) for hook in value] if isinstance(value, list) else []

    def _hook(self, value: object) -> dict[str, Any]:
        texts = dict.fromkeys(("name", "kind", "path"), self._text)
        words = dict.fromkeys(("events", "delete_policies", "output_log_policies"), self._clean)
        run = {"last_run": self._last_run, "weight": _whole, "manifest": self._manifests}
        return _made(value, {**texts, **words, **run})

    def _last_run(self, value: object) -> dict[str, Any]:
        return _made(value, {"started_at": _instant, "completed_at": _instant, "phase": self._text})

    def _manifests(self, value: object) -> str:
        if not self._with_manifests:
            return _NO_MANIFESTS
        return redact_manifests(value, self._redact, self._room) if isinstance(value, str) else ""

    def _text(self, value: object) -> str:
        return redact_text(value, self._patterns) if isinstance(value, str) else ""

    def _clean(self, value: object, depth: int = 0) -> Any:
        """Redact all text in a value; keys stay."""
        if depth > MAX_DEPTH:
            return None
        if isinstance(value, Mapping):
            return {key: self._clean(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self._clean(item, depth + 1) for item in value]
        return self._text(value) if isinstance(value, str) else value


def _made(value: object, members: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {}
    return {key: make(value[key]) for key, make in members.items() if value.get(key) is not None}


def _blank(value: object, depth: int = 0) -> Any:
    """Keep the shape and the keys of values; what stands there is blanked, whatever its type."""
    if depth > MAX_DEPTH or not isinstance(value, Mapping | list):
        return None if value is None else marker("value")
    if isinstance(value, Mapping):
        return {key: _blank(item, depth + 1) for key, item in value.items()}
    return [_blank(item, depth + 1) for item in value]


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _instant(value: object) -> str:
    return value if isinstance(value, str) and _INSTANT.fullmatch(value) else _NEVER


_NEVER = "0001-01-01T00:00:00Z"
"""What Helm writes where there is no time."""
