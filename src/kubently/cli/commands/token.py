"""``kubently token``: executor tokens."""

from __future__ import annotations

import click

from kubently.cli.app import output_option
from kubently.cli.render.console import show, table
from kubently.cli.state import State, pass_state


@click.group()
def token() -> None:
    """Make, rotate, revoke and list executor tokens: one cluster each."""


def _show(state: State, made: dict[str, str]) -> None:
    if state.is_json:
        state.print_json(made)
        return
    click.echo(made["token"])
    click.echo(
        f"this is shown once; give it to the executor of {made['cluster']} as KUBENTLY_TOKEN, "
        f"with KUBENTLY_CLUSTER_ID={made['cluster']} and KUBENTLY_API_URL={state.api().url}",
        err=True,
    )


@token.command()
@click.argument("cluster")
@output_option
@pass_state
def create(state: State, cluster: str) -> None:
    """Make the token of CLUSTER and print it."""
    _show(state, state.api().post(f"/api/v1/clusters/{cluster}/tokens"))


@token.command()
@click.argument("cluster")
@output_option
@pass_state
def rotate(state: State, cluster: str) -> None:
    """Make a second token of CLUSTER; the present one stays valid until `token revoke --older`."""
    _show(state, state.api().post(f"/api/v1/clusters/{cluster}/tokens?rotate=true"))


@token.command()
@click.argument("cluster")
@click.option("--older", is_flag=True, help="Only the older of two.")
@pass_state
def revoke(state: State, cluster: str, *, older: bool) -> None:
    """Revoke the tokens of CLUSTER; sessions that use them are cut at once."""
    state.api().delete(f"/api/v1/clusters/{cluster}/tokens" + ("?older_only=true" if older else ""))
    click.echo(f"revoked the {'older token' if older else 'tokens'} of {cluster}", err=True)


@token.command(name="list")
@output_option
@pass_state
def list_tokens(state: State) -> None:
    """List tokens, without their secrets, and what is weak about them."""
    found = state.api().get("/api/v1/tokens")
    if state.is_json:
        state.print_json(found)
        return
    rows = [
        (t["cluster"], str(t["count"]), "hashed" if t["hashed"] else "clear", t["source"], "; ".join(t["warnings"]))
        for t in found
    ]
    show(table(("CLUSTER", "VALID", "STORED", "SOURCE", "WARNINGS"), rows))
