"""``kubently kubeconfig`` and ``kubently kubectl``: people's own kubectl through Kubently."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import yaml

from kubently.cli import credential as plugin
from kubently.cli import kubeconfigs, profiles
from kubently.cli.state import State, pass_state
from kubently.errors import ConfigError, InvalidRequestError


@click.command()
@click.argument("clusters", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All clusters that you may see.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="File to write [$KUBECONFIG or ~/.kube/config].")
@click.option("--minify", is_flag=True, help="Print a kubeconfig with nothing else to stdout; write no file.")
@click.option("--remove", is_flag=True, help="Take the contexts out again.")
@pass_state
def kubeconfig(
    state: State, clusters: tuple[str, ...], *, everything: bool, kubeconfig: Path | None, minify: bool, remove: bool
) -> None:
    """Write a context kubently-CLUSTER for each of CLUSTERS into your kubeconfig.

    kubectl then asks `kubently-credential` for a token that lasts an hour; no long-lived secret is written.
    """
    if bool(clusters) == everything:
        raise InvalidRequestError("name clusters, or give --all", hint="kubently clusters lists them")
    path = kubeconfig or kubeconfigs.default_path(state.environ)
    if remove:
        with kubeconfigs.changing(path) as config:
            config.update(kubeconfigs.without(config, clusters))
        click.echo(f"removed from {path}", err=True)
        return
    known = [cluster["id"] for cluster in state.api().get("/api/v1/clusters")]
    if missing := [cluster for cluster in clusters if cluster not in known]:
        raise InvalidRequestError(f"there is no cluster {missing[0]!r} that you may see", hint="kubently clusters")
    ours = _entries(state, list(clusters) or known)
    if minify:
        click.echo(yaml.safe_dump(ours, sort_keys=False), nl=False)
        return
    with kubeconfigs.changing(path) as config:
        config.update(kubeconfigs.merge(config, ours))
    names = ", ".join(context["name"] for context in ours["contexts"])
    click.echo(f"wrote {names} to {path}", err=True)
    click.echo(f"  try: kubectl --context {ours['contexts'][0]['name']} get pods -A", err=True)


@click.command()
@click.option("--cluster", required=True, metavar="ID", help="The cluster that the token is for.")
@pass_state
def credential(state: State, *, cluster: str) -> None:
    """Print a token that lasts an hour, in the form that kubectl takes from a credential plugin.

    The contexts that `kubently kubeconfig` writes run `kubently-credential`, which does the same and starts sooner.
    """
    plugin.show(state.profile, cluster)


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("cluster")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_state
def kubectl(state: State, cluster: str, arguments: tuple[str, ...]) -> None:
    """Run the kubectl of this machine against CLUSTER, as in: kubently kubectl prod-eu -- get pods -w."""
    beside = Path(sys.executable).with_name("kubectl")
    binary = shutil.which("kubectl", path=state.environ.get("PATH")) or (str(beside) if beside.exists() else "")
    if not binary:
        raise ConfigError("there is no kubectl on PATH", hint="install it, or use kubently run, which needs none here")
    words = arguments[1:] if arguments[:1] == ("--",) else arguments
    with tempfile.TemporaryDirectory(prefix="kubently-") as folder:
        path = Path(folder, "config")
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(_entries(state, [cluster])))
        code = subprocess.call([binary, *words], env={**state.environ, "KUBECONFIG": str(path)})
    sys.exit(code)


def _entries(state: State, clusters: list[str]) -> kubeconfigs.Config:
    if not clusters:
        raise InvalidRequestError("there is no cluster that you may see", hint="kubently token create CLUSTER")
    profile = profiles.choose(state.environ, name=state.profile, offline=True)
    from_environment = bool(state.environ.get("KUBENTLY_URL"))
    name = "" if from_environment else profiles.chosen_name(state.environ, name=state.profile)
    return kubeconfigs.entries(profile, name, clusters, plugin=_plugin())


def _plugin() -> list[str]:
    """The credential plugin by its whole path: kubectl may run where this environment is not on PATH."""
    beside = Path(sys.executable).with_name("kubently-credential")
    if os.access(beside, os.X_OK):
        return [str(beside)]
    return [sys.executable, "-m", "kubently.cli.credential"]
