"""What an archive does not hold is refused or warned of, never shown as empty."""

from __future__ import annotations

import dataclasses

import pytest
from tests.unit.archive import samples

from kubently.archive import answers, format
from kubently.kube import partial

PODS = ("", "pods")
POD = "/api/v1/namespaces/shop/pods"
NODES = "/api/v1/nodes"


def held(**kinds: format.Held) -> format.Archive:
    """A bundle with a pod in each of two namespaces, and what it says that it holds."""
    found = samples.archive(samples.pod("web"), samples.pod("api", "back"))
    return dataclasses.replace(
        found, held={("", name): value for name, value in kinds.items()}, layout="bundle", knows_types=False
    )


def warned(found: format.Archive, path: str) -> partial.Partial | None:
    """What the answer says that it lacks."""
    return partial.heard([(samples.get(found, path).headers or {}).get("warning", "")])


ONLY_SHOP = held(pods=format.Held(everywhere=False, namespaces=frozenset({"shop"})))
SINGLES = held(pods=format.Held(everywhere=False))


def test_our_own_archive_is_whole() -> None:
    assert warned(samples.archive(samples.pod("web")), "/api/v1/pods") is None
    assert samples.get_json(samples.archive(), NODES)["items"] == []


def test_a_whole_type_is_answered_without_a_word() -> None:
    assert warned(held(pods=format.Held(everywhere=True)), "/api/v1/pods") is None


def test_a_list_of_all_namespaces_says_which_are_whole() -> None:
    assert warned(ONLY_SHOP, "/api/v1/pods") == partial.Partial("the bundle may lack pods", frozenset({"shop"}))
    assert warned(ONLY_SHOP, POD) is None
    assert warned(ONLY_SHOP, f"{POD}/web") is None


def test_single_objects_are_served_with_a_warning() -> None:
    assert warned(SINGLES, POD) == partial.Partial("the bundle may lack pods")
    assert warned(SINGLES, f"{POD}/web") is None


@pytest.mark.parametrize(
    ("found", "path", "words"),
    [
        (ONLY_SHOP, NODES, "nodes is forbidden: the bundle did not collect nodes"),
        (ONLY_SHOP, f"{NODES}/n1", 'nodes "n1" is forbidden: the bundle did not collect nodes'),
        (ONLY_SHOP, "/api/v1/namespaces/dark/pods", "the bundle did not collect pods of the namespace dark"),
        (ONLY_SHOP, "/api/v1/namespaces/dark/pods?watch=1", "the bundle did not collect pods of the namespace dark"),
        (SINGLES, f"{POD}/gone", "the bundle did not collect pods of the namespace shop"),
        (SINGLES, f"{POD}/gone/log", "the bundle did not collect pods of the namespace shop"),
    ],
)
def test_what_was_not_collected_is_refused(found: format.Archive, path: str, words: str) -> None:
    with pytest.raises(answers.RefusedError, match=words) as caught:
        samples.get(found, path)

    assert (caught.value.code, caught.value.reason) == (403, "Forbidden")


def test_an_object_that_is_not_in_a_whole_namespace_does_not_exist() -> None:
    with pytest.raises(answers.RefusedError, match='pods "gone" not found') as caught:
        samples.get(ONLY_SHOP, f"{POD}/gone")

    assert caught.value.code == 404


def test_programs_hear_that_the_types_are_not_known_and_kubectl_is_spared() -> None:
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"

    assert warned(ONLY_SHOP, "/apis") == partial.Partial("the bundle does not say which custom resources there are")
    assert "warning" not in (samples.get(ONLY_SHOP, "/apis", aggregated).headers or {})
