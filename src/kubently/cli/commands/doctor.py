"""``kubently doctor``: why executor or person and API do not come together."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO
from urllib.parse import unquote, urlsplit

import click

from kubently import doctor as checks
from kubently.cli import profiles
from kubently.cli.state import State, pass_state
from kubently.doctor import render, results
from kubently.errors import ConfigError
from kubently.settings import TrustSettings

_FORMATS = {"json": render.as_json, "junit": render.as_junit}
_CATEGORIES = tuple(dict.fromkeys(check.category for check in checks.CHECKS))
_PASSWORDS = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "KUBENTLY_STORE")
_SECRETS = (
    "KUBENTLY_TOKEN",
    "KUBENTLY_API_KEY",
    "KUBENTLY_ENROLMENT_TOKEN",
    "KUBENTLY_STORE_PASSWORD",
    "KUBENTLY_STORE_SENTINEL_PASSWORD",
)


@click.command()
@click.option("--url", "urls", multiple=True, help="URL of an API; may be given often  [this profile's]")
@click.option("--values", multiple=True, type=click.Path(path_type=Path), help="A values file; may be given often.")
@click.option("--ca", default="", help="CA file or folder, as KUBENTLY_CA_CERT.")
@click.option("--token-file", type=click.File(), help="File of an executor's token; - is stdin.")
@click.option("--cluster", default="", help="The cluster of that token.")
@click.option("--only", default="", metavar="CATEGORY,...", help=f"Of {', '.join(_CATEGORIES)}.")
@click.option("--skip", multiple=True, metavar="ID", help="Leave a check out; may be given often.")
@click.option("--hold", type=click.FloatRange(0, 120), default=20, show_default=True, help="Seconds of silence to try.")
@click.option("--wait", type=click.FloatRange(0, 3600), default=0, metavar="SECONDS", help="Repeat until no error.")
@click.option("-o", "--output", type=click.Choice(["text", "json", "junit"]), default="text", show_default=True)
@click.option("--fail-on", type=click.Choice(["warning", "error"]), default="error", show_default=True)
@pass_state
def doctor(
    state: State,
    *,
    urls: tuple[str, ...],
    values: tuple[Path, ...],
    ca: str,
    token_file: TextIO | None,
    cluster: str,
    only: str,
    skip: tuple[str, ...],
    hold: float,
    wait: float,
    output: str,
    fail_on: str,
) -> None:
    """Look, a step at a time, at all that stands between here and the API, and say what to do.

    Ends with 0 when all passed, 1 for a bug of ours, 2 for a wrong call, 3 with an error, 4 with a warning under
    --fail-on warning.
    """
    if any(urlsplit(url).scheme not in ("http", "https") for url in urls):
        raise click.UsageError("--url must be http:// or https://")
    token = token_file.read(64 * 1024).strip() if token_file else ""
    subjects = [
        _subject(state, url=url, ca=ca, token=token, cluster=cluster, values=values, hold=hold)
        for url in dict.fromkeys(url.rstrip("/") for url in urls or ("",))
    ]
    examine(subjects, only=only, skip=skip, wait=wait, output=output, fail_on=fail_on)


def examine(
    subjects: Sequence[checks.Subject],
    *,
    only: str,
    skip: tuple[str, ...],
    wait: float,
    output: str,
    fail_on: str,
    separate: bool = True,
    catalogue: Sequence[checks.Check] = checks.CHECKS,
) -> None:
    """Run the checks, show what they find and end the process. *separate* URLs are not to accept the same token."""
    chosen = tuple(filter(None, only.split(",")))
    if unknown := set(chosen) - {check.category for check in catalogue}:
        raise click.UsageError(f"there is no category {', '.join(sorted(unknown))}")
    if unknown := set(skip) - {check.id for check in catalogue}:
        raise click.UsageError(f"there is no check {', '.join(sorted(unknown))}")
    report = checks.run_until(
        lambda: checks.run_each(catalogue, subjects, only=chosen, skip=skip),
        wait=wait,
    )
    report = checks.shared(report) if separate else report
    hidden = [text for s in subjects for text in secrets_of(s.environ, s.token, s.key, s.certificate, s.private_key)]
    _show(render.clean(report, hidden), output)
    sys.exit(report.exit_code(fail_on_warning=fail_on == "warning"))


def _subject(
    state: State, *, url: str, ca: str, token: str, cluster: str, values: tuple[Path, ...], hold: float
) -> checks.Subject:
    try:
        settings = TrustSettings.from_env(state.environ)
        profile = profiles.Profile(url, ca=ca) if url else _profile(state)
    except ConfigError as error:
        raise click.UsageError(f"{error.message} [{error.code}]") from error
    settings = dataclasses.replace(settings, ca_cert=ca or profile.ca or settings.ca_cert)
    key = "" if url and not state.environ.get("KUBENTLY_API_KEY") else profile.key
    return checks.Subject(
        url=profile.url.rstrip("/"),
        trust=settings,
        environ=state.environ,
        token=token,
        cluster=cluster,
        key=key or (state.environ.get("KUBENTLY_API_KEY", "") if url else ""),
        values=values,
        hold=hold,
    )


def _profile(state: State) -> profiles.Profile:
    """The profile's, or none: values files can be looked at without."""
    configured = state.environ.get("KUBENTLY_URL") or profiles.chosen_name(state.environ, name=state.profile)
    return profiles.choose(state.environ, name=state.profile) if configured else profiles.Profile("")


def secrets_of(environ: Mapping[str, str], *credentials: str) -> Iterator[str]:
    """What may never be printed: credentials, and the passwords of proxies, encoded or not."""
    yield from credentials
    yield from (environ.get(name, "") for name in _SECRETS)
    for name in (*_PASSWORDS, *map(str.lower, _PASSWORDS)):
        user, _, password = environ.get(name, "").rpartition("@")[0].rpartition("//")[2].partition(":")
        yield from (password, unquote(password)) if user else ()


def _show(report: results.Report, output: str) -> None:
    if output in _FORMATS:
        click.echo(_FORMATS[output](report))
        return
    is_unicode = "utf" in (sys.stdout.encoding or "").lower()
    colour = sys.stdout.isatty() and "NO_COLOR" not in click.get_current_context().ensure_object(State).environ
    click.echo(render.as_text(report, unicode=is_unicode, colour=colour), nl=False, color=colour)
