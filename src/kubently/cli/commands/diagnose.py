"""``kubently diagnose``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from kubently.cli import accepted, instants
from kubently.cli.progress import progress
from kubently.cli.render import findings as render
from kubently.cli.render import history, reports
from kubently.cli.render.console import show
from kubently.cli.state import FINDINGS, UNAVAILABLE, State, pass_state
from kubently.client import Api
from kubently.schema import ClusterDiagnosis, Severity


def _json(results: Sequence[ClusterDiagnosis]) -> str:
    return json.dumps([r.model_dump(mode="json", exclude_none=True) for r in results], indent=2, ensure_ascii=False)


_FORMATS: Mapping[str, Callable[[Sequence[ClusterDiagnosis]], str]] = {
    "json": _json,
    "sarif": reports.sarif,
    "junit": reports.junit,
    "markdown": reports.markdown,
}


@click.command()
@click.argument("clusters", nargs=-1)
@click.option("-l", "--selector", metavar="LABELS", help="Diagnose the clusters with these labels, e.g. env=prod.")
@click.option("-n", "--namespace", metavar="NAME", default="", help="Only this namespace.")
@click.option(
    "--since",
    metavar="TIME",
    callback=instants.parse,
    help="Say what is new and what was resolved since 2026-01-31T12:00:00Z, or 2h for two hours ago; needs continuous "
    "diagnosis.",
)
@click.option(
    "--fail-on",
    type=click.Choice([s.value for s in Severity] + ["never"]),
    default=Severity.DEGRADED.value,
    show_default=True,
    help="Exit with 1 when there is a finding of this severity or a worse one.",
)
@click.option(
    "--baseline",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Leave out what stands in this diagnosis, printed once with -o json.",
)
@click.option(
    "--suppress",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML list of what is not to be reported: code, reason; object, cluster, until where wanted.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", *_FORMATS]),
    default="text",
    show_default=True,
    help="How results are printed.",
)
@pass_state
def diagnose(
    state: State,
    clusters: tuple[str, ...],
    *,
    selector: str | None,
    namespace: str,
    since: str | None,
    fail_on: str,
    baseline: Path | None,
    suppress: Path | None,
    output: str,
) -> None:
    """Say what is wrong in CLUSTERS (all that you may see when none is named), most important first.

    Exit codes: 0 nothing of the given severity, 1 findings, 69 a cluster could not be read.
    """
    body = {
        "clusters": clusters,
        "selector": selector or "",
        "all": not clusters and not selector,
        "namespace": namespace,
    }
    if since:
        body["since"] = since
    known = accepted.read_baseline(baseline) if baseline else frozenset()
    suppressions = accepted.read_suppressions(suppress) if suppress else []
    results, left_out = accepted.without(collect(state.api(), body), known=known, suppressions=suppressions)
    if output in _FORMATS:
        click.echo(_FORMATS[output](results))
    else:
        report(results)
    for sentence in left_out:
        click.echo(sentence, err=True)
    sys.exit(_exit_code(results, fail_on))


def collect(api: Api, body: object) -> list[ClusterDiagnosis]:
    """Ask for a diagnosis and wait for all clusters, with progress on a terminal."""
    results = []
    with progress("diagnosing") as note:
        for line in api.stream("/api/v1/diagnoses", body, timeout=180):
            results.append(ClusterDiagnosis.model_validate(line))
            note(f"{len(results)} done, last {results[-1].cluster}")
    return sorted(results, key=lambda result: result.cluster)


def report(results: list[ClusterDiagnosis]) -> None:
    """Print findings on stdout, and clusters that could not be read on stderr."""
    diagnoses = [result.diagnosis for result in results if result.diagnosis]
    show(*render.fleet(diagnoses))
    for diagnosis in diagnoses:
        if diagnosis.since is not None:
            show(*history.since(diagnosis.cluster, diagnosis.since, datetime.now(UTC)))
    for result in results:
        if result.problem:
            click.echo(f"error: {result.cluster}: {result.problem.get('detail')}", err=True)
            if result.problem.get("hint"):
                click.echo(f"  try: {result.problem['hint']}", err=True)


def _exit_code(results: list[ClusterDiagnosis], fail_on: str) -> int:
    found = [f.severity for r in results if r.diagnosis for f in r.diagnosis.findings]
    if fail_on != "never" and any(severity.rank <= Severity(fail_on).rank for severity in found):
        return FINDINGS
    return UNAVAILABLE if any(map(_is_unread, results)) else 0


def _is_unread(result: ClusterDiagnosis) -> bool:
    return result.diagnosis is None or render.saw_nothing(result.diagnosis)
