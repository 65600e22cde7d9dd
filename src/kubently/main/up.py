"""``kubently up``: API, executors and a first diagnosis in one process on this machine.

Without options its fleet is three archived clusters, each served by a small read-only Kubernetes API behind an ordinary
executor. Everything speaks verified HTTPS with a CA made here; a kubeconfig is touched only when a context is named.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import anyio
import click

from kubently import api, archive, executor, logs, trust
from kubently.cli import profiles
from kubently.cli.commands import diagnose
from kubently.cli.progress import progress
from kubently.client import Api
from kubently.errors import ConfigError, KubentlyError
from kubently.listen import listen
from kubently.main.errors import named_errors
from kubently.main.servers import BACKEND, run_until_signal
from kubently.schema import ClusterId, ClusterState, Role, parse_cluster_id
from kubently.settings import ApiSettings, AuditSettings, ExecutorSettings, LogSettings, TrustSettings, process_environ

_HOST = "127.0.0.1"
_NAMES = ("localhost", _HOST, "::1")
_CONNECT_TIMEOUT = 30.0
_DRAIN_GRACE = 3.0
"""Seconds for open requests at Ctrl-C: a watch in another terminal must not hold up the person who ends all of it."""
PROFILE = "local"


@dataclass(frozen=True, slots=True)
class Member:
    """One cluster of the fleet."""

    cluster: ClusterId
    kubeconfig: Path
    context: str
    labels: dict[str, str]
    is_archived: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    contexts: tuple[str, ...]
    all_contexts: bool
    kubeconfig: Path
    with_archives: bool
    archives: tuple[Path, ...]
    port: int
    state: Path
    diagnose: bool


@click.command()
@click.option("--context", "contexts", multiple=True, metavar="NAME", help="Use this kubeconfig context; repeatable.")
@click.option("--all-contexts", is_flag=True, help="Use every context of the kubeconfig.")
@click.option(
    "--kubeconfig", type=click.Path(path_type=Path), help="Kubeconfig of the contexts [$KUBECONFIG or ~/.kube/config]."
)
@click.option(
    "--archive",
    "archives",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Serve this archived cluster, or support bundle, must-gather or cluster-info dump (folder or .tar.gz);"
    " repeatable.",
)
@click.option("--with-archives", is_flag=True, help="Keep the bundled archived clusters beside contexts or archives.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8443, show_default=True, help="Port of the API; 0 for any."
)
@click.option("--state-dir", type=click.Path(path_type=Path), help="Where CA, key and store are kept.")
@click.option("--diagnose/--no-diagnose", default=True, show_default=True, help="Print a first diagnosis.")
def up(
    contexts: tuple[str, ...],
    *,
    all_contexts: bool,
    kubeconfig: Path | None,
    archives: tuple[Path, ...],
    with_archives: bool,
    port: int,
    state_dir: Path | None,
    diagnose: bool,
) -> None:
    """Run API, executors and a first diagnosis on this machine; Ctrl-C ends all of it."""
    environ = process_environ()
    log = LogSettings.from_env({"KUBENTLY_LOG_LEVEL": "warning", "KUBENTLY_LOG_FORMAT": "console", **environ})
    logs.configure(level=log.level, json_lines=log.json_lines)
    home = Path(environ.get("HOME", "~")).expanduser()
    found = environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    options = Options(
        contexts,
        all_contexts,
        kubeconfig or (Path(found) if found else home / ".kube" / "config"),
        with_archives,
        archives,
        port,
        state_dir or Path(environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "kubently" / "up",
        diagnose,
    )
    with named_errors():
        anyio.run(run_until_signal, lambda stop: run(options, stop), backend_options=BACKEND)
    click.echo("stopped", err=True)


@dataclass(frozen=True, slots=True)
class Running:
    """A fleet on this machine."""

    serving: api.Serving
    url: str
    key: str
    ca: Path
    members: tuple[Member, ...]

    @property
    def client(self) -> Api:
        """A client with the administrator's key."""
        return Api(self.url, self.key, ca=str(self.ca))

    def is_connected(self, cluster: ClusterId) -> bool:
        """Whether the cluster's executor is here."""
        return self.serving.services.fleet.describe(cluster).state is ClusterState.CONNECTED


async def run(options: Options, stop: anyio.Event) -> None:
    """Run until *stop*. Raises ConfigError."""
    async with running(options) as fleet:
        await _first_look(fleet, options, stop)
        _say_what_next(fleet, options.state)
        await stop.wait()


@contextlib.asynccontextmanager
async def running(options: Options) -> AsyncIterator[Running]:
    """API and executors while the block runs; the executors may still be connecting. Raises ConfigError."""
    with _alone(options.state):
        async with _running(options) as fleet:
            yield fleet


