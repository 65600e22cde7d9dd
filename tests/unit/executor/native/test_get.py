"""What a `get` asks, and what it prints; the texts are kubectl's."""

from typing import Any

import anyio
import pytest

from kubently.executor.apiserver import UpstreamError
from kubently.executor.native import get
from kubently.executor.native.discovery import Discovery
from kubently.executor.native.plan import options_of, plan_get
from kubently.executor.native.unsure import Unsure
from kubently.kube import kubectl as argv_policy

from .served import Served, status, table

PODS = "/api/v1/namespaces/shop/pods"


async def ran(served: Served, *argv: str, limit: int = 1_000_000) -> get.Printed:
    command = argv_policy.parse(["get", *argv])
    ask = served.asker(limit=limit)
    resources = await Discovery(clock=lambda: 100.0).table(ask)
    return await get.run(plan_get(command, options_of(command), resources), resources, ask)


def printed(answers: dict[str, Any], *argv: str) -> tuple[str, list[str], int]:
    done = anyio.run(lambda: ran(Served(answers), *argv))
    return b"".join(done.out).decode(), done.errors, done.exit_code


def test_a_list_is_asked_for_as_kubectl_asks() -> None:
    served = Served({PODS: table("a")})

    anyio.run(lambda: ran(served, "po", "-n", "shop", "-l", "app in (a)", "--field-selector=x=y"))

    [(path, query, headers)] = served.asked[2:]
    assert path == PODS
    assert query == {"limit": "500", "labelSelector": "app in (a)", "fieldSelector": "x=y"}
    assert headers["accept"] == (
        "application/json;as=Table;v=v1;g=meta.k8s.io,"
        "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
    )


def test_pages_are_followed_and_printed_under_one_header() -> None:
    answers = {PODS: table("a", more="t 1"), f"{PODS}?continue=t 1": table("a-long-name")}

    out = printed(answers, "pods", "-n", "shop", "--chunk-size=1", "--show-labels")[0]

    assert out == "NAME          LABELS\na             a/b=c,app=a\na-long-name   a/b=c,app=a\n"


def test_rows_of_a_hundred_are_aligned_with_all_of_their_page() -> None:
    """kubectl lays out a hundred rows at a time, but pads the header for the widest row of the page."""
    answers = {PODS: table(*(f"p{number}" for number in range(150)), "a-very-long-name", columns=2)}

    lines = printed(answers, "pods", "-n", "shop", "-o", "wide")[0].splitlines()

    assert lines[0] == "NAME               WIDE 1"
    assert lines[1] == "p0                 1"
    assert lines[-1] == "a-very-long-name   1"


def test_columns_for_wide_output_and_labels() -> None:
    answers = {PODS: table("web-0", "web-1", columns=2)}

    assert printed(answers, "pods", "-n", "shop", "-L", "app")[0] == "NAME    APP\nweb-0   w\nweb-1   w\n"
    assert printed(answers, "pods", "-n", "shop", "-o", "wide")[0] == "NAME    WIDE 1\nweb-0   1\nweb-1   1\n"
    assert printed(answers, "pods", "-n", "shop", "--no-headers", "--show-kind")[0] == "pod/web-0\npod/web-1\n"


def test_all_namespaces_are_a_column() -> None:
    assert printed({"/api/v1/pods": table("web")}, "pods", "-A")[0] == "NAMESPACE   NAME\nshop        web\n"


def test_several_types_have_headers_of_their_own_and_a_kind_before_the_name() -> None:
    answers = {PODS: table("web"), "/api/v1/namespaces/shop/services": table("web")}

    out = printed(answers, "pods,svc", "-n", "shop")[0]

    assert out == "NAME\npod/web\n\nNAME\nservice/web\n"


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("pods", "-n", "shop"), "No resources found in shop namespace."),
        (("pods",), "No resources found in default namespace."),
        (("pods", "-A"), "No resources found"),
        (("nodes",), "No resources found"),
    ],
)
def test_an_empty_list_is_said_and_is_no_failure(argv: tuple[str, ...], sentence: str) -> None:
    answers = {PODS: table(), "/api/v1/namespaces/default/pods": table(), "/api/v1/pods": table()}

    assert printed({**answers, "/api/v1/nodes": table()}, *argv) == ("", [sentence], 0)


