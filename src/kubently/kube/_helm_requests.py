"""Requests for Secrets as Helm makes them.

Helm keeps each revision of a release in a Secret ``sh.helm.release.v1.NAME.vREVISION`` of the type
``helm.sh/release.v1`` with the label ``owner=helm``. It gets one by that name, and finds them by that label.
"""

from __future__ import annotations

import re

from kubently.kube._selectors import Requirement, parse_selector
from kubently.kube.paths import ApiRequest

RELEASE_TYPE = "helm.sh/release.v1"
OWNER_LABEL, OWNER = "owner", "helm"

_RELEASE_NAME = re.compile(r"sh\.helm\.release\.v1\.[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?\.v[0-9]{1,10}")
_OWNED_BY_HELM = Requirement(OWNER_LABEL, "in", frozenset({OWNER}))


def asks_as_helm(request: ApiRequest) -> bool:
    """Say whether *request* gets one Secret that is named as Helm's releases are, or lists those owned by Helm."""
    if (request.group, request.version, request.resource, request.subresource) != ("", "v1", "secrets", ""):
        return False
    if request.verb == "get":
        return _RELEASE_NAME.fullmatch(request.name) is not None
    return request.verb in ("list", "watch") and _selects_owner(request.label_selector)


def is_about_one_release(request: ApiRequest) -> bool:
    """Say whether a request of Helm is about one release, as `helm status` and `get` are, not about all."""
    return request.verb == "get" or any(
        item.key == "name" and item.operator == "in" and len(item.values) == 1
        for item in _requirements(request.label_selector)
    )


def _selects_owner(label_selector: str) -> bool:
    return _OWNED_BY_HELM in _requirements(label_selector)


def _requirements(label_selector: str) -> tuple[Requirement, ...]:
    try:
        return parse_selector(label_selector).requirements
    except ValueError:
        return ()
