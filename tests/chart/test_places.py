"""Where the chart lies, and what it makes of the cluster that it is rendered for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart import cases
from tests.testbed import helm

FIXED = {"runAsUser", "runAsGroup", "fsGroup"}
VARIED = ("guide-scenario-1", "values-production", "values-sqlite", "values-mutual-tls", "values-remote-by-enrolment")


def test_path_of_the_guides_token_section_is_the_same_chart() -> None:
    found = helm.render(release="kubently-executor", chart=helm.ROOT / "helm" / "kubently")

    assert helm.names(found) == helm.names(helm.render(release="kubently-executor"))


@pytest.mark.parametrize("case", VARIED)
def test_openshift_gives_users_and_groups_itself(case: str) -> None:
    found = cases.named(case).render("security.openshift.io/v1/SecurityContextConstraints", "security.openshift.io/v1")

    contexts = [context for one in found for context in security_contexts(one)]

    assert contexts
    assert [context for context in contexts if FIXED & context.keys()] == []
    assert all(context["runAsNonRoot"] for context in contexts)


def security_contexts(found: Any) -> Iterator[dict[str, Any]]:
    """All in an object, of pods and of containers."""
    if isinstance(found, list):
        for one in found:
            yield from security_contexts(one)
    elif isinstance(found, dict):
        for key, value in found.items():
            if key == "securityContext":
                yield value
            else:
                yield from security_contexts(value)
