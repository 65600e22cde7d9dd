"""Container logs: which container, which lines, and what kubelet says where there are none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubently.archive import answers, asked, format
from kubently.kube import objects

_STAMPED = re.compile(
    rb"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})) ?(.*)", re.S
)

# A stream that follows has no end of its own; this is longer than any client waits.
FOLLOW_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class _Options:
    """The query of a log request."""

    previous: bool
    follow: bool
    timestamps: bool
    tail: int | None
    limit_bytes: int | None
    since: datetime | None


@dataclass(frozen=True, slots=True)
class _Line:
    stamp: bytes
    """As written, or empty."""
    written_at: datetime | None
    """The line's own instant, or that of the last line before it that has one."""
    content: bytes
    """With its line end."""


def as_log(archive: format.Archive, pod: objects.KubeObject, request: asked.Asked) -> answers.Answer:
    """Answer a log request for an archived pod."""
    options = _options(archive, objects.name(pod), request)
    container = _container(pod, request.query.get("container", ""))
    if not objects.text(pod, "spec", "nodeName"):
        return answers.Answer(200, (), answers.TEXT)
    content = _content(archive, pod, container, previous=options.previous)
    chunks = (select(content, options),)
    return answers.Answer(200, chunks, answers.TEXT, hold=FOLLOW_SECONDS if options.follow else 0.0)


# ---- options


def _options(archive: format.Archive, pod: str, request: asked.Asked) -> _Options:
    tail = _at_least(request, pod, "tailLines", 0)
    limit_bytes = _at_least(request, pod, "limitBytes", 1)
    seconds = _at_least(request, pod, "sinceSeconds", 1)
    since_time = request.query.get("sinceTime", "")
    if seconds is not None and since_time:
        message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        raise _invalid(pod, "[]", "FieldValueForbidden", message)
    since = None if seconds is None else archive.captured_at - timedelta(seconds=seconds)
    if since_time:
        try:
            since = objects.parse_instant(since_time)
        except ValueError as error:
            raise answers.bad_request(str(error)) from None
    return _Options(
        previous=request.flag("previous"),
        follow=request.flag("follow"),
        timestamps=request.flag("timestamps"),
        tail=tail,
        limit_bytes=limit_bytes,
        since=since,
    )


def _at_least(request: asked.Asked, pod: str, field: str, least: int) -> int | None:
    value = request.number(field)
    if value is not None and value < least:
        must = "must be greater than or equal to 0" if least == 0 else "must be greater than 0"
        raise _invalid(pod, field, "FieldValueInvalid", f"Invalid value: {value}: {must}")
    return value


def _invalid(pod: str, field: str, reason: str, message: str) -> answers.RefusedError:
    return answers.invalid("PodLogOptions", pod, [(field, reason, message)])


# ---- which container


def _container(pod: objects.KubeObject, wanted: str) -> str:
    """Return the container to read, as an API server chooses it."""
    main = _names(pod, "containers")
    names = (*_names(pod, "initContainers"), *main, *_names(pod, "ephemeralContainers"))
    if not wanted and len(main) == 1:
        return main[0]
    if not wanted:
        choice = f"a container name must be specified for pod {objects.name(pod)}, choose one of: [{' '.join(names)}]"
        raise answers.bad_request(choice)
    if wanted in names:
        return wanted
    raise answers.bad_request(f"container {wanted} is not valid for pod {objects.name(pod)}")


def _names(pod: objects.KubeObject, field: str) -> list[str]:
    return [objects.text(item, "name") for item in objects.mappings(pod, "spec", field)]


# ---- what kubelet would find


def _content(archive: format.Archive, pod: objects.KubeObject, container: str, *, previous: bool) -> bytes:
    """Return the log of a container; of one that waits to start again, the present log is that of the last run."""
    own = archive.logs.get(format.LogKey(objects.namespace(pod), objects.name(pod), container, previous))
    if archive.layout and own is not None:
        # Another program's files may lack what kubelet goes by; that it got this log proves that there was one.
        return own
    ended = _check_state(pod, container, previous=previous, by_id=not archive.layout)
    namespace, name = objects.namespace(pod), objects.name(pod)
    wanted = [previous, not previous] if ended else [previous]
    for choice in wanted:
        content = archive.logs.get(format.LogKey(namespace, name, container, choice))
        if content is not None:
            return content
    what = "previous log" if previous else "log"
    message = f'the archive holds no {what} of container "{container}" in pod "{name}"'
    raise answers.RefusedError(404, "NotFound", message, details={"name": name, "kind": "pods"})


def _check_state(pod: objects.KubeObject, container: str, *, previous: bool, by_id: bool) -> bool:
    """Say whether the log is that of a container that has ended and not begun anew.

    With *by_id* it must have ended with a containerID, as for kubelet. Raises RefusedError with kubelet's words where
    a node would have no log.
    """
    name = objects.name(pod)
    statuses = [
        status
        for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
        for status in objects.mappings(pod, "status", field)
        if objects.text(status, "name") == container
    ]
    if not statuses:
        raise answers.bad_request(f'container "{container}" in pod "{name}" is not available')
    last = objects.mapping(statuses[0], "lastState", "terminated")
    has_last = bool(objects.text(last, "containerID") if by_id else last)
    state = objects.mapping(statuses[0], "state")
    has_begun = "running" in state or bool(objects.text(state, "terminated", "containerID"))
    if previous:
        if not has_last:
            raise answers.bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
        return not has_begun
    if has_begun:
        return False
    if has_last:
        return True
    if "terminated" in state:
        raise answers.bad_request(f'container "{container}" in pod "{name}" is terminated')
    raise answers.bad_request(f'container "{container}" in pod "{name}" is waiting to start{_waiting(state)}')


def _waiting(state: objects.KubeObject) -> str:
    reason = objects.text(state, "waiting", "reason")
    words = {
        "": " - no logs yet",
        "ErrImagePull": ": image can't be pulled",
        "ImagePullBackOff": ": trying and failing to pull image",
    }
    return words.get(reason, f": {reason}")


# ---- which lines


def select(content: bytes, options: _Options) -> bytes:
    """Return the wanted part of a log: first by time, then the last lines, then the first bytes."""
    lines = _lines(content)
    if options.since is not None:
        since = options.since
        lines = [line for line in lines if line.written_at is None or line.written_at >= since]
    if options.tail is not None:
        lines = lines[len(lines) - options.tail :] if options.tail < len(lines) else lines
    written = b"".join(
        line.stamp + b" " + line.content if options.timestamps and line.stamp else line.content for line in lines
    )
    return written if options.limit_bytes is None else written[: options.limit_bytes]


def _lines(content: bytes) -> list[_Line]:
    found: list[_Line] = []
    written_at: datetime | None = None
    for raw in content.splitlines(keepends=True):
        match = _STAMPED.fullmatch(raw)
        if match is None:
            found.append(_Line(b"", written_at, raw))
            continue
        stamp, rest = match.groups()
        try:
            written_at = objects.parse_instant(stamp.decode())
        except ValueError:
            found.append(_Line(b"", written_at, raw))
            continue
        found.append(_Line(stamp, written_at, rest))
    return found
