from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.analyzers.base import clean, finding_id, first_line, quote
from kubently.schema.findings import ResourceRef

WEB = ResourceRef(group="apps", kind="Deployment", namespace="shop", name="web")


@pytest.mark.parametrize(
    ("words", "cleaned"),
    [
        ("\x1b[31mERROR\x1b[0m no", "ERROR no"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("a\x00b\x07c\x9bd", "abcd"),
        ("pay\u202egpj.exe", "paygpj.exe"),
        ("zero\u200bwidth", "zerowidth"),
        ("\ud800lone", "lone"),
        ("one\r\ntwo\tthree", "one\ntwo\tthree"),
        ("\n  indented  \n", "  indented"),
    ],
)
def test_clean_takes_out_what_moves_a_terminal(words: str, cleaned: str) -> None:
    assert clean(words) == cleaned


@given(st.text(st.characters(exclude_categories=()), max_size=3000), st.integers(1, 1500))
def test_clean_words_are_bounded_and_harmless(words: str, limit: int) -> None:
    cleaned = clean(words, limit=limit)

    assert len(cleaned) <= limit
    assert "\x1b" not in cleaned
    cleaned.encode()


def test_a_quote_is_cut_at_a_thousand_characters() -> None:
    assert len(quote("log", "x" * 5000).quote) == 1000


def test_first_line_is_the_first_that_says_something() -> None:
    assert first_line("\n   \n  panic: boom\nmore") == "panic: boom"


def test_ids_are_stable_and_tell_findings_apart() -> None:
    one = finding_id("pod/crash-loop", WEB, "app")

    assert one == finding_id("pod/crash-loop", WEB.model_copy(), "app")
    assert len({one, finding_id("pod/crash-loop", WEB, "sidecar"), finding_id("pod/oom-killed", WEB, "app")}) == 3
    assert len(one) == 12
    assert int(one, 16) >= 0
