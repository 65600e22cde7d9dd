from __future__ import annotations

import pytest

from kubently.analyzers.base import quote
from kubently.analyzers.images import _classify


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('rpc error: code = NotFound desc = failed to resolve reference "r/x:1": r/x:1: not found', "not-found"),
        ("manifest for nginx:none not found: manifest unknown: manifest unknown", "not-found"),
        ("reading manifest 1 in r.example.com/x/y: name unknown: repository not found", "not-found"),
        (
            "pull access denied for x/y, repository does not exist or may require 'docker login': denied: no",
            "unauthorized",
        ),
        (
            "pull access denied, repository does not exist: server message: insufficient_scope: authorization failed",
            "unauthorized",
        ),
        (
            "unexpected status from HEAD request to https://r.example.com/v2/x/manifests/1: 403 Forbidden",
            "unauthorized",
        ),
        ('Head "https://r.example.com/v2/x": no basic auth credentials', "unauthorized"),
        (
            "failed to authorize: failed to fetch oauth token: dial tcp: lookup auth.example.com: no such host",
            "registry-unreachable",
        ),
        ('Get "https://r:5000/v2/": http: server gave HTTP response to HTTPS client', "registry-unreachable"),
        (
            'Get "https://r/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority',
            "registry-unreachable",
        ),
        (
            "net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
            "registry-unreachable",
        ),
        (
            "429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit",
            "rate-limited",
        ),
        (
            "choosing an image from manifest list: no image found in image index for architecture arm64",
            "wrong-architecture",
        ),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", "wrong-architecture"),
        ('Back-off pulling image "registry.example.com/not-found/denied:1"', "pull-failed"),
    ],
)
def test_the_registrys_words_are_told_apart(message: str, code: str) -> None:
    condition, _ = _classify("ImagePullBackOff", (quote("waiting", message),))

    assert condition.code == f"pod/image-{code}"
