"""How findings are drawn: golden texts for two widths of a terminal, and piped.

``python -m tests.unit.cli.test_findings`` writes them anew; look at the difference before you commit it.
"""

from __future__ import annotations

import contextlib
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kubently.cli.render import console, findings
from kubently.schema import Blind, Coverage, Diagnosis, Evidence, Finding, Remedy, ResourceRef, Severity

GOLDEN = Path(__file__).parent / "golden"

WEB = ResourceRef(group="apps", kind="Deployment", namespace="shop", name="web")
PODS = tuple(ResourceRef(kind="Pod", namespace="shop", name=f"web-5d9c7b6f4-{n}") for n in "abcdefg")


def _finding(**more: Any) -> Finding:
    values = {
        "id": "0123456789ab",
        "code": "pod/oom-killed",
        "severity": Severity.OUTAGE,
        "title": "Deployment shop/web: container web was killed at its memory limit of 128Mi, 43 restarts",
        "objects": (WEB, *PODS),
        "evidence": (
            Evidence(source="pod shop/web-5d9c7b6f4-a status.containerStatuses[0].lastState", quote="exit code 137"),
            Evidence(source="log shop/web-5d9c7b6f4-a container web", quote="first line\n  second line"),
        ),
        "severity_reason": "0 of 7 pods of Deployment shop/web are ready; needed by Service shop/web",
        "remedy": Remedy(
            text="Raise the limit if the use is right",
            commands=("kubectl set resources deployment/web -c web --limits=memory=SIZE -n shop",),
        ),
        "next_checks": ("top pod -n shop --containers", "read the release notes of web"),
        "symptoms": ("ffffffffffff",),
    }
    return Finding.model_validate({**values, **more})


def _diagnosis(cluster: str = "prod", *found: Finding, **more: Any) -> Diagnosis:
    coverage = Coverage(
        objects=139,
        resources=("pods",),
        analyzers=("pod-restarts",),
        blind=(Blind(resource="secrets", reason="forbidden"),),
    )
    values = {
        "cluster": cluster,
        "read_at": datetime(2026, 1, 2, tzinfo=UTC),
        "findings": found,
        "coverage": coverage,
        "seconds": 0.512,
    }
    return Diagnosis.model_validate({**values, **more})


SYMPTOM = _finding(
    id="ffffffffffff",
    code="service/no-ready-endpoints",
    title="Service shop/web has no ready endpoints: none of 7 selected pods is ready",
    symptoms=(),
)
FLEET = [
    _diagnosis("prod-eu", _finding(), symptoms=(SYMPTOM,)),
    _diagnosis(
        "staging",
        _finding(
            id="aaaaaaaaaaaa",
            code="workload/scaled-to-zero",
            severity=Severity.RISK,
            title="Deployment shop/web has no replicas, and Service shop/web depends on it",
            objects=(WEB,),
            evidence=(Evidence(source="Deployment shop/web spec.replicas", quote="0"),),
            next_checks=("get deployment web -n shop",),
            symptoms=(),
        ),
    ),
    _diagnosis("quiet"),
]


def _drawn(diagnoses: list[Diagnosis], *, width: int) -> str:
    out = Console(file=io.StringIO(), width=width, highlight=False, markup=False, color_system=None)
    out.print(*findings.fleet(diagnoses), sep="\n")
    assert isinstance(out.file, io.StringIO)
    return "".join(f"{line.rstrip()}\n" for line in out.file.getvalue().splitlines())


def test_what_several_clusters_have_in_common_is_told_once() -> None:
    drawn = _drawn([_diagnosis(name, _finding()) for name in ("a", "b", "c")], width=100)

    assert drawn.count("pod/oom-killed") == 1
    assert "also in" in drawn and "b, c" in drawn


@pytest.mark.parametrize("width", [60, 100])
def test_findings_on_a_terminal(width: int) -> None:
    drawn = _drawn(FLEET, width=width)

    assert drawn == (GOLDEN / f"findings-{width}.txt").read_text()
    assert max(map(len, drawn.splitlines())) <= width


def test_findings_piped(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    console.show(*findings.fleet(FLEET))

    assert capsys.readouterr().out == (GOLDEN / "findings-piped.txt").read_text()


def test_worst_come_first_over_all_clusters() -> None:
    mild = _diagnosis("a", _finding(id="a" * 12, severity=Severity.HYGIENE, title="mild"))
    bad = _diagnosis("b", _finding(title="bad"))

    drawn = _drawn([mild, bad], width=100)

    assert drawn.index("bad") < drawn.index("mild")


def test_words_of_the_cluster_are_not_markup() -> None:
    drawn = _drawn([_diagnosis("a", _finding(title="[red]x[/red] [link=http://evil]y[/link]"))], width=100)

    assert "[red]x[/red] [link=http://evil]y[/link]" in drawn


def test_healthy_and_unread_clusters_are_told_apart() -> None:
    unread = Coverage(objects=0, resources=(), analyzers=("pods",), blind=(Blind(resource="pods", reason="forbidden"),))

    drawn = _drawn([_diagnosis("fine"), _diagnosis("unread", coverage=unread)], width=100)

    assert "fine: nothing wrong in 139 objects" in drawn
    assert "unread: nothing could be read in 0 objects" in drawn


def test_why_something_was_not_seen_is_said_once() -> None:
    gaps = tuple(Blind(resource=f"things{n:02}", reason=f"reason {n:02}") for n in range(12))
    blind = (Blind(resource="secrets", reason="a policy"), Blind(resource="pods", reason="a policy"), *gaps)
    coverage = Coverage(objects=1, resources=("nodes",), analyzers=(), blind=blind)

    drawn = _drawn([_diagnosis("b", coverage=coverage), _diagnosis("a", coverage=coverage)], width=100)

    assert drawn.count("not seen: pods, secrets in a, b: a policy\n") == 1
    assert "not seen: things08 in a, b: reason 08\n" in drawn
    assert "reason 09" not in drawn
    assert drawn.endswith("not seen: 3 more reasons, which -o json shows\n")


@pytest.mark.parametrize(
    ("check", "typed"),
    [
        ("get pods -n shop", "kubently run prod -- get pods -n shop"),
        ("rollout history deployment web", "kubently run prod -- rollout history deployment web"),
        ("ask the owner", "ask the owner"),
        ('get "unclosed', 'get "unclosed'),
        ("", ""),
    ],
)
def test_checks_become_something_to_type(check: str, typed: str) -> None:
    assert findings.command("prod", check) == typed


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for columns in (60, 100):
        (GOLDEN / f"findings-{columns}.txt").write_text(_drawn(FLEET, width=columns))
    with (GOLDEN / "findings-piped.txt").open("w") as file, contextlib.redirect_stdout(file):
        console.show(*findings.fleet(FLEET))
