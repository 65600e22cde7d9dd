"""``kubently clusters``."""

from __future__ import annotations

import click

from kubently.cli.app import output_option
from kubently.cli.render import clusters as render
from kubently.cli.render.console import show
from kubently.cli.state import State, pass_state
from kubently.schema import Cluster, parse_cluster_id


@click.command()
@click.argument("cluster", default="")
@output_option
@pass_state
def clusters(state: State, cluster: str) -> None:
    """List the clusters that you can ask, with their state, or show one CLUSTER in detail."""
    if cluster:
        _show_one(state, cluster)
        return
    found = state.api().get("/api/v1/clusters")
    if state.is_json:
        state.print_json(found)
    elif found:
        show(render.clusters([Cluster.model_validate(c) for c in found]))
    else:
        click.echo("no cluster has connected yet; kubently token create CLUSTER makes a token for one", err=True)


def _show_one(state: State, cluster: str) -> None:
    found = state.api().get(f"/api/v1/clusters/{parse_cluster_id(cluster)}")
    if state.is_json:
        state.print_json(found)
        return
    for line in render.details(Cluster.model_validate(found)):
        click.echo(line)
