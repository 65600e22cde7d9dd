"""Log lines: one JSON object each, or readable ones, with the fields of the event."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from kubently import logs

log = logging.getLogger("kubently.test")


@pytest.fixture(autouse=True)
def _root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_line_has_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", json_lines=True)

    log.info("executor connected", extra={"cluster": "prod", "version": "1.0"})

    out, err = capsys.readouterr()
    entry = json.loads(err)
    assert out == ""
    assert entry.pop("at").endswith("+00:00")
    assert entry == {
        "level": "info",
        "logger": "kubently.test",
        "event": "executor connected",
        "cluster": "prod",
        "version": "1.0",
    }


def test_request_id_is_on_every_line_of_its_request(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", json_lines=True)
    token = logs.request_id.set("r1")

    log.info("inside")
    log.info("told otherwise", extra={"request_id": "r2"})
    logs.request_id.reset(token)
    log.info("outside")

    entries = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [entry.get("request_id") for entry in entries] == ["r1", "r2", None]


def test_exception_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", json_lines=True)

    try:
        raise ValueError("a\nb")
    except ValueError:
        log.exception("it broke")

    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert entry["level"] == "error"
    assert entry["exception"].endswith("ValueError: a\nb")


def test_value_that_is_no_json_is_shown_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", json_lines=True)

    log.info("x", extra={"path": {1}})

    assert json.loads(capsys.readouterr().err)["path"] == "{1}"


def test_level_holds_back_what_is_below(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="warning", json_lines=True)

    log.info("no")
    log.warning("yes")

    assert json.loads(capsys.readouterr().err)["event"] == "yes"


def test_console_line_is_readable(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="debug", json_lines=False)

    log.debug("dialling again", extra={"attempt": 2})
    try:
        raise ValueError("gone")
    except ValueError:
        log.exception("it broke")

    first, second, *rest = capsys.readouterr().err.splitlines()
    assert first[8:] == " debug   dialling again attempt=2"
    assert second[8:] == " error   it broke"
    assert rest[-1] == "ValueError: gone"


def test_configuring_twice_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", json_lines=True)
    logs.configure(level="info", json_lines=True)

    log.info("once")

    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("name", ["httpx", "httpcore", "uvicorn.access", "asyncio"])
def test_libraries_are_quiet_even_when_debugging(name: str) -> None:
    logs.configure(level="debug", json_lines=True)

    assert not logging.getLogger(name).isEnabledFor(logging.INFO)


def test_a_readable_line_is_one_line_whatever_its_values_hold(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", json_lines=False)

    log.info("executor refused", extra={"reason": "bad\nforged line \x1b[31m \ud800 wörter"})

    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert "bad\\nforged line \\x1b[31m \\ud800 wörter" in err
