"""``kubently cert``: certificates of endpoints and files, and when they end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import click

from kubently import trust
from kubently.cli.app import output_option
from kubently.cli.state import State, pass_state
from kubently.doctor import lifetimes
from kubently.doctor.results import ERRORS, PASSED, WARNINGS, Status
from kubently.errors import ConfigError
from kubently.settings import TrustSettings
from kubently.trust.facts import Certificate

_MAX_BYTES = 1024 * 1024
_WORDS = {Status.PASS: "ok     ", Status.WARNING: "warning", Status.ERROR: "error  "}


@dataclass(frozen=True, slots=True)
class Shown:
    """One target and its chain; empty when it shows none."""

    target: str
    chain: tuple[Certificate, ...]


@click.group()
def cert() -> None:
    """Show and check certificates of endpoints and files."""


@cert.command()
@click.argument("targets", nargs=-1, required=True)
@output_option
@pass_state
def show(state: State, targets: tuple[str, ...]) -> None:
    """Show the chain of each TARGET: HOST, HOST:PORT, a URL or a file. It is read, not verified."""
    found = [_look(state, target) for target in targets]
    _print(state, found, lifetimes.Limits(), _details)
    sys.exit(PASSED if all(shown.chain for shown in found) else ERRORS)


@cert.command()
@click.argument("targets", nargs=-1, required=True)
@click.option("--warn-days", type=click.FloatRange(0), default=21, show_default=True, help="Days left: a warning.")
@click.option("--error-days", type=click.FloatRange(0), default=7, show_default=True, help="Days left: an error.")
@click.option("--fail-on", type=click.Choice(["warning", "error"]), default="error", show_default=True)
@output_option
@pass_state
def check(state: State, targets: tuple[str, ...], *, warn_days: float, error_days: float, fail_on: str) -> None:
    """Say of each TARGET whether its certificates last. Those that live under 90 days are judged by share of life.

    Ends with 0, with 3 when one is over, about to end or not to be seen, with 4 for a warning under --fail-on warning.
    """
    limits = lifetimes.Limits(warn_days, error_days)
    found = [_look(state, target) for target in targets]
    _print(state, found, limits, _lines)
    states = [lifetimes.judge(c, datetime.now(UTC), limits) for shown in found for c in shown.chain]
    if Status.ERROR in states or not all(shown.chain for shown in found):
        sys.exit(ERRORS)
    sys.exit(WARNINGS if fail_on == "warning" and Status.WARNING in states else PASSED)


def _look(state: State, target: str) -> Shown:
    path = Path(target)
    if path.is_file():
        with path.open("rb") as file:
            return Shown(target, trust.read_certificates(file.read(_MAX_BYTES)))
    url = target if "://" in target else f"https://{target}"
    settings = TrustSettings.from_env(state.environ)
    try:
        return Shown(target, trust.presented(url, replace(settings, client_cert=None, client_key=None)))
    except ValueError as error:
        raise ConfigError(f"{target!r} is no host, URL or file", hint="use HOST[:PORT]") from error


Draw = Callable[[Shown, datetime, lifetimes.Limits], Iterator[str]]


def _print(state: State, found: list[Shown], limits: lifetimes.Limits, draw: Draw) -> None:
    now = datetime.now(UTC)
    if state.is_json:
        click.echo(json.dumps([_object(shown, now, limits) for shown in found], indent=2))
        return
    for number, shown in enumerate(found):
        if number and draw is _details:
            click.echo()
        for line in draw(shown, now, limits):
            click.echo(line)


def _details(shown: Shown, now: datetime, limits: lifetimes.Limits) -> Iterator[str]:
    """The chain, all that is known of each certificate."""
    yield shown.target if shown.chain else f"{shown.target}: shows no certificate"
    for depth, c in enumerate(shown.chain):
        yield f'  {depth} "{c.subject}"'
        yield "    issuer   itself" if c.self_signed else f'    issuer   "{c.issuer}"'
        if c.names:
            yield f"    names    {', '.join(c.names)}"
        yield f"    valid    {c.not_before:%Y-%m-%d %H:%M} to {c.not_after:%Y-%m-%d %H:%M} UTC"
        yield f"    left     {_left(c, now)}"
        yield f"    key      {c.key}{f', signed with {c.signature}' if c.signature else ''}"
        yield f"    SHA-256  {c.sha256}"


def _lines(shown: Shown, now: datetime, limits: lifetimes.Limits) -> Iterator[str]:
    """A line a certificate, the judgement first."""
    if not shown.chain:
        yield f"{_WORDS[Status.ERROR]}  {shown.target}  shows no certificate"
    for c in shown.chain:
        yield f'{_WORDS[lifetimes.judge(c, now, limits)]}  {shown.target}  "{c.subject}"  {_left(c, now)}'


def _left(c: Certificate, now: datetime) -> str:
    days = lifetimes.days_left(c, now)
    if days < 0:
        return f"over for {-days:.1f} d"
    return f"{days:.1f} d, {lifetimes.share_left(c, now):.0%} of its life"


def _object(shown: Shown, now: datetime, limits: lifetimes.Limits) -> dict[str, object]:
    return {"target": shown.target, "certificates": [_certificate(c, now, limits) for c in shown.chain]}


def _certificate(c: Certificate, now: datetime, limits: lifetimes.Limits) -> dict[str, object]:
    return {
        "subject": c.subject,
        "issuer": c.issuer,
        "names": list(c.names),
        "notBefore": c.not_before.isoformat(),
        "notAfter": c.not_after.isoformat(),
        "daysLeft": round(lifetimes.days_left(c, now), 2),
        "lifeLeftRatio": round(lifetimes.share_left(c, now), 4),
        "status": lifetimes.judge(c, now, limits).value,
        "sha256": c.sha256,
        "key": c.key,
    }
