"""What all tests before this one caused at the API servers: reads and questions about oneself, nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Clusters
from tests.e2e.content import EXECUTOR
from tests.e2e.harness import Fleet
from tests.testbed.cluster import AuditRecord

READS = frozenset({"get", "list", "watch"})
REVIEWS = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})
SUBRESOURCES = frozenset({"", "status", "scale", "log"})


@pytest.fixture(scope="module")
def records(clusters: Clusters, fleet: Fleet) -> list[AuditRecord]:
    """Every request of the executors' user to either cluster. Both are asked once more, to have something to see."""
    for cluster in clusters:
        assert fleet.cli.run(cluster, "get", "pods", "-A").code == 0
        assert fleet.cli.run(cluster, "auth", "can-i", "list", "pods").code == 0
    return [record for cluster in clusters.values() for record in cluster.audit(user=EXECUTOR)]


def unexpected(records: list[AuditRecord]) -> Iterator[AuditRecord]:
    """Those that are neither a read nor one of the three reviews."""
    for record in records:
        if record.verb not in READS and not (record.verb == "create" and record.resource in REVIEWS):
            yield record


def test_the_log_has_what_was_asked(records: list[AuditRecord]) -> None:
    """An empty log would prove anything."""
    seen = Counter((record.verb, record.resource) for record in records)
    print(f"{len(records)} requests: {dict(seen.most_common(12))}")

    assert seen["list", "pods"]
    assert seen["create", "selfsubjectaccessreviews"]


def test_every_request_was_a_read_or_a_question_about_oneself(records: list[AuditRecord]) -> None:
    assert list(unexpected(records)) == []


def test_no_request_touched_secrets(records: list[AuditRecord]) -> None:
    assert [record for record in records if record.resource == "secrets" or "/secrets" in record.uri] == []


def test_no_request_touched_a_denied_subresource(records: list[AuditRecord]) -> None:
    assert [record for record in records if record.subresource not in SUBRESOURCES] == []


def test_the_proof_would_notice(clusters: Clusters) -> None:
    """The administrator's requests of these tests are what the executor's must never be."""
    assert list(unexpected(clusters["alpha"].audit(user="admin")))
