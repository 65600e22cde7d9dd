"""`kubectl logs` of one pod by requests of our own: which container, with which parameters, and what is said."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubently.executor.apiserver import UpstreamError
from kubently.executor.native import golang, statuses
from kubently.executor.native.asking import Asker
from kubently.executor.native.objects import Decoder
from kubently.executor.native.plan import DEFAULT_NAMESPACE
from kubently.executor.native.unsure import Unsure, reading
from kubently.kube.kubectl import KubectlCommand
from kubently.wire import records

Write = Callable[[int, bytes], Awaitable[bool]]
"""Takes output for a channel; false when what came so far was over the limit."""

_KNOWN = frozenset(
    {
        "container",
        "disable-compression",
        "follow",
        "limit-bytes",
        "namespace",
        "previous",
        "since",
        "since-time",
        "tail",
        "timestamps",
    }
)
_POD = re.compile(r"(?:pods?/)?([a-z0-9][a-z0-9.-]{0,252})")
_CONTAINER = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_COUNT = re.compile(r"0|[1-9][0-9]{0,8}")
_SINCE = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?")
_SINCE_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"

KILLED = 137
"""Exit code of a kubectl that was killed because what it follows went on beyond the limit."""


@dataclass(frozen=True, slots=True)
class LogsPlan:
    """What is asked."""

    pod: str
    namespace: str
    container: str
    """Empty: the pod's default one."""
    follow: bool
    query: Mapping[str, str]


def plan_logs(command: KubectlCommand) -> LogsPlan:
    """Read the words and flags. Raises Unsure for what only kubectl knows to do."""
    flags = dict(command.flags)
    if not flags.keys() <= _KNOWN:
        raise Unsure("a flag of kubectl's own")
    words = command.positionals
    match = _POD.fullmatch(words[0]) if words else None
    named = [*words[1:], *(value for name, value in flags.items() if name == "container")]
    if match is None or len(named) > 1 or not all(map(_CONTAINER.fullmatch, named)):
        raise Unsure("another thing than one container of a pod")
    query = {name: "true" for name in ("follow", "previous", "timestamps") if flags.get(name) == "true"}
    query |= _counts(flags) | _since(flags)
    namespace = command.namespace or DEFAULT_NAMESPACE
    return LogsPlan(match[1], namespace, "".join(named), "follow" in query, query)


def _counts(flags: Mapping[str, str]) -> dict[str, str]:
    tail, limit = flags.get("tail", "-1"), flags.get("limit-bytes", "0")
    if not _COUNT.fullmatch(limit) or not (tail == "-1" or _COUNT.fullmatch(tail)):
        raise Unsure("an unusual number")
    asked = {"tailLines": tail if tail != "-1" else "", "limitBytes": limit if limit != "0" else ""}
    return {name: value for name, value in asked.items() if value}


def _since(flags: Mapping[str, str]) -> dict[str, str]:
    since, time = flags.get("since", ""), flags.get("since-time", "")
    if since and time:
        raise Unsure("flags that do not go together")
    if "since" in flags:
        match = _SINCE.fullmatch(since)
        seconds = sum(int(n or 0) * unit for n, unit in zip(match.groups(), (3600, 60, 1), strict=True)) if match else 0
        if not seconds:
            raise Unsure("an unusual duration")
        return {"sinceSeconds": str(seconds)}
    if time:
        return {"sinceTime": _checked_time(time)}
    return {}


def _checked_time(text: str) -> str:
    try:
        if _SINCE_TIME.fullmatch(text) and datetime.fromisoformat(text.removesuffix("Z")).year:
            return text
    except ValueError:
        pass
    raise Unsure("an unusual time")


