from __future__ import annotations

from typing import Any

import pytest

from kubently.analyzers.storage import _misfit

CLAIM: dict[str, Any] = {
    "metadata": {"name": "data", "namespace": "shop"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
}


def volume(**changes: Any) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "10Gi"}, **changes}
    return {"metadata": {"name": "disk-1", "labels": {"tier": "slow"}}, "spec": spec, "status": {"phase": "Released"}}


@pytest.mark.parametrize(
    ("claim", "changes", "reason"),
    [
        ({}, {"capacity": {"storage": "5Gi"}}, "is too small: 5Gi for 10Gi"),
        ({}, {"accessModes": ["ReadOnlyMany"]}, "does not offer access mode ReadWriteOnce"),
        ({}, {"claimRef": {"namespace": "shop", "name": "other"}}, "is taken by claim other"),
        ({}, {"volumeMode": "Block"}, "is of volume mode Block, not Filesystem"),
        ({"selector": {"matchLabels": {"tier": "fast"}}}, {}, "does not carry the labels that the claim selects"),
        ({"volumeName": "disk-2"}, {}, "is not disk-2, which the claim names"),
        ({}, {}, "is Released"),
    ],
)
def test_why_a_volume_does_not_fit(claim: dict[str, Any], changes: dict[str, Any], reason: str) -> None:
    wanting = {**CLAIM, "spec": {**CLAIM["spec"], **claim}}

    assert _misfit(wanting, volume(**changes)) == reason
