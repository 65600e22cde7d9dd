"""What is printed of a report, and what never is."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from kubently.doctor import Report, Result, Status, as_json, as_junit, as_text, render

REPORT = Report(
    (
        Result(id="a", category="dns", title="found"),
        Result(id="b", category="tls", title="trusted", status=Status.ERROR, code="tls-expired", detail="it", fix="do"),
        Result(id="c", category="tls", title="lasts", status=Status.WARNING, code="soon", detail="w"),
        Result(id="d", category="http", title="healthy", status=Status.SKIPPED, detail="depends on b"),
    )
)


def test_text_has_a_line_for_each_check_and_what_to_do_below() -> None:
    text = as_text(REPORT)

    assert "  ✔ found\n" in text
    assert "  ✖ trusted\n      cause: it\n      fix:   do\n      code:  tls-expired" in text
    assert text.endswith("1 passed, 1 warnings, 1 errors, 1 skipped\n")


def test_text_without_unicode_is_ascii() -> None:
    assert as_text(REPORT, unicode=False).isascii()


def test_json_counts_what_it_lists() -> None:
    document = json.loads(as_json(REPORT))

    assert document["summary"] == {"pass": 1, "warning": 1, "error": 1, "skipped": 1}
    assert [check["id"] for check in document["checks"]] == ["a", "b", "c", "d"]


def test_junit_has_one_failure_for_an_error() -> None:
    suite = ElementTree.fromstring(as_junit(REPORT))

    assert [case.get("name") for case in suite.findall("testcase[failure]")] == ["b"]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "1", "1")


@pytest.mark.parametrize("draw", [as_text, as_json, as_junit])
def test_no_secret_is_drawn(draw: object) -> None:
    key = "-----BEGIN EC PRIVATE KEY-----\nTUlJ\n-----END EC PRIVATE KEY-----"
    words = f"tok-0123456789 at https://user:hunter2@proxy {key}\x1b[2J"
    dirty = Report((Result(id="a", category="x", detail=words, fix=words, evidence={"all": [words], "k": words}),))

    text = draw(render.clean(dirty, ["tok-0123456789"]))  # type: ignore[operator]  # one of three functions

    assert not [bad for bad in ("tok-0123456789", "hunter2", "TUlJ", "\x1b", "u001b") if bad in text]


@pytest.mark.parametrize(
    ("status", "strict", "code"),
    [(Status.PASS, True, 0), (Status.WARNING, False, 0), (Status.WARNING, True, 4), (Status.ERROR, True, 3)],
)
def test_exit_code_is_of_the_worst(status: Status, strict: bool, code: int) -> None:
    assert Report((Result(status=status),)).exit_code(fail_on_warning=strict) == code
