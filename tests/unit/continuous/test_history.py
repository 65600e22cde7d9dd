from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kubently.analyzers import Analyzer, Condition, Report
from kubently.analyzers.resources import CERTIFICATES, PODS, SECRETS
from kubently.continuous.history import MAX_RECORDS, History, News, Observed, Rules, observe
from kubently.schema import Blind, Coverage, Finding, ResourceRef, Severity

START = datetime(2026, 3, 2, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = Rules(tell=Severity.DEGRADED)


def analyzer(code: str, *needs: Any, needs_logs: bool = False) -> Analyzer:
    condition = Condition(code, Severity.OUTAGE, "summary", "what to do")
    return Analyzer(code, needs, (condition,), lambda snapshot: iter(()), needs_logs=needs_logs)


ANALYZERS = (
    analyzer("pod/loop", PODS, needs_logs=True),
    analyzer("ingress/tls", PODS, SECRETS),
    analyzer("cert/late", CERTIFICATES),
)


def finding(code: str = "pod/loop", severity: Severity = Severity.OUTAGE, **more: Any) -> Finding:
    values: dict[str, Any] = {
        "id": code,
        "code": code,
        "severity": severity,
        "title": "it is broken",
        "objects": (ResourceRef(kind="Pod", namespace="shop", name="web"),),
        "evidence": (),
    }
    return Finding(**{**values, **more})


def report(*findings: Finding, symptoms: Sequence[Finding] = (), blind: Sequence[str] = ()) -> Report:
    gaps = tuple(Blind(resource=name, reason="refused") for name in blind)
    return Report(findings, tuple(symptoms), Coverage(objects=1, resources=(), analyzers=(), blind=gaps))


def after(*reports: Report, every: timedelta = MINUTE, rules: Rules = RULES) -> Observed:
    """What the last of several analyses led to."""
    history: History | None = None
    for number, each in enumerate(reports):
        at = START + number * every
        observed = observe(history, each, ANALYZERS, cluster="prod", at=at, rules=rules)
        history = observed.history
    return observed


def only(observed: Observed) -> Any:
    (record,) = observed.history.records
    return record


def test_a_finding_keeps_when_it_was_first_seen() -> None:
    observed = after(report(finding()), report(finding()), report(finding()))

    record = only(observed)
    assert (record.first_seen, record.last_seen) == (START, START + 2 * MINUTE)
    assert record.resolved_at is None
    assert observed.began == ()


def test_an_absence_resolves_only_after_a_while_and_from_when_it_began() -> None:
    gone = report()

    one = after(report(finding()), gone, gone)
    two = after(report(finding()), gone, gone, gone)

    assert only(one).resolved_at is None
    assert only(two).resolved_at == START + MINUTE
    assert two.resolved == (Severity.OUTAGE,)


def test_flapping_resolves_nothing() -> None:
    observed = after(*[report(finding()), report()] * 5, report(finding()))

    assert only(observed).resolved_at is None
    assert only(observed).recurrences == 0


def test_what_comes_back_keeps_its_first_time_and_counts() -> None:
    observed = after(report(finding()), report(), report(), report(), report(finding()))

    record = only(observed)
    assert (record.first_seen, record.began_at) == (START, START + 4 * MINUTE)
    assert record.resolved_at is None
    assert record.recurrences == 1
    assert observed.began == (Severity.OUTAGE,)


@pytest.mark.parametrize(
    ("code", "blind", "is_resolved"),
    [
        ("pod/loop", "pods", False),
        ("pod/loop", "logs shop/web app", False),
        ("pod/loop", "analyzer pod/loop", False),
        ("pod/loop", "logs other/web app", True),
        ("pod/loop", "secrets", True),
        ("ingress/tls", "secrets", False),
        ("ingress/tls", "logs shop/web app", True),
        ("cert/late", "apis", False),
        ("cert/late", "pods", True),
        ("of/nobody", "nothing", False),
    ],
)
def test_an_absence_counts_only_where_it_could_have_been_seen(code: str, blind: str, is_resolved: bool) -> None:
    unseen = report(blind=[blind])

    observed = after(report(finding(code)), unseen, unseen, unseen, unseen) if code != "of/nobody" else _of_nobody()

    assert (only(observed).resolved_at is not None) == is_resolved


def _of_nobody() -> Observed:
    """A finding whose analyzer is gone."""
    before = observe(
        None,
        report(finding("of/nobody")),
        (*ANALYZERS, analyzer("of/nobody", PODS)),
        cluster="prod",
        at=START,
        rules=RULES,
    )
    history = before.history
    for number in range(1, 5):
        observed = observe(history, report(), ANALYZERS, cluster="prod", at=START + number * MINUTE, rules=RULES)
        history = observed.history
    return observed


def test_what_was_never_read_does_not_keep_a_finding_open() -> None:
    observed = after(report(finding("ingress/tls"), blind=["secrets"]), *[report(blind=["secrets"])] * 3)

    assert only(observed).resolved_at is not None


def test_time_of_blindness_does_not_count_as_absence() -> None:
    gone, blind = report(), report(blind=["pods"])

    observed = after(report(finding()), gone, blind, blind, gone, gone)

    assert only(observed).resolved_at is None


def test_webhooks_are_told_once_of_each_change() -> None:
    steps = [
        report(finding(severity=Severity.HYGIENE)),
        report(finding(severity=Severity.OUTAGE)),
        report(finding(severity=Severity.OUTAGE)),
        report(finding(severity=Severity.RISK)),
        *[report()] * 3,
        report(),
    ]

    told = [[event.news for event in after(*steps[: number + 1]).events] for number in range(len(steps))]

    assert told == [[], [News.FOUND], [], [News.SEVERITY_CHANGED], [], [], [News.RESOLVED], []]


def test_webhooks_hear_of_a_cause_and_not_of_its_symptoms() -> None:
    symptom = finding("ingress/tls")
    cause = finding(symptoms=(symptom.id,))

    explained = after(report(cause, symptoms=[symptom]))
    alone = after(report(cause, symptoms=[symptom]), report(symptom))

    assert [event.record.code for event in explained.events] == ["pod/loop"]
    assert [(event.news, event.record.code) for event in alone.events] == [(News.FOUND, "ingress/tls")]
    assert {record.id: record.explained_by for record in explained.history.records} == {
        "pod/loop": "",
        "ingress/tls": "pod/loop",
    }


def test_a_history_is_bounded_and_keeps_the_worst() -> None:
    many = [finding(id=f"h{number:05}", severity=Severity.HYGIENE) for number in range(MAX_RECORDS + 20)]

    observed = after(report(*many), report(finding(), *many))

    assert len(observed.history.records) == MAX_RECORDS
    assert observed.history.not_kept == 21
    assert observed.history.records[0].id == "pod/loop"
    assert observed.began == (Severity.OUTAGE,)


def test_resolved_findings_go_after_a_while() -> None:
    rules = Rules(keep=timedelta(minutes=5))

    observed = after(report(finding()), *[report()] * 10, rules=rules)

    assert observed.history.records == ()


def test_a_gap_is_told() -> None:
    steady = after(report(), report())
    broken = after(report(), report(), every=timedelta(hours=2))

    assert steady.history.unbroken_since == START
    assert broken.history.unbroken_since == START + timedelta(hours=2)


def test_a_history_survives_its_json_and_fields_of_a_later_version() -> None:
    history = after(report(finding())).history
    text = history.model_dump_json().replace('"cluster":"prod",', '"cluster":"prod","later":1,')

    assert History.model_validate_json(text) == history
    assert "later" in text
