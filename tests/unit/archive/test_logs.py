from __future__ import annotations

import dataclasses

import pytest

from kubently.archive import format
from kubently.archive.answers import RefusedError

from .samples import archive, body, container_status, get, pod

LINES = b"""\
2026-11-18T11:00:00.000000001Z one
2026-11-18T11:50:00.123456789Z two
2026-11-18T11:59:30.5Z three
"""
RUNNING = pod("web", containerStatuses=[container_status()])
ENDED = {"terminated": {"exitCode": 1, "containerID": "containerd://x"}}
PATH = "/api/v1/namespaces/shop/pods/web/log"


def read(query: str = "", content: bytes = LINES, previous: bytes | None = None, item: object = RUNNING) -> bytes:
    logs = {format.LogKey("shop", "web", "main"): content}
    if previous is not None:
        logs[format.LogKey("shop", "web", "main", previous=True)] = previous
    assert isinstance(item, dict)
    return body(get(archive(item, logs=logs), f"{PATH}?{query}"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", b"one\ntwo\nthree\n"),
        ("tailLines=2", b"two\nthree\n"),
        ("tailLines=0", b""),
        ("tailLines=99", b"one\ntwo\nthree\n"),
        ("sinceSeconds=900", b"two\nthree\n"),
        ("sinceSeconds=1", b""),
        ("sinceTime=2026-11-18T11:55:00Z", b"three\n"),
        ("sinceTime=2026-11-18T12:55:00%2B01:00", b"three\n"),
        ("limitBytes=6", b"one\ntw"),
        ("tailLines=1&timestamps=true", b"2026-11-18T11:59:30.5Z three\n"),
        ("container=main&tailLines=1", b"three\n"),
        ("sinceSeconds=900&tailLines=1&limitBytes=3", b"thr"),
    ],
)
def test_which_lines(query: str, expected: bytes) -> None:
    assert read(query) == expected


def test_lines_without_a_time_belong_to_the_line_before() -> None:
    content = (
        b"no time\n2026-11-18T11:00:00Z error\n  at x\n2026-11-18T11:59:00Z fine\n  more\n\n2026-13-45T99:00:00Z odd"
    )

    assert read("sinceSeconds=120", content) == b"no time\nfine\n  more\n\n2026-13-45T99:00:00Z odd"
    assert read("timestamps=1", content).startswith(b"no time\n2026-11-18T11:00:00Z error\n  at x\n")


def test_empty_lines_and_bytes_that_are_no_text() -> None:
    content = b"2026-11-18T11:00:00Z \n2026-11-18T11:00:01Z\n2026-11-18T11:00:02Z \xff\xfe\n"

    assert read("", content) == b"\n\n\xff\xfe\n"


def test_the_log_before() -> None:
    crashed = pod("web", containerStatuses=[container_status(lastState=ENDED)])

    assert read("previous=true", previous=b"before\n", item=crashed) == b"before\n"


def test_a_waiting_container_shows_how_the_last_one_ended() -> None:
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    item = pod("web", containerStatuses=[container_status(state=waiting, lastState=ENDED)])
    only_previous = {format.LogKey("shop", "web", "main", previous=True): b"crash\n"}

    assert body(get(archive(item, logs=only_previous), PATH)) == b"crash\n"
    assert body(get(archive(item, logs=only_previous), f"{PATH}?previous=true")) == b"crash\n"


def test_a_pod_without_a_node_has_an_empty_log() -> None:
    item = pod("web")
    del item["spec"]["nodeName"]

    assert body(get(archive(item), PATH)) == b""


def test_following_holds_the_stream() -> None:
    found = archive(RUNNING, logs={format.LogKey("shop", "web", "main"): LINES})

    assert get(found, f"{PATH}?follow=true").hold > 3600
    assert get(found, PATH).hold == 0


def waits(reason: str) -> dict[str, object]:
    return container_status(state={"waiting": {"reason": reason} if reason else {}}, ready=False)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (waits("ContainerCreating"), 'container "main" in pod "web" is waiting to start: ContainerCreating'),
        (waits("ErrImagePull"), "is waiting to start: image can't be pulled"),
        (waits("ImagePullBackOff"), "is waiting to start: trying and failing to pull image"),
        (waits(""), "is waiting to start - no logs yet"),
        (container_status(state={"terminated": {"exitCode": 1}}), 'container "main" in pod "web" is terminated'),
        (container_status(name="other"), 'container "main" in pod "web" is not available'),
    ],
)
def test_what_kubelet_says_without_a_log(status: dict[str, object], message: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read(item=pod("web", containerStatuses=[status]))

    assert refused.value.code == 400
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("previous=true", 400, 'previous terminated container "main" in pod "web" not found'),
        ("container=zzz", 400, "container zzz is not valid for pod web"),
        ("tailLines=-1", 422, "tailLines: Invalid value: -1"),
        ("sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0"),
        ("limitBytes=0", 422, "limitBytes"),
        ("tailLines=x", 400, "strconv.ParseInt"),
        ("sinceTime=yesterday", 400, "RFC 3339"),
        ("sinceSeconds=1&sinceTime=2026-11-18T11:55:00Z", 422, "at most one of"),
    ],
)
def test_requests_that_are_refused(query: str, code: int, message: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read(query)

    assert refused.value.code == code
    assert message in refused.value.message


def test_a_log_that_was_not_archived_is_not_an_empty_one() -> None:
    with pytest.raises(RefusedError, match="the archive holds no log") as refused:
        get(archive(RUNNING), PATH)

    assert refused.value.code == 404


def test_a_container_must_be_chosen_among_several() -> None:
    item = pod("web", containerStatuses=[container_status(), container_status("side")])
    item["spec"]["containers"].append({"name": "side"})
    item["spec"]["initContainers"] = [{"name": "init"}]

    with pytest.raises(RefusedError, match=r"choose one of: \[init main side\]"):
        get(archive(item), PATH)


@pytest.mark.parametrize("previous", ["", "&previous=true"])
@pytest.mark.parametrize("kept", [True, False])
def test_of_a_container_that_waits_both_logs_are_those_of_its_last_run(kept: bool, previous: str) -> None:
    """As on a node; whichever of the two somebody collected stands for both."""
    last = {"terminated": {"containerID": "containerd://1", "exitCode": 1}}
    waiting = {"name": "main", "state": {"waiting": {}}, "lastState": last}
    logs = {format.LogKey("shop", "web", "main", previous=kept): b"the last words\n"}
    found = archive(pod("web", containerStatuses=[waiting]), logs=logs)

    answer = get(found, f"{PATH}?container=main{previous}")

    assert body(answer) == b"the last words\n"


def test_a_log_of_another_program_is_served_whatever_the_status_lacks() -> None:
    logs = {format.LogKey("shop", "web", "main", previous=True): b"before\n"}
    found = dataclasses.replace(archive(pod("web"), logs=logs), layout="bundle")

    answer = get(found, f"{PATH}?previous=true")

    assert body(answer) == b"before\n"
