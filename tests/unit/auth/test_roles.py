"""What a person's rules add up to: never a role beyond the clusters of the rule that gives it."""

from __future__ import annotations

import pytest

from kubently.auth import roles
from kubently.auth.roles import Rule
from kubently.errors import NoRoleError
from kubently.schema import Limit, Role

ADMIN_DEV = Rule(groups=("dev-admins",), role=Role.ADMIN, clusters=("dev-*",))
VIEW_PROD = Rule(groups=("everybody",), role=Role.VIEWER, clusters=("prod-*",))
SHOP = Rule(groups=("shop",), role=Role.OPERATOR, clusters=("eu",), limits=(Limit(namespaces=("shop",)),))
BAR = Rule(groups=("bar",), role=Role.OPERATOR, clusters=("us",))
ANN = Rule(users=("ann@example.org",), role=Role.OPERATOR)


def test_a_role_does_not_spread_to_another_rules_clusters() -> None:
    principal = roles.decide([VIEW_PROD, ADMIN_DEV], "x", ["everybody", "dev-admins"])

    assert (principal.role, principal.clusters) == (Role.ADMIN, ("dev-*",))


def test_rules_of_one_role_add_up_and_limits_stay_with_their_clusters() -> None:
    principal = roles.decide([SHOP, BAR], "x", ["bar", "shop"])

    assert principal.clusters == ("eu", "us")
    assert principal.limits == (Limit(clusters=("eu",), namespaces=("shop",)), Limit(clusters=("us",)))


def test_without_any_limit_there_is_none() -> None:
    assert roles.decide([BAR], "x", ["bar"]).limits == ()


def test_a_user_is_named_to_the_letter() -> None:
    assert roles.decide([ANN], "ann@example.org", []).role is Role.OPERATOR
    with pytest.raises(NoRoleError):
        roles.decide([ANN], "Ann@example.org", [])


def test_no_rule_is_no_role() -> None:
    with pytest.raises(NoRoleError, match="groups seen: a, b") as caught:
        roles.decide([ANN, BAR], "bob", ["a", "b"])

    assert caught.value.details == {"groups": ["a", "b"]}
