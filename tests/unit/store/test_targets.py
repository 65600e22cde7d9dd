"""What the URLs of a Redis mean."""

from __future__ import annotations

import pytest

from kubently.errors import ConfigError
from kubently.store.targets import Kind, RedisTarget, masked, parse_redis


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("redis://host", RedisTarget(Kind.SINGLE, (("host", 6379),))),
        ("redis://host:7000/3", RedisTarget(Kind.SINGLE, (("host", 7000),), db=3)),
        ("rediss://[fd00::1]:7000/", RedisTarget(Kind.SINGLE, (("fd00::1", 7000),), secure=True)),
        ("redis://:p%40ss@host", RedisTarget(Kind.SINGLE, (("host", 6379),), password="p@ss")),
        ("redis://user:p@ss@host", RedisTarget(Kind.SINGLE, (("host", 6379),), username="user", password="p@ss")),
        (
            "redis+sentinel://a:1,b/name/2",
            RedisTarget(Kind.SENTINEL, (("a", 1), ("b", 26379)), service="name", db=2),
        ),
        ("redis+sentinel://a/name", RedisTarget(Kind.SENTINEL, (("a", 26379),), service="name")),
        ("rediss+cluster://a:1,b:2", RedisTarget(Kind.CLUSTER, (("a", 1), ("b", 2)), secure=True)),
        ("redis+cluster://a:1/0", RedisTarget(Kind.CLUSTER, (("a", 1),))),
    ],
)
def test_what_a_url_names(url: str, target: RedisTarget) -> None:
    assert parse_redis(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "redis:host",
        "redis://",
        "redis://a,b",
        "redis://host:0",
        "redis://host:70000",
        "redis://host:port",
        "redis://host/name",
        "redis://host/0?ssl_cert_reqs=none",
        "redis://ho st",
        "redis+sentinel://a",
        "redis+sentinel://a/na me",
        "redis+cluster://a/3",
        "redis+other://a",
        "redisx://a",
    ],
)
def test_what_names_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="names no store") as caught:
        parse_redis(url.replace("://", "://user:secret@"))

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["redis://host:6379/0", "rediss://[fd00::1]:6379/1", "redis+sentinel://a:1,b:2/name/0", "rediss+cluster://a:1,b:2"],
)
def test_a_target_is_shown_as_its_url_without_credentials(url: str) -> None:
    target = parse_redis(url.replace("://", "://user:secret@"))

    assert str(target) == url
    assert "secret" not in repr(target)
    assert masked(url.replace("://", "://user:secret@")) == url
