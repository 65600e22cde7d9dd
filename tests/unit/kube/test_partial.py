from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from kubently.kube.partial import MAX_NAMES, Partial, heard, warning

NAMES = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=63)
WORDS = st.text(string.ascii_letters + ' "\\,', max_size=80)


@given(words=WORDS, namespaces=st.frozensets(NAMES, max_size=20))
def test_what_is_said_is_heard(words: str, namespaces: frozenset[str]) -> None:
    said = Partial(words, namespaces)

    assert heard([warning(said)]) == said
    assert heard(['299 - "old API"', f'199 x "y", {warning(said)}']) == said


@given(st.text(max_size=200))
def test_a_warning_fits_into_a_header_whatever_it_says(words: str) -> None:
    field = warning(Partial(words, frozenset({words, "shop"})))

    assert field.isascii() and field.isprintable()
    found = heard([field])
    assert found is not None and "shop" in found.namespaces


@given(st.lists(st.text(max_size=300), max_size=3))
def test_what_others_say_is_no_word_of_an_archive(values: list[str]) -> None:
    assert heard(value.replace("kubently-archive", "") for value in values) is None


def test_namespaces_beyond_the_room_count_as_missing() -> None:
    many = frozenset(f"namespace-{number:05}" for number in range(1000))

    found = heard([warning(Partial("x", many))])

    assert found is not None
    assert 0 < len(found.namespaces) < 1000
    assert sum(map(len, found.namespaces)) < MAX_NAMES
    assert found.namespaces < many
