"""What replicas say to each other of a caller."""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path

import pytest

from kubently import trust
from kubently.auth import Caller, PeerTrust, agree, open_peer_trust
from kubently.errors import ClusterNotFoundError, ConfigError, PermissionDeniedError, StoreError
from kubently.schema import ClusterId, Limit, Permission, Principal, Role
from kubently.store import MemoryStore

PROD = ClusterId("prod")
AUTHORITY = trust.make_authority("tests")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def caller(role: Role = Role.OPERATOR, clusters: tuple[str, ...] = ("prod",)) -> Caller:
    limits = (Limit(clusters=("prod",), namespaces=("shop",)),)
    return Caller(Principal(name="key:ann", role=role, clusters=clusters, limits=limits), Permission.RUN, "r1")


def pair(clock: Clock) -> tuple[PeerTrust, PeerTrust]:
    return PeerTrust(AUTHORITY, "a-1", now=clock), PeerTrust(AUTHORITY, "b-2", now=clock)


def test_a_word_tells_the_caller_as_it_is() -> None:
    one, other = pair(Clock())

    assert other.hear(one.vouch(caller(), PROD), PROD) == caller()


def test_a_word_counts_once() -> None:
    one, other = pair(Clock())
    word = one.vouch(caller(), PROD)
    other.hear(word, PROD)

    with pytest.raises(PermissionDeniedError, match="twice"):
        other.hear(word, PROD)


@pytest.mark.parametrize("seconds", [31, -31])
def test_a_word_of_another_time_is_refused(seconds: float) -> None:
    clock = Clock()
    one, other = pair(clock)
    word = one.vouch(caller(), PROD)
    clock.now += seconds

    with pytest.raises(PermissionDeniedError, match="old"):
        other.hear(word, PROD)


def test_a_word_that_was_heard_is_remembered_as_long_as_it_would_count() -> None:
    clock = Clock()
    one, other = pair(clock)
    clock.now += 29  # one's clock is ahead
    word = one.vouch(caller(), PROD)
    clock.now -= 29
    other.hear(word, PROD)
    clock.now += 58

    with pytest.raises(PermissionDeniedError, match="twice"):
        other.hear(word, PROD)


def test_a_word_for_another_cluster_is_refused() -> None:
    one, other = pair(Clock())

    with pytest.raises(PermissionDeniedError, match="for prod, not for dev"):
        other.hear(one.vouch(caller(), PROD), ClusterId("dev"))


@pytest.mark.parametrize(
    ("told", "error"),
    [(caller(role=Role.VIEWER), PermissionDeniedError), (caller(clusters=("dev",)), ClusterNotFoundError)],
)
def test_the_grants_are_looked_at_again(told: Caller, error: type[Exception]) -> None:
    one, other = pair(Clock())

    with pytest.raises(error):
        other.hear(one.vouch(told, PROD), PROD)


def test_a_word_that_was_changed_is_refused() -> None:
    one, other = pair(Clock())
    payload, _, mac = one.vouch(caller(), PROD).partition(b".")
    told = json.loads(base64.b64decode(payload))
    told["principal"]["role"] = "admin"

    with pytest.raises(PermissionDeniedError, match="not signed"):
        other.hear(base64.b64encode(json.dumps(told).encode()) + b"." + mac, PROD)


@pytest.mark.parametrize("word", [b"", b".", b"x.y", b"\xff.\xff"])
def test_garbage_is_refused(word: bytes) -> None:
    with pytest.raises(PermissionDeniedError, match="not signed"):
        pair(Clock())[0].hear(word, PROD)


def test_another_installation_is_a_stranger() -> None:
    clock = Clock()
    stranger = PeerTrust(trust.make_authority("tests"), "c-3", now=clock)

    with pytest.raises(PermissionDeniedError, match="not signed"):
        pair(clock)[0].hear(stranger.vouch(caller(), PROD), PROD)


@pytest.mark.parametrize("side", ["dialling", "listening"])
def test_contexts_verify_the_other_side(side: str) -> None:
    context: ssl.SSLContext = getattr(PeerTrust(AUTHORITY, "a-1", now=Clock()), side)

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is (side == "dialling")
    assert [cert["subject"] for cert in context.get_ca_certs()] == [((("commonName", "tests"),),)]


def test_who_goes_over_to_another_ca_understands_both() -> None:
    one, other = pair(Clock())
    before = one.vouch(caller(), PROD)
    newer = trust.make_authority("tests")
    other.adopt(newer)

    assert other.hear(before, PROD) == caller()
    one.adopt(newer)
    assert other.hear(one.vouch(caller(), PROD), PROD) == caller()


@pytest.mark.anyio
async def test_replicas_agree_on_a_ca_after_the_store_was_emptied() -> None:
    """One of them started in between, and made a new one."""
    store, clock = MemoryStore(clock=Clock()), Clock()
    old = await open_peer_trust(store, None, "a-1", now=clock)
    await store.delete("peer:authority")
    new = await open_peer_trust(store, None, "b-2", now=clock)

    await agree(store, old)
    await agree(store, new)

    assert old.authority == new.authority
    assert new.hear(old.vouch(caller(), PROD), PROD) == caller()


@pytest.mark.anyio
@pytest.mark.parametrize("value", [b"", b"{}", b'{"cert": "x", "key": "y"}', b"[]", b'{"cert": 1, "key": 2}'])
async def test_a_broken_ca_in_the_store_is_said_to_be_so(value: bytes) -> None:
    store = MemoryStore(clock=Clock())
    await store.put("peer:authority", value)

    with pytest.raises(StoreError, match="replicas' CA in the store is broken"):
        await open_peer_trust(store, None, "a-1", now=Clock())


@pytest.mark.anyio
async def test_a_ca_from_files(tmp_path: Path) -> None:
    AUTHORITY.write(tmp_path / "ca.crt", tmp_path / "ca.key")
    files = tmp_path / "ca.crt", tmp_path / "ca.key"
    store = MemoryStore(clock=Clock())

    assert (await open_peer_trust(store, files, "a-1", now=Clock())).authority == AUTHORITY
    files[1].write_text("nothing")
    with pytest.raises(ConfigError, match="cannot be used"):
        await open_peer_trust(store, files, "a-1", now=Clock())
