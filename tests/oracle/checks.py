"""Kubently's decisions compared with the oracle's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import anyio

from kubently.kube import policy
from tests.oracle import argvs, commands, gate, kubectl_help, raw, requests
from tests.oracle.requests import Raw

Counts = Mapping[str, Counter[str]]
PERMITTED, REFUSED = "permitted", "refused"
_ANSWERED_HERE = (201, 400, 403)
"""201: an access review that Kubently itself answers with no."""


def compare_requests(seed: int, count: int, rules: policy.Policy = policy.DEFAULT_POLICY) -> Counts:
    """Decide *count* requests. Raises AssertionError with the first on which the two differ."""
    return anyio.run(_compare_requests, seed, count, rules)


async def _compare_requests(seed: int, count: int, rules: policy.Policy) -> Counts:
    subject = gate.Gate(rules)
    counts: dict[str, Counter[str]] = {name: Counter() for name in raw.STRATA}
    for stratum, request in raw.requests(seed, count):
        answer = await subject.ask(request)
        if answer.sent is None:
            assert answer.status in _ANSWERED_HERE, f"{request}: answered with {answer.status}"
        else:
            check_sent(request, answer.sent)
        expected = not requests.objections(request)
        if stratum in raw.PLAIN:
            assert expected == (answer.sent is not None), f"{request}: {answer}, {requests.objections(request)}"
        counts[stratum][PERMITTED if answer.sent else REFUSED] += 1
    return counts


def check_sent(request: Raw, sent: Raw) -> None:
    """What is sent is a read, what was asked and what was decided were one too, and all are the same."""
    assert not requests.objections(request), f"{request}: {requests.objections(request)}"
    assert not requests.objections_to_sent(sent), f"{request}: {requests.objections_to_sent(sent)}"
    asked, done = requests.attributes(request), requests.attributes(sent)
    assert asked == done, f"{request}: asked for {asked}, sent {done}"
    assert gate.decided(sent) == done, f"{request}: decided {gate.decided(sent)}, sent {done}"


def compare_commands(seed: int, count: int, secrets: policy.SecretsMode = "none") -> Counts:
    """Decide *count* argument lists. Raises AssertionError with the first on which the two differ."""
    known = kubectl_help.read()
    grammar = commands.Grammar(known)
    counts: dict[str, Counter[str]] = {name: Counter() for name in argvs.STRATA}
    for stratum, argv in argvs.argument_lists(seed, count):
        command = gate.command(argv, secrets)
        if command is not None:
            check_run(grammar, known[()], argv, command.argv)
        elif stratum in argvs.PLAIN:
            wrong = list(commands.objections(grammar.read(argv), known[()]))
            assert wrong, f"{argv} is a plain read and was refused"
        counts[stratum][PERMITTED if command else REFUSED] += 1
    return counts


def check_run(
    grammar: commands.Grammar, everywhere: commands.Flags, asked: tuple[str, ...], run: tuple[str, ...]
) -> None:
    """What is run is a read, and to kubectl it is what the caller's own list would have been."""
    reading, own = grammar.read(run), grammar.read(asked)
    wrong = [*commands.objections(reading, everywhere), *commands.objections(own, everywhere)]
    assert not wrong, f"{asked}: {wrong}"
    assert own.meaning == reading.meaning, f"{asked}: means {own.meaning}, {reading.meaning} is run"


def table_of(counts: Counts) -> str:
    """The counts for people."""
    rows = [f"{name:24} {count[PERMITTED]:8} permitted {count[REFUSED]:8} refused" for name, count in counts.items()]
    return "\n".join(rows)


def assert_telling(counts: Counts) -> None:
    """A stratum in which everything is refused, or everything permitted, would show nothing."""
    for name, count in counts.items():
        total = count[PERMITTED] + count[REFUSED]
        assert min(count[PERMITTED], count[REFUSED]) >= total * 0.01, f"{name}: {dict(count)}"
