"""The examples of the page about limits are what they are shown as."""

import re
from pathlib import Path

import yaml

from kubently.broker import narrowing
from kubently.kube import policy
from kubently.schema import ClusterId, Limit, Principal, Role

PAGE = (Path(__file__).parents[2] / "docs/howto/limit-access.md").read_text()
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def test_the_limits_are_limits() -> None:
    limits = [Limit.model_validate(item) for item in EXAMPLES[0]]
    narrowing.check(Role.OPERATOR, limits)
    person = Principal(name="key:shop-team", role=Role.OPERATOR, limits=tuple(limits))

    in_prod = narrowing.of(person, ClusterId("prod-eu"))
    in_staging = narrowing.of(person, ClusterId("staging-1"))
    elsewhere = narrowing.of(person, ClusterId("lab"))

    assert in_prod and in_prod.namespaces == {"shop", "kube-system"}
    assert in_staging and in_staging.namespaces is None
    assert elsewhere and elsewhere.narrowings == ()


def test_the_policy_impersonates_as_the_page_says() -> None:
    rules = policy.parse_policy(EXAMPLES[1])

    assert rules.impersonation
    assert rules.impersonation.headers("key:ann") == [
        (b"impersonate-user", b"kubently:key:ann"),
        (b"impersonate-group", b"kubently:sre"),
        (b"impersonate-group", b"kubently:viewers"),
    ]


def test_the_cluster_role_names_the_policys_groups() -> None:
    named = next(rule["resourceNames"] for rule in EXAMPLES[2]["rules"] if rule["resources"] == ["groups"])

    assert set(named) == set(EXAMPLES[1]["impersonate"]["groups"])
