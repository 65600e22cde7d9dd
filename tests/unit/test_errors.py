"""The tree of errors: what its docstring says, codes, statuses, and the way through a problem document."""

from __future__ import annotations

import inspect
import json
import re
from collections import Counter

import pytest
from tests.references.errors import classes as all_classes

from kubently import errors
from kubently.errors import KubentlyError
from kubently.schema import problems

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, KubentlyError)]
LEAVES = [cls for cls in CLASSES if not any(issubclass(other, cls) and other is not cls for other in CLASSES)]


def _drawn() -> dict[str, str]:
    """Child and parent of each line of the tree in the docstring."""
    parents: dict[str, str] = {}
    branch: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.fullmatch(r"    ((?:[│ ]   )*)(?:[├└]── )?(\w+)", line):
            depth = len(match[1]) // 4 + ("── " in line)
            branch = [*branch[:depth], match[2]]
            parents[match[2]] = branch[depth - 1] if depth else ""
    return parents


def test_docstring_draws_the_classes_as_they_are() -> None:
    real = {cls.__name__: cls.__base__.__name__ for cls in CLASSES if cls is not KubentlyError and cls.__base__}

    assert _drawn() == {"KubentlyError": "", **real}


def test_every_class_of_the_package_has_a_code_of_its_own() -> None:
    counts = Counter(cls.code for cls in all_classes() if "code" in vars(cls))

    assert {code: count for code, count in counts.items() if count > 1} == {}


def test_codes_are_slugs() -> None:
    assert [cls.code for cls in all_classes() if not re.fullmatch(r"[a-z]+(-[a-z]+)*", cls.code)] == []


@pytest.mark.parametrize("cls", CLASSES)
def test_every_class_of_the_tree_sets_its_code(cls: type[KubentlyError]) -> None:
    assert "code" in vars(cls)


def test_every_leaf_has_a_status() -> None:
    assert [cls.__name__ for cls in LEAVES if cls not in problems.STATUS] == []


@pytest.mark.parametrize("cls", problems.STATUS)
def test_error_comes_back_from_its_problem_as_it_went(cls: type[KubentlyError]) -> None:
    error = cls("it broke", hint="mend it", details={"rule": "no-x"}, retry_after=1.5)

    document = json.loads(json.dumps(problems.to_problem(error, request_id="r1")))
    back = problems.from_problem(document["status"], document)

    assert type(back) is cls
    assert (back.message, back.hint, back.details, back.retry_after) == (
        "it broke",
        "mend it",
        {"rule": "no-x"},
        1.5,
    )
    assert document["request_id"] == "r1"
    assert document["status"] == problems.STATUS[cls]
    assert document["retryable"] is cls.retryable


def test_problem_leaves_out_what_is_not_known() -> None:
    document = problems.to_problem(errors.NotFoundError("there is none"))

    assert document == {
        "type": "urn:kubently:problem:not-found",
        "title": "not found",
        "status": 404,
        "detail": "there is none",
        "code": "not-found",
        "retryable": False,
    }


def test_status_of_a_class_without_one_is_that_of_its_base() -> None:
    class NewError(errors.ExecutorOfflineError):
        code = "new"

    assert problems.status_of(NewError("x")) == 503
    assert problems.status_of(KubentlyError("x")) == 500


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        ({}, "the server answered 418"),
        ({"code": "from-the-future", "detail": "d"}, "d"),
        ({"code": ["no", "text"], "title": "t"}, "t"),
        ({"code": None, "detail": 5, "details": "none", "retry_after": "soon", "hint": None}, "5"),
    ],
)
def test_any_document_gives_an_error(problem: dict[str, object], message: str) -> None:
    error = problems.from_problem(418, problem)

    assert type(error) is KubentlyError
    assert error.message == message
    assert (error.details, error.retry_after) == ({}, None)


def test_error_shows_its_message_and_takes_a_copy_of_its_details() -> None:
    details = {"rule": "no-delete"}

    error = errors.CommandDeniedError("kubectl delete is refused", details=details)
    details.clear()

    assert str(error) == "kubectl delete is refused"
    assert error.details == {"rule": "no-delete"}