@contextlib.asynccontextmanager
async def _running(options: Options) -> AsyncIterator[Running]:
    authority = trust.keep_authority(options.state, "kubently up")
    cert, key = options.state / "tls.crt", options.state / "tls.key"
    with _writing(options.state):
        trust.issue(authority, _NAMES, lifetime=timedelta(days=30)).write(cert, key)
    settings = ApiSettings(
        listen=(_HOST, options.port),
        tls_cert=cert,
        tls_key=key,
        store_url=f"sqlite://{(options.state / 'store.db').absolute()}",
        hosts=_NAMES,
        audit=AuditSettings(folder=options.state / "audit"),
    )
    async with contextlib.AsyncExitStack() as stack:
        members = await _members(options, stack, authority, cert, key)
        serving = await stack.enter_async_context(api.serve(settings, drain_grace=_DRAIN_GRACE))
        url, ca = f"https://localhost:{serving.port}", options.state / "ca.crt"
        api_key = await _api_key(serving, options.state / "api-key")
        _write_kubeconfig(options.state / "kubeconfig", url, ca, api_key, members)
        async with anyio.create_task_group() as tasks:
            stopped = anyio.Event()
            for member in members:
                if member.is_archived:
                    # Its id is a file's name, and the next "support-bundle" may well be of another cluster.
                    await serving.services.fleet.reset(member.cluster)
                token = await _executor_token(serving, member.cluster)
                tasks.start_soon(_run_executor, _executor_settings(member, url, ca, token, options.state), stopped)
            yield Running(serving, url, api_key, ca, tuple(members))
            stopped.set()


async def _run_executor(settings: ExecutorSettings, stop: anyio.Event) -> None:
    await executor.run(settings, stop, alone=False, drain_grace=_DRAIN_GRACE)


# ---------------------------------------------------------------------- the fleet


async def _members(
    options: Options, stack: contextlib.AsyncExitStack, authority: trust.Pair, cert: Path, key: Path
) -> list[Member]:
    members: list[Member] = []
    if options.contexts or options.all_contexts:
        names = options.contexts or tuple(executor.contexts(options.kubeconfig))
        members += [Member(_cluster_id(name), options.kubeconfig, name, {}) for name in names]
    folders = list(options.archives)
    if options.with_archives or not (members or folders):
        folders += archive.bundled()
    for folder in folders:
        members.append(await _serve_archive(folder, stack, authority, cert, key, options.state))
    ids = [member.cluster for member in members]
    if len(set(ids)) != len(ids):
        raise ConfigError(f"two clusters would be named alike: {', '.join(sorted(ids))}", hint="rename a context")
    return members


async def _serve_archive(
    folder: Path, stack: contextlib.AsyncExitStack, authority: trust.Pair, cert: Path, key: Path, state: Path
) -> Member:
    with progress(f"reading {folder}"):  # a must-gather of thousands of pods takes a while: YAML is slow
        loaded = archive.read(folder)
    token = secrets.token_urlsafe(32)
    app = archive.create_app(loaded, token=token)
    port = await stack.enter_async_context(listen(app, (_HOST, 0), cert=cert, key=key, date_header=False, grace=1))
    cluster = _cluster_id(loaded.name)
    path = state / "archives" / f"{cluster}.kubeconfig"
    with _writing(path):
        path.parent.mkdir(exist_ok=True, mode=0o700)
    _write_private(path, json.dumps(_kubeconfig([(cluster, f"https://{_HOST}:{port}")], authority.cert, token)))
    if loaded.layout:
        _say_what_is_left_out(cluster, loaded, path.with_suffix(".left-out.txt"))
    return Member(cluster, path, "", dict(loaded.labels), is_archived=True)


def _cluster_id(name: str) -> ClusterId:
    """A context's name as a cluster id: cloud tools put slashes, colons and dots into them."""
    plain = "".join(c if c.isalnum() and c.isascii() else "-" for c in name.lower()).strip("-")
    return parse_cluster_id("-".join(filter(None, plain.split("-")))[-63:].strip("-"))


def _executor_settings(member: Member, url: str, ca: Path, token: str, state: Path) -> ExecutorSettings:
    return ExecutorSettings(
        api_url=url,
        cluster_id=member.cluster,
        token=token,
        labels=member.labels,
        trust=TrustSettings(ca_cert=str(ca), ca_exclusive=True),
        kubeconfig=member.kubeconfig,
        context=member.context,
        state_dir=state / "executors" / member.cluster,
    )


