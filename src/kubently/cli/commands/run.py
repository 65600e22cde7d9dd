"""``kubently run``: a read-only kubectl command on one cluster or many."""

from __future__ import annotations

import base64
import contextlib
import itertools
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from kubently.cli.answered import Answered
from kubently.cli.app import output_option
from kubently.cli.progress import progress
from kubently.cli.state import State, exit_code, pass_state
from kubently.errors import InvalidRequestError

_FOLLOWS = frozenset({"-f", "--follow", "-w", "--watch", "--watch-only", "--follow=true", "--watch=true"})
_LONG = 3600.0
_ENDINGS = {"timed-out": "was killed at its time-out", "cancelled": "was cancelled"}


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--all", "everything", is_flag=True, help="Ask all clusters that you may see.")
@click.option("-l", "--selector", metavar="LABELS", help="Ask the clusters with these labels, e.g. env=prod.")
@click.option("-t", "--timeout", type=click.FloatRange(min=0.1, max=_LONG), help="Seconds until it is killed [60].")
@click.option("--idempotency-key", metavar="KEY", help="Asked again with the same key, it is answered, not run again.")
@click.option(
    "--resume",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Ask the clusters only that have not answered in FILE yet, and add their answers to it.",
)
@output_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[CLUSTER...] -- ARGUMENTS...")
@pass_state
def run(
    state: State,
    words: tuple[str, ...],
    *,
    everything: bool,
    selector: str | None,
    timeout: float | None,
    idempotency_key: str | None,
    resume: Path | None,
) -> None:
    """Run a read-only kubectl command in clusters, as `kubently run prod-eu -- get pods -n shop`.

    The exit code is the command's own; with several clusters it is the first one that is not 0. Kubently's own failures
    have 64 and above.
    """
    clusters, argv = split_words(words, many=everything or bool(selector))
    body: dict[str, Any] = {"argv": argv, "timeout": timeout or (_LONG if _FOLLOWS & set(argv) else 60.0)}
    if everything or selector or len(clusters) > 1:
        target = {"all": True} if everything else {"selector": selector} if selector else {"clusters": clusters}
        sys.exit(_run_many(state, body | target) if resume is None else _go_on(state, body, target, resume))
    if resume is not None:
        raise InvalidRequestError("--resume is for several clusters", hint="use it with --all, --selector or names")
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    sys.exit(_run_one(state, clusters[0], body, headers))


def split_words(words: tuple[str, ...], *, many: bool) -> tuple[list[str], list[str]]:
    """Tell clusters from the command: the words before ``--``, or the first word. Raises InvalidRequestError."""
    if "--" in words:
        cut = words.index("--")
        clusters, argv = list(words[:cut]), list(words[cut + 1 :])
    else:
        clusters, argv = ([], list(words)) if many else (list(words[:1]), list(words[1:]))
    if many and clusters:
        raise InvalidRequestError("name clusters, or use --all or --selector, not both")
    if not argv or (not many and not clusters):
        raise InvalidRequestError("a cluster and a command are needed", hint="kubently run prod-eu -- get pods -n shop")
    return clusters, argv


