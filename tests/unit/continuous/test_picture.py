from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from kubently.analyzers.resources import CONFIG_MAPS, PODS
from kubently.continuous.picture import Picture
from kubently.kube.partial import Partial
from kubently.kubeclient import Change, Listing

from .watched_apiserver import pod


def listing(*members: dict[str, Any], **rest: Any) -> Listing:
    return Listing(members, is_complete=True, remaining=0, served_at=None, version="1", **rest)


def change(kind: str, member: dict[str, Any]) -> Change:
    return Change(kind, member, "2", 100)


def test_keeps_no_more_objects_than_its_limit_and_says_so() -> None:
    picture = Picture([PODS, CONFIG_MAPS], max_objects=3)
    picture.replace(PODS, listing(pod("a"), pod("b")))
    picture.live(PODS)
    picture.replace(CONFIG_MAPS, listing(pod("c")))
    picture.live(CONFIG_MAPS)

    picture.apply(PODS, change("ADDED", pod("d")))

    snapshot = picture.snapshot()
    assert picture.objects == 3
    assert len(snapshot.members(PODS)) == 2
    assert not snapshot.is_complete(PODS, "shop")
    assert snapshot.is_complete(CONFIG_MAPS, "shop")
    assert "limit is 3" in snapshot.blind[0].reason


def test_counts_objects_through_changes() -> None:
    picture = Picture([PODS])
    picture.replace(PODS, listing(pod("a"), pod("b")))

    picture.apply(PODS, change("MODIFIED", pod("a")))
    picture.apply(PODS, change("ADDED", pod("c")))
    picture.apply(PODS, change("DELETED", pod("b")))
    picture.apply(PODS, change("DELETED", pod("never-there")))

    assert picture.objects == 2


def test_a_snapshot_does_not_change_with_the_picture() -> None:
    picture = Picture([PODS])
    picture.replace(PODS, listing(pod("a")))
    before = picture.snapshot()

    picture.apply(PODS, change("ADDED", pod("b")))

    assert [member["metadata"]["name"] for member in before.resources[PODS]] == ["a"]


def test_is_settled_only_while_every_watch_stands_or_cannot() -> None:
    picture = Picture([PODS, CONFIG_MAPS])
    picture.live(PODS)

    one = picture.is_settled
    picture.blind(CONFIG_MAPS, "forbidden")
    both = picture.is_settled
    picture.broken(PODS)

    assert (one, both, picture.is_settled) == (False, True, False)


def test_ages_count_from_the_clusters_clock() -> None:
    picture, now = Picture([PODS]), datetime(2026, 3, 2, 10, tzinfo=UTC)

    picture.clock_seen(now + timedelta(minutes=5), now)

    assert picture.snapshot(now + timedelta(minutes=1)).read_at == now + timedelta(minutes=6)


def test_what_an_archive_lacks_is_not_taken_for_absent() -> None:
    picture = Picture([PODS])

    picture.replace(PODS, listing(pod("a"), lacks=Partial("only some namespaces", frozenset({"shop"}))))
    picture.live(PODS)

    snapshot = picture.snapshot()
    assert snapshot.is_complete(PODS, "shop")
    assert not snapshot.is_complete(PODS, "other")
