"""What tests caused at the API servers: reads and questions about oneself, nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.testbed.cluster import AuditRecord

READS = frozenset({"get", "list", "watch"})
REVIEWS = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})
SUBRESOURCES = frozenset({"", "status", "scale", "log"})


def unexpected(records: Sequence[AuditRecord]) -> Iterator[AuditRecord]:
    """Those that are neither a read nor one of the three reviews."""
    for record in records:
        if record.verb not in READS and not (record.verb == "create" and record.resource in REVIEWS):
            yield record


def about_secrets(records: Sequence[AuditRecord]) -> list[AuditRecord]:
    """Those that touched a Secret."""
    return [record for record in records if record.resource == "secrets" or "/secrets" in record.uri]


def about_subresources(records: Sequence[AuditRecord]) -> list[AuditRecord]:
    """Those that touched a subresource that nobody may."""
    return [record for record in records if record.subresource not in SUBRESOURCES]


def prove(records: Sequence[AuditRecord]) -> None:
    """Raise AssertionError unless all of them are what they may be."""
    assert list(unexpected(records)) == []
    assert about_secrets(records) == []
    assert about_subresources(records) == []