def _run_one(state: State, cluster: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> int:
    path = f"/api/v1/clusters/{cluster}/commands"
    outcome: dict[str, Any] = {}
    if state.is_json:
        # One answer at the end, later than the command's own time-out by what the API allows beyond it.
        outcome = state.api(timeout=body["timeout"] + 15).post(path, body, headers=headers)
        state.print_json(outcome)
        return _code(outcome)
    with contextlib.closing(state.api().stream(path, body, headers=headers)) as events:
        with progress(f"waiting for {cluster}"):
            first: dict[str, Any] = next(events, {})
        for event in itertools.chain([first], events):
            _write(event)
            outcome = event.get("outcome") or outcome
    return _report(cluster, outcome)


def _go_on(state: State, body: Mapping[str, Any], target: Mapping[str, Any], file: Path) -> int:
    """Ask those of *target* that have not answered yet, and say who is left."""
    answered = Answered(file, body["argv"])
    wanted = _names(state, target)
    left = [cluster for cluster in wanted if cluster not in answered.clusters]
    code = _run_many(state, {**body, "clusters": left}, answered) if left else 0
    missing = [cluster for cluster in wanted if cluster not in answered.clusters]
    click.echo(f"{len(wanted) - len(missing)} of {len(wanted)} clusters have answered", err=True)
    if missing:
        names = ", ".join(missing[:10]) + (" …" if len(missing) > 10 else "")
        click.echo(f"not yet: {names}; the same command with --resume {file} asks them again", err=True)
    return code


def _names(state: State, target: Mapping[str, Any]) -> list[str]:
    if "clusters" in target:
        return list(target["clusters"])
    query = f"?selector={quote(target['selector'])}" if "selector" in target else ""
    return [cluster["id"] for cluster in state.api().get(f"/api/v1/clusters{query}")]


def _run_many(state: State, body: Mapping[str, Any], answered: Answered | None = None) -> int:
    outcomes: dict[str, dict[str, Any]] = {}
    with contextlib.closing(state.api().stream("/api/v1/commands", body)) as events, _Waiting() as waiting:
        blocks: dict[str, list[Mapping[str, Any]]] = {}
        for event in events:
            if "clusters" in event:
                waiting.expect(event["clusters"])
                continue
            cluster = event["cluster"]
            blocks.setdefault(cluster, []).append(event)
            if "outcome" not in event:
                continue
            outcomes[cluster] = event["outcome"]
            if answered is not None:
                answered.note(cluster, event["outcome"])
            waiting.done(cluster, partial(_show, state, cluster, blocks.pop(cluster)))
        missing = waiting.missing()
    for cluster in missing:
        click.echo(f"{cluster}: no answer came", err=True)
    codes = [code for outcome in outcomes.values() if (code := _code(outcome))]
    return codes[0] if codes else exit_code("api-unreachable") if missing else 0


def _show(state: State, cluster: str, events: list[Mapping[str, Any]]) -> None:
    """Print one cluster's whole answer."""
    outcome = events[-1]["outcome"]
    if state.is_json:
        texts = {
            name: b"".join(_bytes(e, name) for e in events).decode(errors="replace") for name in ("stdout", "stderr")
        }
        state.print_json({**outcome, **texts})
        return
    click.echo(click.style(f"=== {cluster}", bold=True))
    for event in events:
        _write(event)
    _report(cluster, outcome)


def _write(event: Mapping[str, Any]) -> None:
    for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
        if data := _bytes(event, name):
            stream.flush()
            stream.buffer.write(data)
            stream.buffer.flush()


def _bytes(event: Mapping[str, Any], name: str) -> bytes:
    if f"{name}_base64" in event:
        return base64.b64decode(event[f"{name}_base64"])
    return str(event.get(name, "")).encode()


def _report(cluster: str, outcome: Mapping[str, Any]) -> int:
    """Say on stderr what the output does not say by itself, and give the exit code."""
    error = outcome.get("error")
    if error:
        click.echo(f"error: {cluster}: {error.get('detail')} [{error.get('code')}]", err=True)
        if error.get("hint"):
            click.echo(f"  try: {error['hint']}", err=True)
    elif outcome.get("ending") != "exited":
        click.echo(
            f"error: {cluster}: the command {_ENDINGS.get(str(outcome.get('ending')), 'was broken off')}", err=True
        )
    return _code(outcome)


def _code(outcome: Mapping[str, Any]) -> int:
    if outcome.get("error"):
        return exit_code(str(outcome["error"].get("code")))
    if outcome.get("exit_code") is not None:
        return int(outcome["exit_code"])
    return exit_code("command-timeout" if outcome.get("ending") == "timed-out" else "internal")


class _Waiting:
    """A line on the terminal that names who has not answered yet, shown after a second."""

    def __init__(self) -> None:
        self._left: list[str] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._draw_often, daemon=True)

    def __enter__(self) -> _Waiting:
        if sys.stderr.isatty():
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        with self._lock:
            self._clear()

    def expect(self, clusters: list[str]) -> None:
        self._left = list(clusters)

    def done(self, cluster: str, show: Callable[[], None]) -> None:
        with self._lock:
            self._clear()
            self._left.remove(cluster)
            show()

    def missing(self) -> list[str]:
        return list(self._left)

    def _draw_often(self) -> None:
        while not self._stopped.wait(1):
            with self._lock:
                if self._left and not self._stopped.is_set():
                    names = ", ".join(self._left[:6]) + (" …" if len(self._left) > 6 else "")
                    click.echo(f"\r\x1b[Kwaiting for {len(self._left)}: {names}", err=True, nl=False)

    def _clear(self) -> None:
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", err=True, nl=False)
