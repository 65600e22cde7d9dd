"""``kubently key``: API keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import click
import yaml

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
@click.option("-n", "--namespace", "namespaces", multiple=True, metavar="NAME", help="Read only this namespace.")
@click.option("--resource", "resources", multiple=True, help="Read only this, e.g. pods, pods/log, deployments.apps.")
@click.option("--object", "names", multiple=True, metavar="NAME", help="Read only objects of this name.")
@click.option(
    "--limits",
    "file",
    type=click.File(),
    help="YAML: a list of limits of which one must let a request in, each with clusters, namespaces, resources, names.",
)
@output_option
@pass_state
def create(
    state: State,
    name: str,
    *,
    role: str,
    clusters: tuple[str, ...],
    namespaces: tuple[str, ...],
    resources: tuple[str, ...],
    names: tuple[str, ...],
    file: TextIO | None,
) -> None:
    """Make the key NAME and print it: viewers list and diagnose, operators also run, admins also manage.

    With --namespace, --resource or --object the key reads only what all of these let in; --limits says more.
    """
    only = {"namespaces": namespaces, "resources": resources, "names": names}
    body = {"name": name, "role": role, "clusters": clusters or ("*",), "limits": _limits(only, file)}
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
    rows = [(k["name"], k["role"], ",".join(k["clusters"]), _described(k), k["created_at"][:19]) for k in found]
    show(table(("NAME", "ROLE", "CLUSTERS", "LIMITS", "CREATED"), rows))


def _limits(only: Mapping[str, Sequence[str]], file: TextIO | None) -> Any:
    given = {field: words for field, words in only.items() if words}
    if file is None:
        return [given] if given else []
    if given:
        raise click.UsageError(f"--limits stands alone: write {', '.join(given)} into the file")
    try:
        return yaml.safe_load(file)
    except yaml.YAMLError as error:
        raise click.UsageError(f"the limits cannot be read: {error}") from error


def _described(key: Mapping[str, Any]) -> str:
    """What a key's limits are about, in a few words."""
    fields = ("clusters", "namespaces", "resources", "names")
    parts = [
        " ".join(f"{field}={','.join(limit[field])}" for field in fields if limit.get(field) not in (None, ["*"]))
        for limit in key.get("limits", ())
    ]
    return "; ".join(part or "everything" for part in parts) or "-"
