"""The catalogue is what the reference is made from."""

from __future__ import annotations

import re

from kubently.analyzers import ANALYZERS, CATALOGUE
from kubently.analyzers.rank import _names


def test_codes_are_slugs_and_unique() -> None:
    codes = [condition.code for condition in CATALOGUE]

    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+/[a-z]+(-[a-z]+)*", code) for code in codes)


def test_every_condition_explains_itself() -> None:
    for condition in CATALOGUE:
        assert condition.summary.endswith(".")
        assert condition.what_to_do.endswith(".")


def test_ids_of_analyzers_are_unique() -> None:
    ids = [analyzer.id for analyzer in ANALYZERS]

    assert len(ids) == len(set(ids))


def test_no_condition_explains_itself_in_a_circle() -> None:
    causes = {
        condition.code: {other.code for other in CATALOGUE if _names(condition.symptom_of, other.code)}
        for condition in CATALOGUE
    }
    for code in causes:
        reached, fresh = set[str](), set(causes[code])
        while fresh:
            reached |= fresh
            fresh = {cause for symptom in fresh for cause in causes[symptom]} - reached
        assert code not in reached, code


def test_symptoms_name_codes_that_exist() -> None:
    codes = [condition.code for condition in CATALOGUE]
    for condition in CATALOGUE:
        for pattern in condition.symptom_of:
            assert any(_names((pattern,), code) for code in codes), pattern
