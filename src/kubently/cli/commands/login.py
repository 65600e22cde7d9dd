"""``kubently login``, ``logout``, ``whoami`` and ``session``: people and their sessions."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any
from urllib.parse import urlsplit

import click

from kubently.cli import oidc_flows, profiles, sessions, tokens
from kubently.cli.app import output_option
from kubently.cli.render.console import show, table
from kubently.cli.state import State, pass_state
from kubently.client import Api
from kubently.client.identity_provider import IdentityProvider
from kubently.errors import ConflictError, KubentlyError, NotFoundError


@click.command()
@click.option("--url", default="", help="https://host[:port][/prefix] of the API; a profile is made for it.")
@click.option("--profile", "name", default="", metavar="NAME", help="The profile to log in with, or to make.")
@click.option("--device", is_flag=True, help="With a code that you enter in a browser anywhere.")
@click.option("--no-browser", is_flag=True, help="Open no browser; print the address.")
@click.option("--ca", default="", metavar="FILE", help="CA file trusted beside the system's roots.")
@pass_state
def login(state: State, *, url: str, name: str, device: bool, no_browser: bool, ca: str) -> None:
    """Log in by your organisation's OpenID provider.

    The session is kept in the keyring, where there is one, or in a file that only you can read.
    """
    name, chosen = _choose(state, url, name or state.profile, ca)
    settings = profiles.trusting(state.environ, chosen)
    told = Api(chosen.url, "", settings=settings).get("/.well-known/kubently-auth").get("oidc")
    if not told:
        raise NotFoundError(f"{chosen.url} has no OpenID provider", hint="use an API key: kubently profile add")
    provider = IdentityProvider(told["issuer"], told["client_id"], told.get("public_client_secret", ""), settings)
    provider.discover()
    got = _ask(state, provider, " ".join(told["scopes"]), device=device, no_browser=no_browser)
    made = sessions.exchange(chosen.url, got.id_token, got.nonce, settings)
    kept = sessions.Kept(
        url=chosen.url.rstrip("/"),
        issuer=provider.issuer,
        client_id=provider.client_id,
        public_client_secret=told.get("public_client_secret", ""),
        refresh_token=got.refresh_token,
        **sessions.of_answer(made),
    )
    path = profiles.config_path(state.environ)
    where = sessions.save(sessions.path_of(path, name), kept)
    tokens.forget(name)
    if name:
        profiles.add(path, name, chosen, use=True)
    click.echo(
        f"logged in as {made['info']['name'].removeprefix('user:')} until {made['info']['expires_at']}", err=True
    )
    click.echo(f"  the session is kept in the {where}", err=True)


@click.command()
@pass_state
def logout(state: State) -> None:
    """End your session, here and at the API."""
    name = profiles.chosen_name(state.environ, name=state.profile)
    path = sessions.path_of(profiles.config_path(state.environ), name)
    kept = sessions.load(path)
    if kept is None:
        raise NotFoundError("you are not logged in", hint="kubently profile list shows the profiles")
    # First here: whatever the API says, this machine holds nothing afterwards.
    sessions.forget(path)
    tokens.forget(name)
    settings = profiles.trusting(state.environ, profiles.choose(state.environ, name=state.profile, offline=True))
    try:
        Api(kept.url, kept.token, settings=settings).delete(f"/api/v1/sessions/{kept.id}")
    except KubentlyError as error:
        if error.code not in ("session-expired", "not-found", "no-role"):
            click.echo(f"warning: the session {kept.id} was not revoked at {kept.url}: {error.message}", err=True)
    click.echo("logged out", err=True)


@click.command()
@output_option
@pass_state
def whoami(state: State) -> None:
    """Say who you are to the API, and what you may do."""
    found = state.api().get("/api/v1/whoami")
    if state.is_json:
        state.print_json(found)
        return
    how = f"session {found['session']}, until {found['expires_at']}" if found.get("session") else "API key"
    rows = [
        ("name", found["name"]),
        ("role", found["role"]),
        ("clusters", ", ".join(found["clusters"])),
        ("limits", "; ".join(map(_limit, found["limits"])) or "none"),
        ("by", how),
    ]
    show(table(("", ""), rows))


@click.group()
def session() -> None:
    """List and revoke sessions of people who logged in."""


@session.command(name="list")
@output_option
@pass_state
def list_sessions(state: State) -> None:
    """List your sessions; administrators see everybody's."""
    found = state.api().get("/api/v1/sessions")
    if state.is_json:
        state.print_json(found)
        return
    rows = [(s["id"], s["name"], s["created_at"], s["expires_at"], ", ".join(s["groups"])) for s in found]
    show(table(("ID", "NAME", "SINCE", "UNTIL", "GROUPS"), rows))


@session.command()
@click.argument("session_id", metavar="ID")
@pass_state
def revoke(state: State, session_id: str) -> None:
    """End the session ID; what uses it stops working at once."""
    state.api().delete(f"/api/v1/sessions/{session_id}")
    click.echo(f"revoked {session_id}", err=True)


def _choose(state: State, url: str, name: str, ca: str) -> tuple[str, profiles.Profile]:
    """The profile's name (empty: the environment alone) and the endpoint to log in to."""
    known = profiles.load(profiles.config_path(state.environ)).profiles
    if url:
        name = name or urlsplit(url).hostname or "default"
        ca = ca or state.environ.get("KUBENTLY_CA_CERT", "")
        chosen = profiles.Profile(url.rstrip("/"), ca=ca or known.get(name, profiles.Profile("")).ca)
    else:
        name = profiles.chosen_name(state.environ, name=name)
        found = profiles.choose(state.environ, name=name, offline=True)
        chosen = dataclasses.replace(found, key="", ca=ca or found.ca)
    if name in known and known[name].key:
        raise ConflictError(
            f"the profile {name!r} has an API key, which would be used instead of the session",
            hint="name another with --profile, or remove this one: kubently profile remove",
        )
    return name, chosen


def _ask(state: State, provider: IdentityProvider, scopes: str, *, device: bool, no_browser: bool) -> oidc_flows.Tokens:
    def say(text: str) -> None:
        click.echo(text, err=True)

    can_device = provider.has("device_authorization_endpoint")
    if not device and not no_browser and can_device and (why := _without_browser(state)):
        say(f"{why}, so by device code; --no-browser prints an address for a browser on this machine instead")
        device = True
    if device and not can_device:
        raise NotFoundError(f"{provider.issuer} offers no device flow", hint="kubently login --no-browser")
    if device:
        return oidc_flows.by_device(provider, scopes, say=say)
    return oidc_flows.by_browser(provider, scopes, say=say, opens=not no_browser)


def _without_browser(state: State) -> str:
    """Why this machine's browser is not the person's; empty when it may be."""
    if state.environ.get("SSH_CONNECTION"):
        return "this is an SSH session"
    has_display = state.environ.get("DISPLAY") or state.environ.get("WAYLAND_DISPLAY")
    return "" if has_display or not sys.platform.startswith("linux") else "there is no display"


def _limit(limit: dict[str, Any]) -> str:
    parts = [f"{name}: {', '.join(values)}" for name, values in limit.items() if values is not None]
    return " ".join(parts)
