"""Cluster ids: DNS labels, and nothing else."""

from __future__ import annotations

import pytest

from kubently.errors import InvalidRequestError
from kubently.schema import parse_cluster_id


@pytest.mark.parametrize("text", ["a", "0", "prod-eu", "a--b", "1-2-3", "x" * 63, "kind-kind"])
def test_label_is_a_cluster_id(text: str) -> None:
    assert parse_cluster_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "-a", "a-", "A", "prod_eu", "prod.eu", "x" * 64, "a b", " a", "a ", "a\n", "\na", "a\0"),
        *("é", "ａ", "١", "a/b", "a:b", "a%2fb", "..", "executor:token:a", "*", "[a]"),
    ],
)
def test_anything_else_is_not(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not a cluster id") as caught:
        parse_cluster_id(text)

    assert "at most 63" in caught.value.hint


def test_long_text_is_not_repeated_whole() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_cluster_id("y" * 10_000)

    assert len(caught.value.message) < 120
