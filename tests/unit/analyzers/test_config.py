from __future__ import annotations

from typing import Any

import pytest

from kubently.analyzers.config import Missing, parse_missing

POD: dict[str, Any] = {
    "spec": {
        "volumes": [
            {"name": "settings", "configMap": {"name": "app-settings"}},
            {"name": "keys", "secret": {"secretName": "app-keys"}},
        ]
    }
}


@pytest.mark.parametrize(
    ("message", "missing"),
    [
        ('configmap "app" not found', Missing("ConfigMap", "app", "")),
        ('secret "db" not found', Missing("Secret", "db", "")),
        ("couldn't find key URL in ConfigMap shop/app", Missing("ConfigMap", "app", "URL")),
        ("couldn't find key pass in Secret shop/db", Missing("Secret", "db", "pass")),
        (
            'MountVolume.SetUp failed for volume "settings" : configmap "app-settings" not found',
            Missing("ConfigMap", "app-settings", ""),
        ),
        (
            'MountVolume.SetUp failed for volume "settings" : configmap references non-existent config key: a.yaml',
            Missing("ConfigMap", "app-settings", "a.yaml"),
        ),
        (
            'MountVolume.SetUp failed for volume "keys" : secret references non-existent secret key: tls.key',
            Missing("Secret", "app-keys", "tls.key"),
        ),
        (
            'MountVolume.SetUp failed for volume "gone" : secret references non-existent secret key: k',
            Missing("Secret", "", "k"),
        ),
        ("container has runAsNonRoot and image will run as root", None),
        ("", None),
    ],
)
def test_the_kubelets_sentence_is_read(message: str, missing: Missing | None) -> None:
    assert parse_missing(message, POD) == missing
