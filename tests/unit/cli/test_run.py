"""``kubently run``: which words mean what, what is printed where, and the exit code."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.fake import Lines, fake_api, outcome, problem

from kubently.cli.commands.run import split_words
from kubently.errors import InvalidRequestError

ONE = ("POST", "/api/v1/clusters/prod/commands")
MANY = ("POST", "/api/v1/commands")


@pytest.mark.parametrize(
    ("words", "many", "clusters", "argv"),
    [
        ("prod -- get pods", False, ["prod"], ["get", "pods"]),
        ("prod get pods", False, ["prod"], ["get", "pods"]),
        ("prod -- get pods -- x", False, ["prod"], ["get", "pods", "--", "x"]),
        ("a b -- get pods", False, ["a", "b"], ["get", "pods"]),
        ("-- get pods", True, [], ["get", "pods"]),
        ("get pods", True, [], ["get", "pods"]),
        ("get pods -o wide", True, [], ["get", "pods", "-o", "wide"]),
    ],
)
def test_words_are_told_apart(words: str, many: bool, clusters: list[str], argv: list[str]) -> None:
    assert split_words(tuple(words.split()), many=many) == (clusters, argv)


@pytest.mark.parametrize(
    ("words", "many"),
    [("", False), ("prod", False), ("prod --", False), ("-- get", False), ("", True), ("a -- get", True)],
)
def test_words_that_say_too_little_or_too_much(words: str, many: bool) -> None:
    with pytest.raises(InvalidRequestError):
        split_words(tuple(words.split()), many=many)


def test_output_goes_where_it_came_from() -> None:
    lines = Lines(
        [{"cluster": "prod", "stdout": "out\n"}, {"cluster": "prod", "stderr": "warn\n"}, outcome(exit_code=3)]
    )

    with fake_api({ONE: (200, lines)}) as api:
        result = api.run("run", "prod", "--", "get", "pods")

    assert (result.exit_code, result.stdout, result.stderr) == (3, "out\n", "warn\n")
    assert api.requests[0].body == {"argv": ["get", "pods"], "timeout": 60.0}
    assert api.requests[0].headers["accept"] == "application/x-ndjson"


def test_bytes_that_are_no_text_arrive_as_they_are() -> None:
    data = base64.b64encode(b"\xff\x00\x80").decode()

    with fake_api({ONE: (200, Lines([{"cluster": "prod", "stdout_base64": data}, outcome()]))}) as api:
        result = api.run("run", "prod", "--", "logs", "web")

    assert result.stdout_bytes == b"\xff\x00\x80"


@pytest.mark.parametrize(
    ("words", "timeout"),
    [
        ("get pods", 60.0),
        ("logs -f web", 3600.0),
        ("get pods --watch", 3600.0),
    ],
)
def test_what_follows_gets_an_hour(words: str, timeout: float) -> None:
    with fake_api({ONE: (200, Lines([outcome()]))}) as api:
        api.run("run", "prod", "--", *words.split())

    assert api.requests[0].body["timeout"] == timeout


def test_options_reach_the_request() -> None:
    with fake_api({ONE: (200, Lines([outcome()]))}) as api:
        api.run("run", "-t", "5", "--idempotency-key", "k1", "prod", "--", "get", "pods", "-o", "json")

    assert api.requests[0].body == {"argv": ["get", "pods", "-o", "json"], "timeout": 5.0}
    assert api.requests[0].headers["idempotency-key"] == "k1"


@pytest.mark.parametrize(
    ("line", "exit_code", "message"),
    [
        (outcome(exit_code=None, ending="timed-out"), 124, "error: prod: the command was killed at its time-out\n"),
        (outcome(exit_code=None, ending="cancelled"), 70, "error: prod: the command was cancelled\n"),
        (
            outcome(exit_code=None, ending="denied", error=problem("command-denied", hint="read")),
            77,
            "error: prod: it is so [command-denied]\n  try: read\n",
        ),
    ],
)
def test_other_endings_are_said_on_stderr(line: dict[str, Any], exit_code: int, message: str) -> None:
    with fake_api({ONE: (200, Lines([line]))}) as api:
        result = api.run("run", "prod", "--", "get", "pods")

    assert (result.exit_code, result.stdout, result.stderr) == (exit_code, "", message)


def test_answer_without_an_outcome_is_a_failure() -> None:
    with fake_api({ONE: (200, Lines([{"cluster": "prod", "stdout": "half"}]))}) as api:
        result = api.run("run", "prod", "--", "get", "pods")

    assert result.exit_code == 70
    assert "broken off" in result.stderr


def test_json_is_the_outcome_of_one_cluster() -> None:
    answer = {"id": "1", "cluster": "prod", "ending": "exited", "exit_code": 1, "stdout": "", "stderr": "no"}

    with fake_api({ONE: (200, answer)}) as api:
        result = api.run("run", "--output", "json", "prod", "--", "get", "pods")

    assert result.exit_code == 1
    assert json.loads(result.stdout) == answer
    assert result.stderr == ""


MANY_LINES = Lines(
    [
        {"clusters": ["a", "b"]},
        {"cluster": "b", "stdout": "from b, "},
        {"cluster": "a", "stdout": "from a\n"},
        {"cluster": "b", "stdout": "whole\n"},
        outcome("b"),
        outcome("a", exit_code=4),
    ]
)


def test_many_clusters_are_shown_one_after_the_other_as_they_end() -> None:
    with fake_api({MANY: (200, MANY_LINES)}) as api:
        result = api.run("run", "a", "b", "--", "get", "nodes")

    assert result.stdout == "=== b\nfrom b, whole\n=== a\nfrom a\n"
    assert result.exit_code == 4
    assert api.requests[0].body == {"argv": ["get", "nodes"], "timeout": 60.0, "clusters": ["a", "b"]}


@pytest.mark.parametrize(
    ("options", "target"),
    [(["--all"], {"all": True}), (["-l", "env=prod"], {"selector": "env=prod"}), (["--selector=x"], {"selector": "x"})],
)
def test_all_and_selector_need_no_names(options: list[str], target: dict[str, Any]) -> None:
    with fake_api({MANY: (200, Lines([{"clusters": []}]))}) as api:
        result = api.run("run", *options, "--", "get", "nodes")

    assert result.exit_code == 0
    assert api.requests[0].body == {"argv": ["get", "nodes"], "timeout": 60.0, **target}


def test_many_as_json_are_one_object_a_line() -> None:
    with fake_api({MANY: (200, MANY_LINES)}) as api:
        result = api.run("run", "--all", "-o", "json", "--", "get", "nodes")

    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["cluster"], row["stdout"], row["exit_code"]) for row in rows] == [
        ("b", "from b, whole\n", 0),
        ("a", "from a\n", 4),
    ]


def test_cluster_that_never_answered_is_named() -> None:
    with fake_api({MANY: (200, Lines([{"clusters": ["a", "b"]}, outcome("a")]))}) as api:
        result = api.run("run", "--all", "--", "get", "nodes")

    assert result.exit_code == 69
    assert "b: no answer came" in result.stderr


def test_one_failing_cluster_does_not_hide_the_others() -> None:
    failed = outcome("a", exit_code=None, ending="failed", error=problem("executor-offline"))
    lines = Lines([{"clusters": ["a", "b"]}, failed, {"cluster": "b", "stdout": "fine\n"}, outcome("b")])

    with fake_api({MANY: (200, lines)}) as api:
        result = api.run("run", "--all", "--", "get", "nodes")

    assert result.exit_code == 69
    assert result.stdout == "=== a\n=== b\nfine\n"
    assert result.stderr == "error: a: it is so [executor-offline]\n"


def test_words_that_are_missing_are_asked_for() -> None:
    with fake_api({}) as api:
        result = api.run("run", "prod")

    assert result.exit_code == 64
    assert "kubently run prod-eu -- get pods -n shop" in result.stderr
    assert api.requests == []


def ended(cluster: str, **more: Any) -> dict[str, Any]:
    return {**outcome(**more), "cluster": cluster}


def test_who_has_answered_is_not_asked_again(tmp_path: Path) -> None:
    file = str(tmp_path / "answers")
    words = ("run", "--resume", file, "a", "b", "--", "get", "pods")
    failed = {"cluster": "b", "outcome": {"ending": "failed", "error": {"code": "executor-offline", "detail": "gone"}}}

    with fake_api({MANY: (200, Lines([{"clusters": ["a", "b"]}, ended("a"), failed]))}) as api:
        first = api.run(*words)
    with fake_api({MANY: (200, Lines([{"clusters": ["b"]}, ended("b")]))}) as api:
        second = api.run(*words)
    with fake_api({}) as nobody:
        third = nobody.run(*words)

    assert "1 of 2 clusters have answered" in first.stderr
    assert "not yet: b; the same command with --resume" in first.stderr
    assert api.requests[0].body["clusters"] == ["b"]
    assert (second.exit_code, third.exit_code) == (0, 0)
    assert "2 of 2" in third.stderr
    assert not nobody.requests


def test_all_are_asked_but_those_who_have_answered(tmp_path: Path) -> None:
    file = tmp_path / "answers"
    file.write_text(json.dumps({"cluster": "a", "argv": ["get", "pods"], "outcome": {}}) + '\n{"clus')
    answers = {
        ("GET", "/api/v1/clusters?selector=env%3Dprod"): (200, [{"id": "a"}, {"id": "b"}]),
        MANY: (200, Lines([{"clusters": ["b"]}, ended("b")])),
    }

    with fake_api(answers) as api:
        result = api.run("run", "-l", "env=prod", "--resume", str(file), "--", "get", "pods")

    assert result.exit_code == 0, result.stderr
    assert api.requests[-1].body["clusters"] == ["b"]
    assert "selector" not in api.requests[-1].body
    assert [json.loads(line)["cluster"] for line in file.read_text().splitlines()] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"cluster": "a", "argv": ["get", "nodes"]}\n', "answers to another command: get nodes"),
        ("nothing\n\n", "line 1 of"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "answers"
    file.write_text(content)

    with fake_api({}) as api:
        result = api.run("run", "--all", "--resume", str(file), "--", "get", "pods")

    assert result.exit_code != 0
    assert told in result.stderr
    assert not api.requests


def test_one_cluster_has_nothing_to_resume(tmp_path: Path) -> None:
    with fake_api({}) as api:
        result = api.run("run", "--resume", str(tmp_path / "x"), "a", "--", "get", "pods")

    assert "--resume is for several clusters" in result.stderr
