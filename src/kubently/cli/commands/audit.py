"""``kubently audit``."""

from __future__ import annotations

import time

import click

from kubently.cli.app import output_option
from kubently.cli.render.console import show, table
from kubently.cli.state import State, pass_state


@click.command()
@click.option("-n", "--last", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many records.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new records as they come.")
@output_option
@pass_state
def audit(state: State, *, last: int, follow: bool) -> None:
    """Read the audit log: who asked what where, and how it ended."""
    api, position = state.api(), -last
    while True:
        page = api.get(f"/api/v1/audit?after={position}&limit={last if position < 0 else 1000}")
        _show(state, page["records"])
        if not follow:
            return
        position = page["position"]
        time.sleep(1)


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
