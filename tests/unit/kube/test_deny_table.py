"""Every verb of Kubernetes with every known subresource, by every HTTP method, with an upgrade and without.

The table is the whole of what may be asked of an object's parts. "yes" is a read that is sent, "-" what cannot be read
or cannot be spelt (collections have no subresources); the others name the rule that refuses: "verb" is no-VERB, "part"
no-SUBRESOURCE, "other" no-other-subresource.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kubently.errors import InvalidRequestError
from kubently.kube import headers, paths, policy

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")

PODS = """
#                    get     list    watch   create  update  patch   delete  deletecollection
.                    yes     yes     yes     verb    verb    verb    verb    verb
status               yes     -       -       verb    verb    verb    verb    -
scale                yes     -       -       verb    verb    verb    verb    -
log                  yes     -       -       verb    verb    verb    verb    -
exec                 part    -       part    part    part    part    part    -
attach               part    -       part    part    part    part    part    -
portforward          part    -       part    part    part    part    part    -
proxy                part    -       part    part    part    part    part    -
token                part    -       part    part    part    part    part    -
ephemeralcontainers  part    -       part    part    part    part    part    -
binding              other   -       other   verb    verb    verb    verb    -
eviction             other   -       other   verb    verb    verb    verb    -
resize               other   -       other   verb    verb    verb    verb    -
finalize             other   -       other   verb    verb    verb    verb    -
approval             other   -       other   verb    verb    verb    verb    -
unheardof            other   -       other   verb    verb    verb    verb    -
"""
SECRETS = """
.                    secrets secrets secrets verb    verb    verb    verb    verb
status               secrets -       -       verb    verb    verb    verb    -
"""
LOG_OF_OTHERS = """
log                  other   -       other   verb    verb    verb    verb    -
"""
"""Only pods have logs."""

RESOURCES = {
    "/api/v1/namespaces/shop/pods": PODS,
    "/api/v1/namespaces/shop/secrets": SECRETS,
    "/api/v1/namespaces/shop/services": PODS + LOG_OF_OTHERS,
    "/api/v1/namespaces/shop/serviceaccounts": PODS + LOG_OF_OTHERS,
    "/api/v1/nodes": PODS + LOG_OF_OTHERS,
    "/apis/apps/v1/namespaces/shop/deployments": PODS + LOG_OF_OTHERS,
    "/apis/certificates.k8s.io/v1/certificatesigningrequests": PODS + LOG_OF_OTHERS,
    "/apis/example.com/v1/namespaces/shop/widgets": PODS + LOG_OF_OTHERS,
    "/apis/example.com/v1/namespaces/shop/pods": PODS + LOG_OF_OTHERS,
}

METHODS = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETE"}
OTHER_METHODS = ("HEAD", "OPTIONS", "TRACE", "CONNECT", "QUERY", "get", "Get", "GETS", "")
UPGRADES = (
    ((b"connection", b"Upgrade"), (b"upgrade", b"websocket")),
    ((b"connection", b"Upgrade"), (b"upgrade", b"SPDY/3.1")),
    ((b"upgrade", b"h2c"), (b"http2-settings", b"AAMAAABkAAQAAP__")),
    ((b"connection", b"keep-alive, Upgrade"),),
)

Cell = tuple[str, str, str, str]
"""Resource path, verb, subresource ("." for none), what becomes of it."""


def cells() -> Iterator[Cell]:
    """Every cell of every table; of two rows for one subresource the later one counts."""
    for resource, text in RESOURCES.items():
        rows = {line.split()[0]: line.split()[1:] for line in text.split("\n") if line and line[0] != "#"}
        for subresource, words in rows.items():
            for verb, word in zip(VERBS, words, strict=True):
                yield resource, verb, subresource, rule_of(word, verb, subresource)


def rule_of(word: str, verb: str, subresource: str) -> str:
    """The rule that a word of the table stands for."""
    full = {"verb": verb, "part": subresource, "other": "other-subresource", "secrets": "secrets"}
    return f"no-{full[word]}" if word in full else word


CELLS = tuple(cells())


def spelt(resource: str, verb: str, subresource: str) -> tuple[str, str, str]:
    """Method, path and query of a cell. Of a collection the name is left out, and so nothing is between two slashes."""
    name = "" if verb in ("list", "deletecollection") or (verb == "watch" and subresource == ".") else "x"
    path = f"{resource}/{name}" if subresource == "." else f"{resource}/{name}/{subresource}"
    return METHODS.get(verb, "GET"), path, "watch=true" if verb == "watch" else ""


def outcome(method: str, path: str, query: str = "", fields: tuple[tuple[bytes, bytes], ...] = ()) -> str:
    """What becomes of a request, in the table's words."""
    try:
        request = paths.parse(method, path, query)
        decision = policy.decide(request)
        if isinstance(decision, policy.Deny):
            return decision.rule
        headers.request_headers(fields, with_body=request.verb == "create")
    except InvalidRequestError:
        return "-"
    return "yes"


def test_each_cell_says_what_happens() -> None:
    wrong = [(cell, found) for cell in CELLS if (found := outcome(*spelt(*cell[:3]))) != cell[3]]

    assert wrong == []
    assert len(CELLS) == len(VERBS) * (8 * 16 + 2)


@pytest.mark.parametrize("dry_run", ["dryRun=All", "dryRun=All&fieldManager=x", "dryRun=", "force=true"])
def test_a_dry_run_changes_no_cell_to_yes(dry_run: str) -> None:
    for cell in CELLS:
        method, path, query = spelt(*cell[:3])
        found = outcome(method, path, f"{query}&{dry_run}" if query else dry_run)
        assert found in ((cell[3],) if method != "GET" else ("-", cell[3])), cell
        assert found != "yes", cell


@pytest.mark.parametrize("fields", UPGRADES, ids=lambda fields: str(fields[-1][1]))
def test_with_an_upgrade_every_cell_is_a_no(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    for cell in CELLS:
        found = outcome(*spelt(*cell[:3]), fields)
        assert found == ("-" if cell[3] == "yes" else cell[3]), cell


@pytest.mark.parametrize("method", OTHER_METHODS)
def test_other_methods_reach_nothing(method: str) -> None:
    for cell in CELLS:
        _, path, query = spelt(*cell[:3])
        assert outcome(method, path, query) == "-", cell


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_no_method_that_writes_reaches_anything(method: str) -> None:
    """Whatever the verb's own method is: a list asked for by PATCH is a patch."""
    for cell in CELLS:
        _, path, query = spelt(*cell[:3])
        assert outcome(method, path, query) != "yes", cell


def test_what_may_be_sent_is_this_and_nothing_else() -> None:
    """The yes of all tables, written out."""
    sent = {(verb, subresource) for _, verb, subresource, outcome in CELLS if outcome == "yes"}

    assert sent == {("get", "."), ("list", "."), ("watch", "."), ("get", "status"), ("get", "scale"), ("get", "log")}
