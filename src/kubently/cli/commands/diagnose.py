"""``kubently diagnose``."""

from __future__ import annotations

import sys

import click

from kubently.cli.app import output_option
from kubently.cli.progress import progress
from kubently.cli.render import findings as render
from kubently.cli.render.console import show
from kubently.cli.state import FINDINGS, UNAVAILABLE, State, pass_state
from kubently.client import Api
from kubently.schema import ClusterDiagnosis, Severity


@click.command()
@click.argument("clusters", nargs=-1)
@click.option("-l", "--selector", metavar="LABELS", help="Diagnose the clusters with these labels, e.g. env=prod.")
@click.option("-n", "--namespace", metavar="NAME", default="", help="Only this namespace.")
@click.option(
    "--fail-on",
    type=click.Choice([s.value for s in Severity] + ["never"]),
    default=Severity.DEGRADED.value,
    show_default=True,
    help="Exit with 1 when there is a finding of this severity or a worse one.",
)
@output_option
@pass_state
def diagnose(state: State, clusters: tuple[str, ...], *, selector: str | None, namespace: str, fail_on: str) -> None:
    """Say what is wrong in CLUSTERS (all that you may see when none is named), most important first.

    Exit codes: 0 nothing of the given severity, 1 findings, 69 a cluster could not be read.
    """
    body = {
        "clusters": clusters,
        "selector": selector or "",
        "all": not clusters and not selector,
        "namespace": namespace,
    }
    results = collect(state.api(), body)
    if state.is_json:
        state.print_json([result.model_dump(mode="json", exclude_none=True) for result in results])
    else:
        report(results)
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
    show(*render.fleet([result.diagnosis for result in results if result.diagnosis]))
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
