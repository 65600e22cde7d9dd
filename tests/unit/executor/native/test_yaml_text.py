"""YAML as sigs.k8s.io/yaml prints it; the examples come from kubectl 1.37."""

import json
import random
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from kubently.executor.native import yaml_text
from kubently.executor.native.objects import Decoder
from kubently.executor.native.unsure import Unsure

EXAMPLES = [
    ("yes", '"yes"'),
    ("y", '"y"'),
    ("null", '"null"'),
    ("0x1", '"0x1"'),
    ("1e3", '"1e3"'),
    ("017", '"017"'),
    ("08", '"08"'),
    ("1,000", "1,000"),
    ("12:30:45", '"12:30:45"'),
    ("2024-01-01", '"2024-01-01"'),
    ("2024-13-01", "2024-13-01"),
    ("18446744073709551615", '"18446744073709551615"'),
    ("18446744073709551616", '"18446744073709551616"'),
    ("1e999", "1e999"),
    ("", '""'),
    ("a: b", "'a: b'"),
    ("a:b", "a:b"),
    ("# c", "'# c'"),
    ("a#b", "a#b"),
    (" lead", "' lead'"),
    ("it's", "it's"),
    ("'it's'", "'''it''s'''"),
    ("<<", "<<"),
    ("-", "'-'"),
    ("-a", "-a"),
    ("---", "'---'"),
    ("two\nlines", "|-\n  two\n  lines"),
    ("two\nlines\n", "|\n  two\n  lines"),
    ("a\n\n", "|+\n  a\n"),
    ("\na", "|2-\n\n  a"),
    ("tab\there", '"tab\\there"'),
    ("a \nb", '"a \\nb"'),
    ("\U0001f680", '"\\U0001F680"'),
    ("\x1b[0m", '"\\e[0m"'),
    ("é", "é"),
    (
        "word " * 30 + "end",
        "word word word word word word word word word word word word word word word word\n"
        "  word word word word word word word word word word word word word word end",
    ),
]


def printed(document: Any) -> str:
    return yaml_text.of(Decoder().decode_objects(json.dumps(document).encode()))


@pytest.mark.parametrize(("text", "written"), EXAMPLES)
def test_texts_are_quoted_as_kubectl_quotes_them(text: str, written: str) -> None:
    assert printed({"k": text}) == f"k: {written}\n"


def test_lists_stand_at_the_indent_of_their_key() -> None:
    document = {"a": [{"b": 1, "c": [[1, []], {}]}, "x"], "d": {"e": None, "f": True}}

    assert printed(document) == "a:\n- b: 1\n  c:\n  - - 1\n    - []\n  - {}\n- x\nd:\n  e: null\n  f: true\n"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_is_printed_piece_by_piece_as_it_would_be_whole(count: int) -> None:
    items = [{"metadata": {"name": f"n-{number}"}, "spec": {"list": [[1], {"a": "b\nc\n"}]}} for number in range(count)]
    whole = {"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}

    assert "".join(yaml_text.of_list(items)) == printed(whole)


def test_keys_are_ordered_with_their_numbers_and_letters_last() -> None:
    assert yaml_text.sorted_keys(["b", "a10", "a2", "B", ".z", "a-b", "a"]) == [
        ".z",
        "B",
        "a",
        "a-b",
        "a2",
        "a10",
        "b",
    ]


def test_numbers_are_written_as_go_yaml_writes_them() -> None:
    document = {"a": 1.0, "b": 1e21, "c": 0.5, "d": 1e-7, "e": 1e20, "f": -5, "g": 1e6}

    assert printed(document) == "a: 1\nb: 1e+21\nc: 0.5\nd: 1e-07\ne: 1e+20\nf: -5\ng: 1000000\n"


@pytest.mark.parametrize(
    "document",
    [
        {"k": "a\x7fb"},
        {"k": "line\u2028end"},
        {"k": "\ufeffbom"},
        {"k": "a\x85b"},
        {"x" * 129: "a long key"},
        {"two\nlines": 1},
        {"<<": 1},
        {"é": 1},
        {"1a": 0, "9b": 0, "10": 0},
        {"k": ".1_0"},
    ],
)
def test_what_go_yaml_may_write_otherwise_is_left_to_kubectl(document: Any) -> None:
    with pytest.raises(Unsure):
        printed(document)


def test_an_object_of_many_levels_is_left_to_kubectl() -> None:
    document: Any = "x"
    for _ in range(150):
        document = {"a": [document]}

    with pytest.raises(Unsure):
        printed(document)


TEXT = st.one_of(
    st.text(max_size=40),
    st.text("ab:#-'\"\n\\,[]{}?!&*|>%@`=~< 019.e_+\t", max_size=60),
    st.lists(st.sampled_from(["word", "it's", '"q"', "a:", "é", "🚀", "", "x" * 30]), max_size=40).map(" ".join),
    st.sampled_from([text for text, _ in EXAMPLES]),
)
KEY = st.text("abcdefAB.-_/", min_size=1, max_size=12)
NODE = st.recursive(
    st.one_of(TEXT, st.booleans(), st.none(), st.integers(-(2**63), 2**63 - 1)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEY, inner, max_size=4)),
    max_leaves=20,
)


class Reader(yaml.SafeLoader):
    """Reads YAML 1.1 without dates and without "<<" and "=", which go-yaml writes plainly."""


Reader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":merge", ":value", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@given(st.dictionaries(KEY, NODE, min_size=1, max_size=5))
def test_what_is_written_reads_back_the_same(document: dict[str, Any]) -> None:
    """PyYAML knows nothing of go-yaml; a text that another reader takes for something else was quoted wrongly."""
    try:
        text = printed(document)
    except Unsure:
        assume(False)
        return

    assert yaml.load(text, Reader) == document


@pytest.mark.parametrize("seed", range(20))
def test_seeded_nasty_texts_read_back_the_same(seed: int) -> None:
    chance = random.Random(seed)
    texts = [text for text, _ in EXAMPLES]
    joined = {f"k{n}": chance.choice(("", " ", "\n")).join(chance.choices(texts, k=6)) for n in range(9)}

    assert yaml.load(printed(joined), Reader) == joined


def test_many_levels_do_not_make_a_long_text_of_a_small_object() -> None:
    deep: Any = [0] * 200_000
    for _ in range(60):
        deep = {"a": deep}

    with pytest.raises(Unsure):
        printed(deep)
