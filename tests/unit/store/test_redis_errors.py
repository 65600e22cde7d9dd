"""What each failure of Redis is called. tests/integration/test_redis.py brings the real ones about."""

from __future__ import annotations

import socket
import ssl

import pytest
from redis import exceptions
from redis.asyncio.sentinel import MasterNotFoundError

from kubently.errors import ConfigError
from kubently.store.redis_errors import unavailable
from kubently.store.targets import parse_redis

TARGET = parse_redis("redis://user:secret@redis.example:6379/0")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (exceptions.AuthenticationError("Authentication required."), "no-password"),
        (exceptions.AuthenticationError("invalid username-password pair or user is disabled."), "wrong-password"),
        (exceptions.NoPermissionError("User x has no permissions to run the 'get' command"), "not-permitted"),
        (exceptions.ResponseError("ACL failure in script: No permissions to access a channel"), "not-permitted"),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "loading"),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), "read-only"),
        (exceptions.ConnectionError("The previous master is now a slave"), "read-only"),
        (exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "out-of-memory"),
        (exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"), "not-saved"),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), "no-replicas"),
        (MasterNotFoundError("No master found for 'x' : a - auth:AuthenticationError"), "no-password"),
        (MasterNotFoundError("No master found for 'x' : a - network:ConnectionError"), "no-master"),
        (exceptions.ClusterDownError("The cluster is down"), "cluster-down"),
        (exceptions.RedisClusterException("Redis Cluster cannot be connected."), "cluster-down"),
        (exceptions.MovedError("1 127.0.0.1:7000"), "wrong-kind"),
        (exceptions.ConnectionError("max number of clients reached"), "too-many-clients"),
        (exceptions.TimeoutError("Timeout reading from socket"), "timeout"),
        (TimeoutError(), "timeout"),
        (socket.gaierror(-2, "Name or service not known"), "not-found"),
        (ConnectionRefusedError(111, "refused"), "refused"),
        (exceptions.ConnectionError("Connection closed by server."), "connection-lost"),
        (ConfigError("the CA file is gone", hint="check KUBENTLY_STORE_CA_CERT"), "settings"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "tls-not-spoken"),
        (exceptions.ResponseError("something of tomorrow"), "failed"),
    ],
)
def test_each_failure_has_a_reason_a_place_and_something_to_do(error: Exception, reason: str) -> None:
    failure = unavailable(error, TARGET)

    assert failure.details == {"reason": reason}
    assert "redis://redis.example:6379/0" in str(failure)
    assert "secret" not in f"{failure} {failure.hint}"
    assert failure.hint
    assert failure.retry_after


def test_what_led_to_it_counts_more_than_what_redis_py_made_of_it() -> None:
    try:
        try:
            raise ConnectionRefusedError(111, "refused")
        except OSError:
            raise exceptions.ConnectionError("Error 111 connecting to redis.example:6379.")  # noqa: B904  # as it does
    except exceptions.ConnectionError as error:
        failure = unavailable(error, TARGET)

    assert failure.details["reason"] == "refused"


def test_what_a_server_says_is_cut_and_printable() -> None:
    failure = unavailable(exceptions.ResponseError("\x1b[31m" + "x" * 1000), TARGET)

    assert "\x1b" not in str(failure)
    assert len(str(failure)) < 300
