"""What a policy document may say about text."""

from __future__ import annotations

from typing import Any

import pytest

from kubently.errors import ConfigError
from kubently.kube import policy
from kubently.kube.policy import Patterns


def patterns(*items: dict[str, Any]) -> Patterns:
    return policy.parse_policy({"mode": "read-only", "redact": {"patterns": list(items)}}).patterns


def test_the_whole_match_gives_way_to_a_marker_with_the_name() -> None:
    iban = patterns({"name": "iban", "pattern": r"\b[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}\b"})

    assert iban.apply(b"to DE44500105175407324931 now") == b"to [redacted by Kubently: iban] now"


def test_of_a_match_with_groups_the_first_is_taken_out() -> None:
    account = patterns({"name": "account", "pattern": r"(?i)account[ =]([0-9]{4,})(;?)"})

    assert account.apply(b"Account 12345; account=6789") == (
        b"Account [redacted by Kubently: account]; account=[redacted by Kubently: account]"
    )


def test_without_its_group_the_whole_match_is_taken_out() -> None:
    either = patterns({"name": "either", "pattern": "id-([0-9]+)|name-[a-z]+"})

    assert either.apply(b"id-7 name-ann") == b"id-[redacted by Kubently: either] [redacted by Kubently: either]"


def test_a_replacement_is_taken_as_it_is() -> None:
    assert patterns({"name": "x", "pattern": "a(b)c", "replace": r"\1\g<0>"}).apply(b"abc") == rb"a\1\g<0>c"


def test_patterns_are_applied_in_their_order() -> None:
    both = patterns(
        {"name": "one", "pattern": "alpha", "replace": "beta"}, {"name": "two", "pattern": "beta", "replace": "gamma"}
    )

    assert both.apply(b"alpha beta") == b"gamma gamma"


def test_bytes_that_are_not_utf8_hide_nothing() -> None:
    word = patterns({"name": "word", "pattern": r"id=\S+"})

    assert word.apply(b"id=ab\xffcd \xfe") == b"[redacted by Kubently: word] \xef\xbf\xbd"
    assert word.apply(b"ab\xffcd") == b"ab\xffcd"
    assert (
        patterns({"name": "umlaut", "pattern": "[äö]+"}).apply("xäöy".encode()) == b"x[redacted by Kubently: umlaut]y"
    )


def test_what_matches_nothing_at_some_place_takes_nothing_out_there() -> None:
    assert patterns({"name": "edge", "pattern": r"\b|(?:ab)"}).apply(b"xx ab") == b"xx ab"


@pytest.mark.parametrize(
    "redact",
    [
        None,
        [],
        {"rules": []},
        {"patterns": {}},
        {"patterns": ["x"]},
        {"patterns": [{"name": "x"}]},
        {"patterns": [{"pattern": "x"}]},
        {"patterns": [{"name": "X", "pattern": "x"}]},
        {"patterns": [{"name": "x", "pattern": ""}]},
        {"patterns": [{"name": "x", "pattern": 5}]},
        {"patterns": [{"name": "x", "pattern": "("}]},
        {"patterns": [{"name": "x", "pattern": "(?<=a)b"}]},
        {"patterns": [{"name": "x", "pattern": r"(a)\1"}]},
        {"patterns": [{"name": "x", "pattern": "a*"}]},
        {"patterns": [{"name": "x", "pattern": "a|"}]},
        {"patterns": [{"name": "x", "pattern": "\ud800"}]},
        {"patterns": [{"name": "x", "pattern": "((a{100}){100}){100}"}]},
        {"patterns": [{"name": "x", "pattern": "a" * 1001}]},
        {"patterns": [{"name": "x", "pattern": "a", "replace": "b\n"}]},
        {"patterns": [{"name": "x", "pattern": "a", "replace": "b" * 201}]},
        {"patterns": [{"name": "x", "pattern": "a", "flags": "i"}]},
        {"patterns": [{"name": "x", "pattern": "a"}, {"name": "x", "pattern": "b"}]},
        {"patterns": [{"name": f"x{index}", "pattern": "a"} for index in range(33)]},
    ],
)
def test_odd_patterns_are_config_errors(redact: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        policy.parse_policy({"mode": "read-only", "redact": redact})

    assert refused.value.message


def test_the_error_names_the_pattern_and_says_what_is_wrong_with_it() -> None:
    with pytest.raises(ConfigError, match=r"'card' cannot be read: missing \)") as refused:
        patterns({"name": "card", "pattern": "("})

    assert "RE2" in refused.value.hint


@pytest.mark.parametrize("grants", [None, "helm-releases", ["helm"], [["helm-releases"]], [{}], [None], {"helm": 1}])
def test_odd_grants_are_config_errors(grants: Any) -> None:
    with pytest.raises(ConfigError):
        policy.parse_policy({"mode": "read-only", "grants": grants})


def test_the_grants_of_a_policy_are_known() -> None:
    assert policy.parse_policy({"mode": "read-only", "grants": ["helm-releases"]}).grants == {"helm-releases"}
    assert policy.parse_policy({"mode": "read-only", "grants": []}) == policy.DEFAULT_POLICY
