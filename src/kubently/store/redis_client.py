"""redis-py's clients for what a URL names, put together here: time-outs, TLS and credentials are the same for all.

They never try again by themselves: whether a write may be repeated is not theirs to know.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from redis import asyncio as aio
from redis import exceptions
from redis.asyncio import cluster, connection, sentinel
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from kubently import trust
from kubently.errors import ConfigError
from kubently.settings import StoreSettings
from kubently.store.redis_errors import COMMAND_TIMEOUT
from kubently.store.targets import Kind, RedisTarget

CONNECTIONS = 32
"""Of one process to one server; whoever comes when all are in use waits for one."""
_SENTINEL_TIMEOUT = 1.0
"""Seconds for each sentinel: one that is away must not use up the time of those that are not."""
_CLIENT_NAME = "kubently-api"


class Connection(Protocol):
    """A connection of its own, for hints."""

    async def connect(self) -> None: ...
    async def disconnect(self, *, nowait: bool = ...) -> None: ...
    async def send_command(self, *words: str) -> None: ...
    async def read_response(self, *, timeout: float) -> Any: ...


class Client:
    """Commands to one server, to the master that sentinels name, or to a cluster."""

    def __init__(self, target: RedisTarget, settings: StoreSettings) -> None:
        self._target = target
        # Looked at for each new connection: a CA that is replaced needs no restart.
        self._keeper = trust.Keeper(settings.trust) if target.secure else None
        self._settings = settings
        self._turn = itertools.count()
        self._sentinel: sentinel.Sentinel | None = None
        self._cluster: cluster.RedisCluster | None = None
        if self._keeper:
            self._keeper.context()  # a CA that cannot be used is a mistake to be told now
        self._redis = self._open()

    def _open(self) -> Any:
        if self._target.kind is Kind.CLUSTER:
            self._cluster = self._open_cluster()
            return self._cluster
        if self._target.kind is Kind.SENTINEL:
            self._sentinel = self._open_sentinel()
            pool = sentinel.SentinelConnectionPool(  # type: ignore[no-untyped-call]  # redis-py's own gap
                self._target.service, self._sentinel, **self._options(sentinel.SentinelManagedConnection)
            )
            return aio.Redis.from_pool(pool)
        host, port = self._target.hosts[0]
        options = self._options(connection.Connection)
        return aio.Redis.from_pool(connection.ConnectionPool(host=host, port=port, **options))

    @property
    def is_cluster(self) -> bool:
        """Whether keys of one command may live on several servers."""
        return self._cluster is not None

    async def ask(self, *words: Any, node: Any = None) -> Any:
        """Send one command, to *node* of a cluster or where its key lives, and give what redis-py makes of it."""
        if node is not None:
            return await self._redis.execute_command(*words, target_nodes=node)
        return await self._redis.execute_command(*words)

    async def ask_many(self, commands: Sequence[Sequence[Any]]) -> Sequence[Any]:
        """Send several independent commands in one go, in a cluster one to each server."""
        pipeline = self._redis.pipeline(transaction=False) if not self.is_cluster else self._redis.pipeline()
        for words in commands:
            pipeline.execute_command(*words)
        return cast("Sequence[Any]", await pipeline.execute())

    async def has_moved(self) -> bool:
        """Whether the sentinels name another master than before; connections to that one are given up then."""
        if self._sentinel is None:
            return False
        pool: Any = self._redis.connection_pool
        before = pool.master_address
        with contextlib.suppress(exceptions.RedisError):  # who has a connection needs no sentinel
            await pool.get_master_address()
        if before is None or pool.master_address == before:
            return False
        await pool.update_active_connections_for_reconnect()
        return True

    async def masters(self) -> Sequence[Any]:
        """What to pass as *node*: each server that has keys."""
        if self._cluster is None:
            return (None,)
        await self._cluster.initialize()
        return list(self._cluster.get_primaries())

    def dedicated(self) -> Connection:
        """A connection of its own, not connected yet; the caller disconnects it."""
        if self._cluster is None:
            return cast("Connection", self._redis.connection_pool.make_connection())
        known = self._cluster.get_nodes()
        # Another one each time: any of them passes on what is published at any other.
        hosts = [(node.host, int(node.port)) for node in known] or list(self._target.hosts)
        host, port = hosts[next(self._turn) % len(hosts)]
        options = self._options(connection.Connection)
        kind = options.pop("connection_class")
        del options["max_connections"]
        return cast("Connection", kind(host=host, port=port, **options))

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        await self._redis.aclose()
        if self._cluster is None:
            await self._redis.connection_pool.disconnect()
        else:  # it closes nothing where its last command failed
            for nodes in ("nodes_cache", "startup_nodes"):
                await self._cluster.nodes_manager.aclose(nodes)
        if self._sentinel is not None:
            await self._sentinel.aclose()

    # ------------------------------------------------------------------ how they are made

    def _options(self, plain: type[connection.Connection], *, timeout: float = 0.0) -> dict[str, Any]:
        options: dict[str, Any] = {
            "db": self._target.db,
            "credential_provider": _Credentials.of(self._target, self._settings),
            "socket_timeout": timeout or COMMAND_TIMEOUT,
            "socket_connect_timeout": timeout or COMMAND_TIMEOUT,
            "retry": Retry(NoBackoff(), 0),
            "client_name": _CLIENT_NAME,
            "driver_info": None,  # two round trips less
            "protocol": 2,  # what version 3 adds (notices of maintenance, of invalidation) is not used
            "connection_class": plain,
            "max_connections": 2 * CONNECTIONS,  # the store itself waits; those of hints come on top
        }
        if self._keeper is not None:
            options["connection_class"] = _TRUSTED[plain]
            options["keeper"] = self._keeper
        return options

    def _open_sentinel(self) -> sentinel.Sentinel:
        options = self._options(connection.Connection, timeout=_SENTINEL_TIMEOUT) | {"db": 0}
        secret = self._settings.sentinel_password
        options["credential_provider"] = _Credentials("", secret) if secret else None
        found = sentinel.Sentinel([])  # type: ignore[no-untyped-call]  # redis-py's own gap
        found.sentinels = [
            aio.Redis.from_pool(connection.ConnectionPool(host=host, port=port, **options))
            for host, port in self._target.hosts
        ]
        return found

    def _open_cluster(self) -> cluster.RedisCluster:
        options = self._options(connection.Connection)
        kind = options.pop("connection_class")
        keeper = options.pop("keeper", None)
        nodes = [cluster.ClusterNode(host, port) for host, port in self._target.hosts]
        found = cluster.RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options)
        if keeper is not None:
            # It takes no class of connections, only files; its own options are what each node is made with.
            found.connection_kwargs |= {"connection_class": kind, "keeper": keeper}
            for node in found.startup_nodes:
                node.connection_class = kind
                node.connection_kwargs["keeper"] = keeper
        return found


class _Trusted(connection.Connection):
    """TLS by the house's rules, which redis-py's own options cannot say."""

    def __init__(self, *, keeper: trust.Keeper, **options: Any) -> None:
        super().__init__(**options)
        self._keeper = keeper

    def _connection_arguments(self) -> Mapping[str, Any]:
        name = self._keeper.settings.server_name or self.host
        return {**super()._connection_arguments(), "ssl": self._keeper.context(), "server_hostname": name}


class _TrustedSentinelManaged(sentinel.SentinelManagedConnection, _Trusted):
    """The same for a connection to whoever is master."""


_TRUSTED = {connection.Connection: _Trusted, sentinel.SentinelManagedConnection: _TrustedSentinelManaged}


class _Credentials(CredentialProvider):
    """User and password, from a file read at each connection, so that one that is rotated needs no restart."""

    def __init__(self, username: str, password: str, settings: StoreSettings | None = None) -> None:
        self._username = username
        self._password = password
        self._settings = settings

    @classmethod
    def of(cls, target: RedisTarget, settings: StoreSettings) -> _Credentials | None:
        """Those of the URL, else of the settings; None where there are none."""
        username = target.username or settings.username
        if target.password or settings.password or settings.password_file:
            return cls(username, target.password or settings.password, None if target.password else settings)
        if username:
            raise ConfigError(f"the store {target} has a user and no password", hint="set KUBENTLY_STORE_PASSWORD")
        return None

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """See redis-py."""
        password = (self._settings.present_password() if self._settings else "") or self._password
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """The same; the file is small and local."""
        return self.get_credentials()