def test_a_missing_object_is_a_failure_unless_it_may_be_missing() -> None:
    answers = {
        f"{PODS}/a": status(404, "NotFound", 'pods "a" not found'),
        "/api/v1/namespaces/shop": {"kind": "Namespace"},
    }

    refused = ['Error from server (NotFound): pods "a" not found']
    assert printed(answers, "pod", "a", "-n", "shop") == ("", refused, 1)
    assert printed(answers, "pod", "a", "-n", "shop", "-o", "json") == ("", refused, 1)
    assert printed(answers, "pod", "a", "-n", "shop", "--ignore-not-found") == ("", [], 0)


def test_what_is_there_is_printed_beside_what_is_missing() -> None:
    answers = {f"{PODS}/a": table("a"), "/api/v1/namespaces/shop": {"kind": "Namespace"}}

    out, errors, code = printed(answers, "pod", "a", "b", "-n", "shop")

    assert (out, errors, code) == ("NAME\na\n", [f"Error from server (NotFound): {PODS}/b not found"], 1)


def test_a_missing_namespace_is_named_instead() -> None:
    errors = printed({}, "pod", "a", "-n", "shop")[1]

    assert errors == ["Error from server (NotFound): /api/v1/namespaces/shop not found"]


def test_a_refused_list_says_what_was_asked() -> None:
    bad = {PODS: status(400, "BadRequest", "no")}

    assert printed(bad, "pods", "-n", "shop", "-l", "a=b")[1] == [
        'Error from server (BadRequest): Unable to find "/v1, Resource=pods" that match label selector "a=b", '
        'field selector "": no'
    ]
    assert printed({PODS: status(403, "Forbidden", "no")}, "pods", "-n", "shop")[1] == [
        "Error from server (Forbidden): no"
    ]


def test_warnings_are_printed_once() -> None:
    served = Served({PODS: table("a"), "/api/v1/nodes": table("b")})
    served.warnings = [b'299 - "old \\"thing\\""']

    assert anyio.run(lambda: ran(served, "nodes,pods", "-n", "shop")).warnings == ['Warning: old "thing"']


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"no JSON",
        {"kind": "PodList", "apiVersion": "v1", "items": []},
        {**table("a"), "rows": 5},
        {**table("a"), "columnDefinitions": []},
        {**table("a"), "rows": [{"cells": [["a"]]}]},
        {**table("a"), "rows": [{"cells": ["a", "b"]}]},
        {**table("a"), "metadata": None},
        status(410, "Expired", "too old"),
        status(429, "TooManyRequests", "later"),
        status(500, "InternalError", "broken"),
        UpstreamError("the API server broke off"),
    ],
)
def test_an_answer_of_another_sort_is_left_to_kubectl(answer: Any) -> None:
    with pytest.raises((Unsure, UpstreamError)):
        printed({PODS: answer}, "pods", "-n", "shop")


def test_a_large_answer_is_left_to_kubectl_and_its_bytes_are_given_back() -> None:
    served = Served({PODS: table(*map(str, range(200)))})

    with pytest.raises(Unsure):
        anyio.run(lambda: ran(served, "pods", "-n", "shop", limit=5000))


def test_several_objects_are_a_list_and_one_is_itself() -> None:
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "managedFields": []}}
    answers = {
        f"{PODS}/a": pod,
        f"{PODS}/b": pod,
        PODS: {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [pod]},
    }
    one = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n"

    assert printed(answers, "pod", "a", "-n", "shop", "-o", "yaml")[0] == one
    assert printed(answers, "pods", "-n", "shop", "-o", "yaml")[0] == (
        "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: a\n"
        'kind: List\nmetadata:\n  resourceVersion: ""\n'
    )
    assert printed(answers, "pod", "a", "b", "-n", "shop", "-o", "name")[0] == "pod/a\npod/a\n"
    assert "managedFields: []" in printed(answers, "pod", "a", "-n", "shop", "-o", "yaml", "--show-managed-fields")[0]
