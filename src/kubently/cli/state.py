"""What every command needs: the endpoint, the output format, and one way to end."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import click

from kubently.cli import profiles
from kubently.errors import KubentlyError
from kubently.settings import process_environ

if TYPE_CHECKING:
    from kubently.client import Api

# Exit codes from sysexits.h where it has one, so that they never look like those of kubectl (1) or the shell (126-).
USAGE, UNAVAILABLE, INTERNAL, TEMPORARY, REFUSED, TIMED_OUT = 64, 69, 70, 75, 77, 124
FINDINGS, INTERRUPTED = 1, 130

_EXIT_CODES: Mapping[str, int] = {
    "command-invalid": USAGE,
    "request-invalid": USAGE,
    "config-invalid": USAGE,
    "tls-source": USAGE,
    "tls-client-pair": USAGE,
    "not-found": USAGE,
    "conflict": USAGE,
    "enrolment-token-used": USAGE,
    "certificate-request-refused": USAGE,
    "cluster-not-found": USAGE,
    "cluster-conflict": USAGE,
    "idempotency-conflict": USAGE,
    "not-watched": USAGE,
    "redirected": USAGE,
    "not-kubently": USAGE,
    "executor-offline": UNAVAILABLE,
    "api-draining": UNAVAILABLE,
    "too-many-executors": UNAVAILABLE,
    "api-unreachable": UNAVAILABLE,
    "proxy-unreachable": UNAVAILABLE,
    "proxy-refused": UNAVAILABLE,
    "proxy-answer-invalid": UNAVAILABLE,
    "proxy-auth-required": REFUSED,
    "store-unavailable": UNAVAILABLE,
    "audit-unavailable": UNAVAILABLE,
    "tunnel-closed": UNAVAILABLE,
    "bad-gateway": UNAVAILABLE,
    "command-unknown": UNAVAILABLE,
    "too-many-commands": TEMPORARY,
    "unauthenticated": REFUSED,
    "id-token-invalid": REFUSED,
    "session-expired": REFUSED,
    "no-role": REFUSED,
    "login-refused": REFUSED,
    "login-late": TIMED_OUT,
    "oidc-unavailable": UNAVAILABLE,
    "permission-denied": REFUSED,
    "enrolment-token-invalid": REFUSED,
    "executor-certificate-invalid": REFUSED,
    "executor-certificate-expired": REFUSED,
    "certificate-blocked": REFUSED,
    "client-certificate-missing": REFUSED,
    "command-denied": REFUSED,
    "kubernetes-denied": REFUSED,
    "command-timeout": TIMED_OUT,
}


def exit_code(code: str) -> int:
    """The exit code for an error's code; documented in the CLI reference."""
    # Whatever keeps us from the API: its own slug for each row of docs/howto/trust.md.
    default = UNAVAILABLE if code.startswith(("tls-", "dial-")) else INTERNAL
    return _EXIT_CODES.get(code, default)


@dataclass(slots=True)
class State:
    """Options of the root command."""

    profile: str = ""
    output: str = "text"
    environ: Mapping[str, str] = field(default_factory=process_environ)

    def api(self, *, timeout: float = 60.0) -> Api:
        """The API to talk to; *timeout* is seconds of silence that are accepted. Raises ConfigError."""
        from kubently.client import Api

        chosen = profiles.choose(self.environ, name=self.profile)
        settings = profiles.trusting(self.environ, chosen)
        if not settings.verify and chosen.url.startswith("https"):
            click.echo(profiles.UNVERIFIED, err=True)
        return Api(chosen.url, chosen.key, timeout=timeout, settings=settings)

    @property
    def is_json(self) -> bool:
        """Whether results are printed as JSON."""
        return self.output == "json"

    def print_json(self, value: Any) -> None:
        """Print one result."""
        click.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None))


pass_state = click.make_pass_decorator(State, ensure=True)


def fail(error: KubentlyError) -> NoReturn:
    """Say what happened and what to try, and exit."""
    click.echo(f"error: {error.message} [{error.code}]", err=True)
    if error.hint:
        click.echo(f"  try: {error.hint}", err=True)
    sys.exit(exit_code(error.code))
