"""``kubently analyzers``: to write and try analyzers of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from kubently import analyzers, archive
from kubently.analyzers import Analyzer, LogKey, Snapshot
from kubently.broker import own_analyzers
from kubently.cli.commands import diagnose
from kubently.main.errors import named_errors
from kubently.schema import ClusterDiagnosis, Diagnosis

_FILES = click.Path(exists=True, path_type=Path)


@click.group("analyzers")
def analyzers_group() -> None:
    """Write and try analyzers of your own."""


@analyzers_group.command("list")
@click.argument("files", nargs=-1, type=_FILES)
def list_analyzers(files: tuple[Path, ...]) -> None:
    """List what a diagnosis can report: Kubently's conditions, those of installed packages, and those of FILES."""
    with named_errors():
        known = own_analyzers.load(files)
    own = {item.codes: item.id for item in known if item.is_own}
    for item in known:
        for condition in item.conditions:
            source = f"  ({item.id})" if item.codes in own else ""
            click.echo(f"{condition.severity.value:9} {condition.code:36} {condition.summary}{source}")


@analyzers_group.command("check")
@click.argument("files", nargs=-1, type=_FILES, required=True)
@click.option(
    "--on",
    "picture",
    type=click.Path(exists=True, path_type=Path),
    help="Run them over this archived cluster, and show what they find.",
)
def check(files: tuple[Path, ...], picture: Path | None) -> None:
    """Check FILES that declare analyzers, or folders of them; with --on, see what they say of an archived cluster."""
    with named_errors():
        known = own_analyzers.load(files)
        own = tuple(item for item in known if item.id.startswith("declared "))
        click.echo(f"{len(own)} analyzers: {', '.join(code for item in own for code in item.codes)}", err=True)
        if picture is not None:
            diagnose.report([ClusterDiagnosis(cluster=picture.name, diagnosis=_diagnosed(picture, own))])


def _diagnosed(picture: Path, own: tuple[Analyzer, ...]) -> Diagnosis:
    kept = archive.read(picture)
    snapshot = Snapshot.of(
        (member for members in kept.by_type.values() for member in members),
        read_at=kept.captured_at,
        logs={
            LogKey(key.namespace, key.pod, key.container, key.previous): log.decode(errors="replace")
            for key, log in kept.logs.items()
        },
        extra=tuple(resource for item in own for resource in item.needs),
    )
    report = analyzers.diagnose(snapshot, own)
    return Diagnosis(
        cluster=kept.name,
        read_at=snapshot.read_at,
        findings=report.findings,
        symptoms=report.symptoms,
        coverage=report.coverage,
    )
