"""What a failure of Redis means: one sentence with the place, one thing to do, and a slug in ``details["reason"]``."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from redis import exceptions
from redis.asyncio.sentinel import MasterNotFoundError

from kubently import trust
from kubently.errors import ConfigError, StoreUnavailableError
from kubently.store.targets import RedisTarget

FAILURES = (exceptions.RedisError, exceptions.RedisClusterException, OSError, ConfigError)
"""What may come of using a client; TimeoutError is an OSError, a CA file that is gone a ConfigError."""

COMMAND_TIMEOUT = 2.0
"""Seconds to connect, and of each wait for an answer."""


@dataclass(frozen=True, slots=True)
class _Meaning:
    reason: str
    applies: Callable[[BaseException], bool]
    what: str
    hint: str
    retry_after: float = 1.0


def _is(*kinds: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, kinds)


def _says(*texts: str) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, exceptions.RedisError) and any(text in str(error) for text in texts)


_forbids = _is(exceptions.NoPermissionError)
# Of a command within a script, before Redis 7.2 and after.
_forbids_in_script = _says("ACL failure", "The user executing the script can't")


def _refused_by_sentinels(error: BaseException) -> bool:
    # redis-py asks one after the other, and tells what each said by its name alone.
    return isinstance(error, MasterNotFoundError) and "AuthenticationError" in str(error)


_MEANINGS = (
    _Meaning("no-password", _says("Authentication required", "NOAUTH"), "wants a password, and none is set",
             "set KUBENTLY_STORE_PASSWORD or KUBENTLY_STORE_PASSWORD_FILE", 5),
    _Meaning("wrong-password", _is(exceptions.AuthenticationError, exceptions.AuthorizationError,
                                   exceptions.AuthenticationWrongNumberOfArgsError),
             "refuses the user or the password", "compare KUBENTLY_STORE_PASSWORD with the server's own", 5),
    _Meaning("not-permitted", lambda error: _forbids(error) or _forbids_in_script(error),
             "does not allow its user what is needed",
             "docs/howto/redis.md lists the commands and channels that the user must have", 5),
    _Meaning("loading", _is(exceptions.BusyLoadingError), "is still loading its data", "wait until it has"),
    _Meaning("read-only", _says("is now a slave"), "was the master until now", "the next attempt asks for the new one"),
    _Meaning("read-only", _is(exceptions.ReadOnlyError), "is a read-only replica",
             "let KUBENTLY_STORE name the master, or use redis+sentinel://"),
    _Meaning("out-of-memory", _is(exceptions.OutOfMemoryError), "has no memory left, and takes no writes",
             "give it more (maxmemory), or remove what others store there"),
    _Meaning("not-saved", _says("MISCONF"), "cannot save to its disk, and takes no writes",
             "look at its disk and its log"),
    _Meaning("no-replicas", _says("NOREPLICAS"), "has fewer replicas than it wants, and takes no writes",
             "look at its replicas (min-replicas-to-write)"),
    _Meaning("no-password", _refused_by_sentinels, "has sentinels that want a password, or another one",
             "set KUBENTLY_STORE_SENTINEL_PASSWORD", 5),
    _Meaning("no-master", _is(MasterNotFoundError), "has no master that a sentinel names",
             "check that the sentinels can be reached, and the service's name: SENTINEL MASTERS"),
    _Meaning("cluster-down", _is(exceptions.ClusterDownError, exceptions.SlotNotCoveredError),
             "is a cluster that is down: a part of its slots has no node", "look at CLUSTER INFO of its nodes"),
    _Meaning("cluster-down", _is(exceptions.RedisClusterException), "is no cluster that can be reached",
             "check that a node answers, and that it runs in cluster mode"),
    _Meaning("wrong-kind", _is(exceptions.AskError, exceptions.MovedError), "is a node of a cluster",
             "use redis+cluster:// and name some of its nodes"),
    _Meaning("wrong-database", _says("Invalid Database", "DB index"), "has no database of that number",
             "correct the number at the end of KUBENTLY_STORE", 5),
    _Meaning("too-many-clients", _says("max number of clients"), "has too many clients", "raise its maxclients"),
    _Meaning("timeout", _is(exceptions.TimeoutError, TimeoutError),
             f"did not answer within {COMMAND_TIMEOUT:g} s",
             "look at its load and at the network; rediss:// is for a port with TLS"),
    _Meaning("not-found", _is(socket.gaierror), "is at a name that is not found", "check the host in KUBENTLY_STORE"),
    _Meaning("refused", _is(ConnectionRefusedError), "cannot be reached: nothing listens there",
             "start it, or correct KUBENTLY_STORE"),
    _Meaning("connection-lost", _is(exceptions.ConnectionError, OSError), "cannot be reached: the connection was lost",
             "look at its log; rediss:// is for a port with TLS, redis:// for one without; one that wants a client "
             "certificate needs KUBENTLY_STORE_CLIENT_CERT"),
)  # fmt: skip


def unavailable(error: BaseException, target: RedisTarget) -> StoreUnavailableError:
    """*error*, which came of using *target*, as the error to raise."""
    chain = tuple(_chain(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLError):
            return _of_tls(cause, target)
        if isinstance(cause, ConfigError):
            return _made("settings", f"cannot be used: {cause.message}", cause.hint, 5, target)
    for meaning in _MEANINGS:
        if any(meaning.applies(e) for e in chain):
            return _made(meaning.reason, meaning.what, meaning.hint, meaning.retry_after, target)
    said = "".join(c for c in str(error)[:200] if c.isprintable())
    return _made("failed", f"failed: {said or type(error).__name__}", "look at its log", 1, target)


def _of_tls(error: ssl.SSLError, target: RedisTarget) -> StoreUnavailableError:
    host, port = target.hosts[0]
    found = trust.explain(error, f"https://{host}:{port}")
    message = found.message.replace(f"https://{host}:{port}", "its end")
    hint = found.hint.replace("KUBENTLY_CA_CERT", "KUBENTLY_STORE_CA_CERT").replace("the API's", "the store's")
    hint = hint.replace("KUBENTLY_CLIENT_", "KUBENTLY_STORE_CLIENT_").replace("http://", "redis://")
    return _made(found.code, f"cannot be used over TLS: {message}", hint, 5, target)


def _made(reason: str, what: str, hint: str, retry_after: float, target: RedisTarget) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"the store {target} {what}", hint=hint, retry_after=retry_after, details={"reason": reason}
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it; redis-py tells the cause by raising while it handles that."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
