"""The root command. Subcommands are imported when they are used: start-up time is a feature."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

import click

from kubently import __version__
from kubently.cli.state import INTERRUPTED, State, fail, pass_state
from kubently.errors import KubentlyError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "login": ("kubently.cli.commands.login:login", "Log in by your organisation's OpenID provider."),
    "logout": ("kubently.cli.commands.login:logout", "End your session."),
    "whoami": ("kubently.cli.commands.login:whoami", "Say who you are to the API."),
    "clusters": ("kubently.cli.commands.clusters:clusters", "List the clusters that you can ask."),
    "run": ("kubently.cli.commands.run:run", "Run a read-only kubectl command on one cluster or many."),
    "top": ("kubently.cli.commands.top:top", "Watch what the API does: fleet, rates, latencies, limits."),
    "diagnose": ("kubently.cli.commands.diagnose:diagnose", "Say what is wrong in clusters, and why."),
    "findings": ("kubently.cli.commands.findings:findings", "Show what continuous diagnosis found, and when."),
    "doctor": ("kubently.cli.commands.doctor:doctor", "Say why the API cannot be reached, and what to do."),
    "cert": ("kubently.cli.commands.cert:cert", "Show certificates and say when they end."),
    "kubeconfig": ("kubently.cli.commands.kubeconfig:kubeconfig", "Set up your own kubectl for clusters."),
    "kubectl": ("kubently.cli.commands.kubeconfig:kubectl", "Run your own kubectl once against a cluster."),
    "credential": ("kubently.cli.commands.kubeconfig:credential", "Print a token for kubectl."),
    "policy": ("kubently.cli.commands.policy:policy", "Say which rule decides about a request."),
    "cluster": ("kubently.cli.commands.cluster:cluster", "Add, reset and remove clusters; block certificates."),
    "token": ("kubently.cli.commands.token:token", "Make, rotate, revoke and list executor tokens."),
    "key": ("kubently.cli.commands.key:key", "Make, revoke and list API keys."),
    "session": ("kubently.cli.commands.login:session", "List and revoke people's sessions."),
    "audit": ("kubently.cli.commands.audit:audit", "Read, verify and export the audit log."),
    "profile": ("kubently.cli.commands.profile:profile", "Name API endpoints and choose one."),
    "completion": ("kubently.cli.commands.completion:completion", "Print a shell completion script."),
}
"""Name, where it lives, and its line in the help, which is thereby shown without importing it."""


class LazyGroup(click.Group):
    """A group whose commands are imported by name."""

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return [*self.lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command where it is one of ours."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help's list from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.lazy.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run, and turn our errors into a sentence and an exit code."""
        try:
            return super().invoke(ctx)
        except KubentlyError as error:
            fail(error)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


WELCOME = """\
Kubently sees into every Kubernetes cluster through one TLS endpoint, read-only.

  kubently up                         try it here, with archived clusters
  kubently up --context NAME          the same with a cluster of your kubeconfig
  kubently clusters                   list the clusters of the API that you use
  kubently run CLUSTER -- get pods -A run a read-only kubectl command
  kubently diagnose                   say what is wrong, and why
  kubently --help                     everything else
"""


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="kubently")
@click.option("--profile", metavar="NAME", help="Which configured API to use.")
@pass_state
@click.pass_context
def root(ctx: click.Context, state: State, profile: str | None) -> None:
    """See into many Kubernetes clusters through one TLS endpoint, read-only."""
    state.profile = profile or ""
    if ctx.invoked_subcommand is None:
        click.echo(WELCOME, nl=False)


def output_option(command: Any) -> Any:
    """``--output text|json``, on every command that prints results."""

    def store(ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
        ctx.ensure_object(State).output = value
        return value

    option = click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        expose_value=False,
        callback=store,
        help="How results are printed.",
    )
    return option(command)
