"""``kubently audit``."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import click

from kubently.cli import instants
from kubently.cli.app import output_option
from kubently.cli.render.console import show, table
from kubently.cli.state import FINDINGS, State, pass_state
from kubently.client import Api
from kubently.journal import verify as chains


def _anchors(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
    """Sequence numbers and hashes."""
    matches = [re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", value) for value in values]
    if not all(matches):
        raise click.BadParameter(
            "it is SEQUENCE:HASH of a line, as the API's log tells of its audit head", ctx, parameter
        )
    return tuple((int(match[1]), match[2]) for match in matches if match)


@click.group(invoke_without_command=True)
@click.option("-n", "--last", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many records.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new records as they come.")
@click.option("--cluster", help="Only of this cluster.")
@click.option("--principal", help="Only of this caller, as key:ci or user:ann@example.com.")
@click.option("--action", help="Only this: command, kubernetes, diagnose, login, token.create, ...")
@click.option("--outcome", help='Only what ended so, or begins so: "exited", "exited 1", command-denied, interrupted.')
@click.option("--request-id", help="Only of this request.")
@click.option("--since", metavar="TIME", callback=instants.parse, help="From this time on, or since so long: 2h.")
@click.option("--until", metavar="TIME", callback=instants.parse, help="Before this time.")
@output_option
@pass_state
def audit(state: State, /, *, last: int, follow: bool, **filters: str | None) -> None:
    """Read the audit log: who asked what where, and how it ended."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    api, position = state.api(), -last
    wanted = {name: value for name, value in filters.items() if value}
    while True:
        query = urlencode({"after": position, "limit": last if position < 0 else 1000, **wanted})
        page = api.get(f"/api/v1/audit?{query}")
        _show(state, page["records"])
        if not follow:
            return
        position = page["position"]
        time.sleep(1)


@audit.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--api", "by_api", is_flag=True, help="Verify what the API's store has, of all replicas.")
@click.option(
    "--anchor",
    "anchors",
    multiple=True,
    metavar="SEQUENCE:HASH",
    callback=_anchors,
    help="A line that must be there; repeatable.",
)
@output_option
@pass_state
def verify(state: State, paths: tuple[Path, ...], *, by_api: bool, anchors: tuple[tuple[int, str], ...]) -> None:
    """Say whether audit lines are all there and as they were written.

    PATHS are journals, folders of journals, or files of exported lines. Exit code 1: a chain is broken, or an anchor is
    not there.
    """
    if not paths and not by_api:
        raise click.UsageError("name a journal or a file, or use --api")
    verdicts = [verdict for path in paths for verdict in chains.verify_path(path, anchors=anchors)]
    if by_api:
        lines = ((f"position {position}", raw.encode()) for position, raw in _lines(state.api(), 0))
        verdicts += chains.verify(lines, ordered=False, anchors=anchors)
    missing = [anchor for anchor in anchors if not any(anchor in verdict.found for verdict in verdicts)]
    if state.is_json:
        state.print_json([verdict.as_dict() for verdict in verdicts])
    else:
        for verdict in verdicts:
            click.echo(_sentence(verdict))
    for sequence, digest in missing:
        click.echo(f"anchor {sequence}:{digest[:12]}... is not there: the end of its chain was cut off", err=True)
    if missing or not verdicts or not all(verdict.holds for verdict in verdicts):
        sys.exit(FINDINGS)


@audit.command()
@click.option("--after", default=0, type=click.IntRange(0), help="Position to go on from, as a run before told.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines as they come.")
@pass_state
def export(state: State, *, after: int, follow: bool) -> None:
    """Print the lines of all replicas' journals as they were written, one JSON object each.

    `kubently audit verify FILE` verifies them. The position to go on from goes to stderr.
    """
    api, position = state.api(), after
    try:
        while True:
            for reached, raw in _lines(api, position):
                click.echo(raw)
                position = reached
            if not follow:
                return
            time.sleep(1)
    finally:
        click.echo(f"position {position}", err=True)


def _lines(api: Api, position: int) -> Iterator[tuple[int, str]]:
    """Lines behind a position, each with the position of its page's end."""
    while True:
        page = api.get(f"/api/v1/audit/lines?after={position}&limit=1000")
        if not page["lines"]:
            return
        position = page["position"]
        for raw in page["lines"]:
            yield position, raw


def _sentence(verdict: chains.Verdict) -> str:
    name = f"replica {verdict.replica}" if verdict.replica else "unknown replica"
    if verdict.broken is not None:
        return f"BROKEN  {name}: {verdict.broken.where}: {verdict.broken.reason}"
    notes = [
        "" if verdict.is_from_the_beginning else f"its first {verdict.first - 1} lines are not among these",
        f"{verdict.repaired} torn ends were cut off" if verdict.repaired else "",
        f"{verdict.interrupted} requests were interrupted" if verdict.interrupted else "",
        f"{len(verdict.unended)} requests have not ended" if verdict.unended else "",
    ]
    told = "".join(f"; {note}" for note in notes if note)
    return f"holds   {name}: lines {verdict.first} to {verdict.last}, head {verdict.head}{told}"


def _show(state: State, records: list[dict[str, str]]) -> None:
    if state.is_json:
        for record in records:
            state.print_json(record)
    elif records:
        rows = [
            (_at(r["at"]), r["event"], r["principal"], r["cluster"], r["action"], r.get("outcome") or "", r["what"])
            for r in records
        ]
        show(table(("AT", "EVENT", "WHO", "CLUSTER", "ACTION", "OUTCOME", "WHAT"), rows))


def _at(instant: str) -> str:
    """Without year and fractions, which JSON has: the argument list needs the room."""
    return instant[5:19].replace("T", " ")
