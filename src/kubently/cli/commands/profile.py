"""``kubently profile``: named API endpoints."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kubently.cli import profiles, sessions, tokens
from kubently.cli.app import output_option
from kubently.cli.render.console import show, table
from kubently.cli.state import State, pass_state
from kubently.errors import NotFoundError


@click.group()
def profile() -> None:
    """Name API endpoints and choose one."""


@profile.command()
@click.argument("name")
@click.option("--url", required=True, help="https://host[:port][/prefix]")
@click.option("--ca", default="", metavar="FILE", help="CA file trusted beside the system's roots.")
@click.option("--use/--no-use", default=True, show_default=True, help="Make it the current one.")
@pass_state
def add(state: State, name: str, *, url: str, ca: str, use: bool) -> None:
    """Add or replace the profile NAME; its API key is read from standard input, so that no shell history keeps it."""
    stdin = sys.stdin
    secret = click.prompt("API key", hide_input=True, err=True) if stdin.isatty() else stdin.readline().strip()
    path = profiles.config_path(state.environ)
    profiles.add(path, name, profiles.Profile(url, secret, ca), use=use)
    tokens.forget(name)
    click.echo(f"saved {name} in {path}", err=True)


@profile.command()
@click.argument("name")
@pass_state
def use(state: State, name: str) -> None:
    """Make NAME the current profile."""
    path, known = _known(state, name)
    profiles.save(path, profiles.Profiles(name, known.profiles))


@profile.command()
@click.argument("name")
@pass_state
def remove(state: State, name: str) -> None:
    """Remove the profile NAME."""
    path, known = _known(state, name)
    tokens.forget(name)
    sessions.forget(sessions.path_of(path, name))
    rest = {n: p for n, p in known.profiles.items() if n != name}
    profiles.save(path, profiles.Profiles("" if known.current == name else known.current, rest))


@profile.command(name="list")
@output_option
@pass_state
def list_profiles(state: State) -> None:
    """List profiles; a star marks the current one."""
    known = profiles.load(profiles.config_path(state.environ))
    if state.is_json:
        state.print_json([{"name": n, "url": p.url, "current": n == known.current} for n, p in known.profiles.items()])
        return
    rows = [("*" if name == known.current else "", name, p.url, p.ca) for name, p in known.profiles.items()]
    show(table(("", "NAME", "URL", "CA"), rows))


def _known(state: State, name: str) -> tuple[Path, profiles.Profiles]:
    """The file and its profiles, of which *name* is one. Raises NotFoundError."""
    path = profiles.config_path(state.environ)
    known = profiles.load(path)
    if name not in known.profiles:
        raise NotFoundError(f"there is no profile {name!r}", hint="kubently profile list shows them")
    return path, known