async def _api_key(serving: api.Serving, path: Path) -> str:
    """The administrator's key of this machine, made at the first start and kept in a file of mode 0600."""
    keys = serving.services.keys
    with contextlib.suppress(OSError):
        known = path.read_text().strip()
        if await keys.authenticate(known):
            return known
    if any(info.name == "up" for info in await keys.all()):
        await keys.revoke("up")
    _, secret = await keys.create("up", Role.ADMIN)
    _write_private(path, secret)
    return secret


async def _executor_token(serving: api.Serving, cluster: ClusterId) -> str:
    """A token for this run."""
    tokens = serving.services.tokens
    if await tokens.is_known(cluster):
        await tokens.revoke(cluster)
    return await tokens.create(cluster)


# ---------------------------------------------------------------------- what a person sees


async def _first_look(fleet: Running, options: Options, stop: anyio.Event) -> None:
    names = [member.cluster for member in fleet.members]
    path = profiles.config_path(process_environ())
    profiles.add(path, PROFILE, profiles.Profile(fleet.url, fleet.key, str(fleet.ca)), use=False)
    click.echo(
        f"API at {fleet.url}, {len(names)} {'cluster' if len(names) == 1 else 'clusters'}: {', '.join(names)}", err=True
    )
    with progress("waiting for the executors"), anyio.move_on_after(_CONNECT_TIMEOUT):
        while not stop.is_set() and not all(map(fleet.is_connected, names)):  # noqa: ASYNC110  # a few polls at start
            await anyio.sleep(0.05)
    connected = [name for name in names if fleet.is_connected(name)]
    for name in names:
        if name not in connected and not stop.is_set():
            click.echo(f"error: {name} did not connect within {_CONNECT_TIMEOUT:.0f} s", err=True)
    if not options.diagnose or not connected or stop.is_set():
        return
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancel_at, stop, tasks.cancel_scope)
        await _diagnose(fleet, connected)
        tasks.cancel_scope.cancel()


async def _diagnose(fleet: Running, clusters: Sequence[str]) -> None:
    try:
        results = await anyio.to_thread.run_sync(
            diagnose.collect, fleet.client, {"clusters": clusters}, abandon_on_cancel=True
        )
    except KubentlyError as error:
        click.echo(f"error: {error}", err=True)
        return
    diagnose.report(results)
    sys.stdout.flush()


async def _cancel_at(stop: anyio.Event, scope: anyio.CancelScope) -> None:
    await stop.wait()
    scope.cancel()


def _say_what_next(fleet: Running, state: Path) -> None:
    first = fleet.members[0].cluster
    click.echo(
        "\n".join(
            (
                "",
                "The API stays up until Ctrl-C. In another terminal:",
                f"  kubently --profile {PROFILE} run {first} -- get pods -A",
                f"  kubently --profile {PROFILE} run --all -- get nodes",
                f"  kubently --profile {PROFILE} diagnose",
                f"  kubectl --kubeconfig {state / 'kubeconfig'} --context kubently-{first} get pods -A",
                f"  {fleet.url}/docs    (CA: {fleet.ca})",
            )
        ),
        err=True,
    )


def _say_what_is_left_out(cluster: ClusterId, loaded: archive.Archive, path: Path) -> None:
    objects = sum(map(len, loaded.by_type.values()))
    logs = "1 log" if len(loaded.logs) == 1 else f"{len(loaded.logs)} logs"
    held = f"{cluster}: a {loaded.title}: {objects} objects, {logs}"
    if not loaded.left_out_count:
        path.unlink(missing_ok=True)
        click.echo(held, err=True)
        return
    more = loaded.left_out_count - len(loaded.left_out)
    _write_private(path, "\n".join((*loaded.left_out, *([f"and {more} more"] if more else ()), "")))
    click.echo(f"{held}; {loaded.left_out_count} left out, see {path}", err=True)


# ---------------------------------------------------------------------- files


def _write_kubeconfig(path: Path, url: str, ca: Path, key: str, members: Sequence[Member]) -> None:
    clusters = [(f"kubently-{m.cluster}", f"{url}/clusters/{m.cluster}/k8s") for m in members]
    _write_private(path, json.dumps(_kubeconfig(clusters, ca.read_bytes(), key), indent=2))


def _kubeconfig(clusters: Sequence[tuple[str, str]], ca: bytes, token: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": clusters[0][0],
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": _base64(ca)}}
            for name, server in clusters
        ],
        "users": [{"name": "kubently", "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "kubently"}} for name, _ in clusters],
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold *folder*: a second run on it would take the executors' tokens from the first. Raises ConfigError."""
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"another kubently up uses {folder}", hint="stop it, or give this one another --state-dir"
            ) from error
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{error.filename or path} cannot be written: {error.strerror}", hint="choose another --state-dir"
        ) from error


def _write_private(path: Path, text: str) -> None:
    with _writing(path), open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
