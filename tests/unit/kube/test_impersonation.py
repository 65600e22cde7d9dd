from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.errors import ConfigError
from kubently.kube import policy
from kubently.kube.policy import Impersonation

SRE = Impersonation.from_json({"groups": {"kubently:sre": ["key:ann", "key:ops-*"], "kubently:all": ["key:*"]}})


def groups_of(principal: str) -> list[bytes]:
    return [value for name, value in SRE.headers(principal) if name == b"impersonate-group"]


def test_a_principal_is_a_user_of_ours_in_the_executors_groups() -> None:
    assert SRE.headers("key:ann") == [
        (b"impersonate-user", b"kubently:key:ann"),
        (b"impersonate-group", b"kubently:sre"),
        (b"impersonate-group", b"kubently:all"),
    ]
    assert groups_of("key:ops-night") == [b"kubently:sre", b"kubently:all"]
    assert groups_of("key:bob") == [b"kubently:all"]
    assert groups_of("login:ann") == []


def test_nobody_is_a_user_without_groups() -> None:
    everybody = Impersonation.from_json({"groups": {"kubently:all": ["*"]}})

    assert everybody.headers("") == [(b"impersonate-user", b"kubently:unknown")]


@given(st.text(max_size=50))
def test_no_name_leaves_its_place(principal: str) -> None:
    """A control plane that was taken over cannot name a user of Kubernetes, nor write a second header."""
    for name, value in SRE.headers(principal.encode("utf-8", "replace").decode()):
        assert name in (b"impersonate-user", b"impersonate-group")
        assert value.startswith(b"kubently:")
        assert value.decode("ascii").isprintable() and b" " not in value


def test_without_it_requests_are_made_as_the_executor() -> None:
    assert policy.parse_policy({"mode": "read-only"}).impersonation is None
    assert policy.parse_policy({"mode": "read-only", "impersonate": {}}).impersonation == Impersonation()


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"users": {}},
        {"groups": []},
        {"groups": {"system:masters": ["*"]}},
        {"groups": {"kubently:": ["*"]}},
        {"groups": {"kubently:a\nb": ["*"]}},
        {"groups": {"kubently:sre": "key:ann"}},
        {"groups": {"kubently:sre": [3]}},
        {"groups": {"kubently:sre": [""]}},
        {"groups": {f"kubently:g{number}": [] for number in range(65)}},
    ],
)
def test_odd_impersonation_is_a_config_error(value: Any) -> None:
    with pytest.raises(ConfigError):
        policy.parse_policy({"mode": "read-only", "impersonate": value})
