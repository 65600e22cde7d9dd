"""``kubently cluster``: let clusters in, and out."""

from __future__ import annotations

import json
import shlex
from typing import Any

import click

from kubently.cli.app import output_option
from kubently.cli.render.console import show, table
from kubently.cli.state import State, pass_state

CHART = "./deployment/helm/kubently"


@click.group()
def cluster() -> None:
    """Add, reset and remove clusters; block certificates of their executors."""


@cluster.command()
@click.argument("name")
@click.option(
    "--ttl", type=click.FloatRange(1, 720), default=1.0, show_default=True, help="Hours the token may be used."
)
@click.option("--uid", default="", metavar="UID", help="Uid of the cluster's kube-system; no other can use the token.")
@click.option("--namespace", default="kubently", show_default=True, help="Namespace of the executor.")
@click.option("--release", default="kubently-executor", show_default=True, help="Name of the Helm release.")
@click.option("--api-url", default="", help="URL by which the executor reaches the API  [this profile's]")
@click.option("--chart", default=CHART, show_default=True, help="The Helm chart.")
@output_option
@pass_state
def add(
    state: State, name: str, *, ttl: float, uid: str, namespace: str, release: str, api_url: str, chart: str
) -> None:
    """Make a one-time enrolment token for the cluster NAME and print the Secret and Helm command that use it.

    Again for a cluster that is here already: its executor enrols anew where its certificate has ended.
    """
    api = state.api()
    made = api.post(f"/api/v1/clusters/{name}/enrolments", {"ttl_seconds": ttl * 3600, "kube_system_uid": uid})
    secret = _secret(made["token"], namespace, f"{release}-enrolment")
    helm = _helm(name, namespace=namespace, release=release, api_url=api_url or api.url, chart=chart, ca=api.ca_file)
    if state.is_json:
        state.print_json({**made, "secret": secret, "helm": helm})
        return
    click.echo(f"# In the cluster {name}. The token is shown once and good once, until {made['expires_at'][:19]} UTC.")
    click.echo(f"kubectl create namespace {namespace} --dry-run=client -o yaml | kubectl apply -f -")
    click.echo(f"kubectl apply -f - <<'EOF'\n{json.dumps(secret, indent=2)}\nEOF")
    click.echo(shlex.join(helm).replace(" --set", " \\\n  --set"))


@cluster.command()
@click.argument("name")
@pass_state
def reset(state: State, name: str) -> None:
    """Let another cluster take the id NAME: ends its certificates and enrolment tokens, cuts its sessions."""
    state.api().post(f"/api/v1/clusters/{name}/reset")
    click.echo(f"{name} belongs to the next executor that comes; kubently cluster add {name} lets it enrol", err=True)


@cluster.command()
@click.argument("name")
@pass_state
def remove(state: State, name: str) -> None:
    """Forget the cluster NAME, and end its tokens and certificates."""
    state.api().delete(f"/api/v1/clusters/{name}")
    click.echo(f"removed {name}", err=True)


@cluster.command()
@click.argument("fingerprint")
@click.option("--reason", default="", help="Shown to whoever wonders.")
@pass_state
def block(state: State, fingerprint: str, *, reason: str) -> None:
    """Block the certificate with this SHA-256 FINGERPRINT; sessions that came with it are cut at once."""
    blocked = state.api().post("/api/v1/blocked-certificates", {"fingerprint": fingerprint, "reason": reason})
    click.echo(f"blocked {blocked['fingerprint']}", err=True)


@cluster.command()
@click.argument("fingerprint")
@pass_state
def unblock(state: State, fingerprint: str) -> None:
    """Let the certificate with this FINGERPRINT in again."""
    state.api().delete(f"/api/v1/blocked-certificates/{fingerprint}")
    click.echo(f"unblocked {fingerprint}", err=True)


@cluster.command()
@output_option
@pass_state
def blocked(state: State) -> None:
    """List blocked certificates."""
    found = state.api().get("/api/v1/blocked-certificates")
    if state.is_json:
        state.print_json(found)
        return
    show(
        table(("FINGERPRINT", "BY", "AT", "REASON"), [(b["fingerprint"], b["by"], b["at"], b["reason"]) for b in found])
    )


def _secret(token: str, namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {"token": token},
    }


def _helm(name: str, *, namespace: str, release: str, api_url: str, chart: str, ca: str) -> list[str]:
    values = {
        "api.enabled": "false",
        "executor.clusterId": name,
        "executor.apiUrl": api_url,
        "executor.enrolment.existingSecret": f"{release}-enrolment",
    }
    settings = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    if ca:
        settings += ["--set-file", f"executor.tls.caBundle.pem={ca}"]
    return ["helm", "upgrade", "--install", release, chart, "--namespace", namespace, *settings]
