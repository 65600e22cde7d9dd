"""``kubently findings``."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode

import click

from kubently.cli import instants
from kubently.cli.app import output_option
from kubently.cli.render import history
from kubently.cli.render.console import show
from kubently.cli.state import State, pass_state
from kubently.schema import FindingsPage, FindingState


@click.command()
@click.argument("clusters", nargs=-1)
@click.option("-n", "--namespace", metavar="NAME", default="", help="Only those about objects in this namespace.")
@click.option(
    "--since",
    metavar="TIME",
    callback=instants.parse,
    help="Only those that began or were resolved since: 2026-01-31T12:00:00Z, or 2h for two hours ago.",
)
@click.option(
    "--state",
    "wanted",
    type=click.Choice([state.value for state in FindingState]),
    help="Which ones; open where --since is not given, else all.",
)
@output_option
@pass_state
def findings(state: State, clusters: tuple[str, ...], *, namespace: str, since: str | None, wanted: str | None) -> None:
    """Show what continuous diagnosis found in CLUSTERS (all that you may see), and when.

    It asks no cluster: what is shown is as old as its last line says. `kubently diagnose` looks now.
    """
    query = [("cluster", cluster) for cluster in clusters]
    query.append(("state", wanted or (FindingState.ALL if since else FindingState.OPEN).value))
    query += [(name, value) for name, value in (("since", since), ("namespace", namespace)) if value]
    answer = state.api().get(f"/api/v1/findings?{urlencode(query)}")
    if state.is_json:
        state.print_json(answer)
        return
    show(*history.page(FindingsPage.model_validate(answer), datetime.now(UTC)))