async def run(plan: LogsPlan, ask: Asker, write: Write) -> int:
    """Ask, write what comes, and return the exit code. Raises Unsure, but never after it wrote something."""
    path = f"/api/v1/namespaces/{plan.namespace}/pods/{plan.pod}"
    answer = await ask.get(path)
    if answer.warnings:
        raise Unsure("a warning")
    body = Decoder().decode(bytes(answer.body))
    if answer.status != 200:
        refusal = await _missing_namespace(plan, ask) or statuses.read(answer.status, body)
        return await _refused(refusal, plan, write)
    with reading():
        choice = _choose(plan, body)
    if choice.problem:
        return await _say(write, [*choice.remarks, choice.problem], 1)
    return await _follow(_Log(plan, f"{path}/log", choice, write), ask)


async def _missing_namespace(plan: LogsPlan, ask: Asker) -> statuses.Refusal | None:
    if plan.namespace == DEFAULT_NAMESPACE:
        return None
    answer = await ask.get(f"/api/v1/namespaces/{plan.namespace}")
    refusal = None if answer.status == 200 else statuses.read(answer.status, Decoder().decode(bytes(answer.body)))
    return refusal if refusal and refusal.is_not_found else None


async def _refused(refusal: statuses.Refusal, plan: LogsPlan, write: Write) -> int:
    if not refusal.is_not_found:
        return await _say(write, [str(refusal)], 1)
    where = golang.quote(plan.namespace)
    return await _say(write, [f"error: error from server (NotFound): {refusal.message} in namespace {where}"], 1)


async def _say(write: Write, lines: list[str], exit_code: int) -> int:
    for line in lines:
        await write(records.STDERR, f"{line}\n".encode())
    return exit_code


# ---- the container


@dataclass(frozen=True, slots=True)
class _Choice:
    """A container, what kubectl remarks about choosing it, and why it is none."""

    container: str
    remarks: tuple[str, ...] = ()
    problem: str = ""


def _choose(plan: LogsPlan, pod: Any) -> _Choice:
    spec, name = pod["spec"], pod["metadata"]["name"]
    main, extra, first = (_names(spec, key) for key in ("containers", "ephemeralContainers", "initContainers"))
    known = [*main, *first, *extra]
    names = ", ".join([*main, *(f"{each} (ephem)" for each in extra), *(f"{each} (init)" for each in first)])
    remarks: list[str] = []
    container = plan.container
    if not container and (preset := pod["metadata"].get("annotations", {}).get(_DEFAULT_CONTAINER)):
        if preset in known:
            container = preset
        else:
            remarks.append(f"Default container name {golang.quote(preset)} not found in pod {name}")
    if not container:
        container = main[0]
        if len(known) > 1:
            remarks.append(f"Defaulted container {golang.quote(container)} out of: {names}")
    problem = "" if container in known else f"error: container {container} is not valid for pod {name} out of: {names}"
    return _Choice(container, tuple(remarks), problem)


def _names(spec: Mapping[str, Any], key: str) -> list[str]:
    return [container["name"] for container in spec.get(key) or ()]


# ---- the log


@dataclass(frozen=True, slots=True)
class _Log:
    plan: LogsPlan
    path: str
    choice: _Choice
    write: Write


class _EnoughError(Exception):
    """What never ends is not counted to its end."""


async def _follow(log: _Log, ask: Asker) -> int:
    """Write the log after the remarks."""
    begun = False

    async def begin() -> None:
        nonlocal begun
        if not begun:
            begun = True
            await _say(log.write, list(log.choice.remarks), 0)

    async def add(piece: bytes) -> None:
        await begin()
        if not await log.write(records.STDOUT, piece) and log.plan.follow:
            raise _EnoughError

    try:
        answer = await ask.stream(log.path, {**log.plan.query, "container": log.choice.container}, add)
    except _EnoughError:
        return KILLED
    except UpstreamError:
        if not begun:
            raise
        # As Go's client says it; the lines so far are out, so that kubectl cannot be asked any more.
        return await _say(log.write, ["unexpected EOF"] * log.plan.follow + ["error: unexpected EOF"], 1)
    if answer.is_success:
        await begin()
        return 0
    if log.plan.follow:
        raise Unsure("kubectl tries again")
    refusal = statuses.read(answer.status, Decoder().decode(bytes(answer.body)))
    await begin()
    return await _say(log.write, [str(refusal)], 1)
