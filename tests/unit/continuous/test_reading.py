"""Who may read what of a history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kubently.continuous.history import Kept
from kubently.continuous.reading import Wanted, in_order, visible
from kubently.schema import ClusterId, FindingRecord, FindingState, Limit, Principal, ResourceRef, Role, Severity

AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
PROD = ClusterId("prod")


def kept(name: str, *namespaces: str, **more: Any) -> Kept:
    objects = tuple(ResourceRef(kind="Pod", namespace=namespace, name=name) for namespace in namespaces)
    values = {
        "cluster": "prod",
        "id": name,
        "code": "pod/loop",
        "severity": Severity.OUTAGE,
        "title": name,
        "objects": objects,
        "first_seen": AT,
        "began_at": AT,
        "last_seen": AT,
    }
    return Kept(**{**values, **more})


RECORDS = (
    kept("own", "shop"),
    kept("others", "bank"),
    kept("both", "shop", "bank"),
    kept("node", ""),
    kept("nothing"),
    kept("effect", "shop", explained_by="others"),
)


@pytest.mark.parametrize(
    ("limits", "seen"),
    [
        ((), ["own", "others", "both", "node", "nothing", "effect"]),
        ((Limit(namespaces=("shop",)),), ["own", "effect"]),
        ((Limit(namespaces=("shop",)), Limit(namespaces=("bank",))), ["own", "others", "both", "effect"]),
        ((Limit(clusters=("test",)),), []),
        ((Limit(clusters=("test",)), Limit(namespaces=("shop",))), ["own", "effect"]),
        ((Limit(resources=("pods",)),), []),
        ((Limit(namespaces=("shop",), resources=("pods",)),), []),
        ((Limit(names=("own",)),), []),
        ((Limit(clusters=("prod",)),), ["own", "others", "both", "node", "nothing", "effect"]),
    ],
)
def test_a_key_sees_what_its_limits_wholly_let_in(limits: tuple[Limit, ...], seen: list[str]) -> None:
    principal = Principal(name="key:some", role=Role.VIEWER, limits=limits)

    assert [record.id for record in visible(RECORDS, principal, PROD)] == seen


def test_the_id_of_a_hidden_cause_is_not_told() -> None:
    principal = Principal(name="key:some", role=Role.VIEWER, limits=(Limit(namespaces=("shop",)),))

    effect = next(record for record in visible(RECORDS, principal, PROD) if record.id == "effect")

    assert effect.explained_by == "hidden"


def test_what_only_the_keeper_needs_is_not_told() -> None:
    principal = Principal(name="key:some", role=Role.VIEWER)

    (record,) = visible([kept("own", "shop", blind=("secrets",), is_told=True)], principal, PROD)

    assert type(record) is FindingRecord


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), ["open", "old"]),
        (Wanted(FindingState.RESOLVED), ["done"]),
        (Wanted(FindingState.ALL), ["open", "old", "done"]),
        (Wanted(FindingState.ALL, since=AT), ["open", "done"]),
        (Wanted(FindingState.ALL, namespace="bank"), ["old"]),
    ],
)
def test_findings_are_chosen_by_state_time_and_namespace(wanted: Wanted, found: list[str]) -> None:
    before = AT - timedelta(hours=1)
    records = (
        kept("open", "shop"),
        kept("old", "bank", began_at=before, first_seen=before),
        kept("done", "shop", began_at=before, resolved_at=AT),
    )

    assert [record.id for record in records if wanted.has(record)] == found


def test_the_worst_come_first_and_what_is_resolved_last() -> None:
    records = [
        kept("done-before", resolved_at=AT),
        kept("risk", severity=Severity.RISK),
        kept("done", resolved_at=AT + timedelta(minutes=1)),
        kept("outage"),
    ]

    assert [record.id for record in in_order(records)] == ["outage", "risk", "done", "done-before"]
