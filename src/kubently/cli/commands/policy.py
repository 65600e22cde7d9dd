"""``kubently policy test``."""

from __future__ import annotations

import sys

import click

from kubently.cli.app import output_option
from kubently.cli.render.console import show, table
from kubently.cli.state import REFUSED, State, pass_state
from kubently.schema import PolicyAnswer


@click.group()
def policy() -> None:
    """Say which rule decides about a request."""


class _Flat(click.Command):
    """A command that reads options on both sides of "--", where kubectl's words stand everywhere else."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Drop the dashes."""
        return super().parse_args(ctx, [word for word in args if word != "--"])


@policy.command(cls=_Flat)
@click.argument("cluster")
@click.argument("verb")
@click.argument("resource")
@click.argument("name", default="")
@click.option("-n", "--namespace", default="default", show_default=True, metavar="NAME", help="In this namespace.")
@click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces.")
@output_option
@pass_state
def test(
    state: State, cluster: str, verb: str, resource: str, name: str, *, namespace: str, all_namespaces: bool
) -> None:
    """Say whether you may VERB a RESOURCE of CLUSTER, and who decides; nothing is read.

    VERB is Kubernetes' (get, list, watch, ...), RESOURCE a type as kubectl takes it (po, deployments.apps,
    pods/log) or a path (/healthz), as in: kubently policy test prod -- list secrets -n shop

    Exit codes: 0 allowed, 77 refused.
    """
    about = {"path": resource} if resource.startswith("/") else {"resource": resource, "name": name}
    question = {"verb": verb, "namespace": namespace, "all_namespaces": all_namespaces, **about}
    found = state.api().post(f"/api/v1/clusters/{cluster}/policy-tests", question)
    answer = PolicyAnswer.model_validate(found)
    if state.is_json:
        state.print_json({**found, "allowed": answer.allowed})
    else:
        _report(answer)
    sys.exit(0 if answer.allowed else REFUSED)


def _report(answer: PolicyAnswer) -> None:
    click.echo(f"{'yes' if answer.allowed else 'no'}: {answer.request}")
    rows = [(v.by.value, "yes" if v.allowed else "no", v.rule or "-", v.reason or "-") for v in answer.verdicts]
    show(table(("DECIDED BY", "ALLOWED", "RULE", "REASON"), rows))
