from __future__ import annotations

import pytest

from kubently.analyzers.exits import explain


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (0, "without an error"),
        (1, "general error"),
        (126, "cannot be executed"),
        (127, "not found"),
        (137, "SIGKILL"),
        (139, "SIGSEGV"),
        (143, "SIGTERM"),
        (150, "signal 22"),
    ],
)
def test_known_codes_are_explained(code: int, word: str) -> None:
    assert word in explain(code)


@pytest.mark.parametrize("code", [3, 42, 200, 256, -1, 10**30])
def test_codes_of_the_application_are_not(code: int) -> None:
    assert explain(code) == ""
