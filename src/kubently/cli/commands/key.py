"""``kubently key``: API keys."""

from __future__ import annotations

import click

from kubently.cli.app import output_option
from kubently.cli.render.console import show, table
from kubently.cli.state import State, pass_state


@click.group()
def key() -> None:
    """Make, revoke and list API keys."""


@key.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "operator", "admin"]), default="operator", show_default=True)
@click.option("--cluster", "clusters", multiple=True, metavar="PATTERN", help="Clusters it may see, e.g. 'prod-*' [*].")
@output_option
@pass_state
def create(state: State, name: str, *, role: str, clusters: tuple[str, ...]) -> None:
    """Make the key NAME and print it: viewers list and diagnose, operators also run, admins also manage."""
    body = {"name": name, "role": role, "clusters": clusters or ("*",)}
    made = state.api().post("/api/v1/keys", body)
    if state.is_json:
        state.print_json(made)
        return
    click.echo(made["key"])
    click.echo("this is shown once; use it as KUBENTLY_API_KEY", err=True)


@key.command()
@click.argument("name")
@pass_state
def revoke(state: State, name: str) -> None:
    """Revoke the key NAME; it stops working at once."""
    state.api().delete(f"/api/v1/keys/{name}")
    click.echo(f"revoked {name}", err=True)


@key.command(name="list")
@output_option
@pass_state
def list_keys(state: State) -> None:
    """List keys, without their secrets."""
    found = state.api().get("/api/v1/keys")
    if state.is_json:
        state.print_json(found)
        return
    rows = [(k["name"], k["role"], ",".join(k["clusters"]), k["created_at"][:19]) for k in found]
    show(table(("NAME", "ROLE", "CLUSTERS", "CREATED"), rows))
