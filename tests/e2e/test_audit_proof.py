"""What tests caused at the API servers, and that the proof of it, which comes again at the end of all, would notice."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.e2e import audit_proof
from tests.e2e.conftest import Clusters
from tests.e2e.content import EXECUTOR
from tests.e2e.harness import Fleet
from tests.testbed.cluster import AuditRecord


@pytest.fixture(scope="module")
def records(clusters: Clusters, fleet: Fleet) -> list[AuditRecord]:
    """Every request of the executors' user to either cluster. Both are asked once more, to have something to see."""
    for cluster in clusters:
        assert fleet.cli.run(cluster, "get", "pods", "-A").code == 0
        assert fleet.cli.run(cluster, "auth", "can-i", "list", "pods").code == 0
    return [record for cluster in clusters.values() for record in cluster.audit(user=EXECUTOR)]


def test_the_log_has_what_was_asked(records: list[AuditRecord]) -> None:
    """An empty log would prove anything."""
    seen = Counter((record.verb, record.resource) for record in records)
    print(f"{len(records)} requests: {dict(seen.most_common(12))}")

    assert seen["list", "pods"]
    assert seen["create", "selfsubjectaccessreviews"]


def test_every_request_was_a_read_or_a_question_about_oneself(records: list[AuditRecord]) -> None:
    assert list(audit_proof.unexpected(records)) == []


def test_no_request_touched_secrets(records: list[AuditRecord]) -> None:
    assert audit_proof.about_secrets(records) == []


def test_no_request_touched_a_denied_subresource(records: list[AuditRecord]) -> None:
    assert audit_proof.about_subresources(records) == []


def test_the_proof_would_notice(clusters: Clusters) -> None:
    """The administrator's requests of these tests are what the executor's must never be."""
    asked = clusters["alpha"].audit(user="admin")

    assert list(audit_proof.unexpected(asked))
    with pytest.raises(AssertionError):
        audit_proof.prove(asked)
