"""What a replica of the API bears."""

from __future__ import annotations

from dataclasses import dataclass

from kubently.settings import variables
from kubently.settings.variables import Environ


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """How much one replica of the API does at once; what is over a limit gets 429 and the limit's name."""

    commands_per_cluster: int = 64
    """``KUBENTLY_MAX_COMMANDS_PER_CLUSTER``: commands that run at once on one cluster."""
    requests_per_cluster: int = 448
    """``KUBENTLY_MAX_REQUESTS_PER_CLUSTER``: Kubernetes requests to one cluster at once, watches among them. A session
    carries 512 streams: the rest is for commands, whatever watches there are."""
    requests: int = 8192
    """``KUBENTLY_MAX_REQUESTS``: commands and Kubernetes requests at once in all."""
    requests_per_key: int = 1024
    """``KUBENTLY_MAX_REQUESTS_PER_KEY``: those of one API key or person at once."""
    request_rate_per_key: float = 1000.0
    """``KUBENTLY_REQUEST_RATE_PER_KEY``: those that one key or person begins in a second, twice as many after a pause;
    0 for no limit."""
    accept_rate: float = 500.0
    """``KUBENTLY_ACCEPT_RATE``: executors that one replica lets in in a second, twice as many after a pause; others are
    told to come again (503); 0 for no limit."""
    follow_rate: float = 1024 * 1024.0
    """``KUBENTLY_FOLLOW_RATE``: bytes a second of one followed log, which is slowed down to it; 0 for no limit."""
    follow_burst: float = 16 * 1024 * 1024.0
    """``KUBENTLY_FOLLOW_BURST``: bytes of it that pass before."""

    @classmethod
    def from_env(cls, environ: Environ) -> LimitSettings:
        """Read from *environ*. Raises ConfigError that names the variable."""
        return cls(
            commands_per_cluster=int(
                variables.number(environ, "KUBENTLY_MAX_COMMANDS_PER_CLUSTER", 64, low=1, high=10_000)
            ),
            requests_per_cluster=int(
                variables.number(environ, "KUBENTLY_MAX_REQUESTS_PER_CLUSTER", 448, low=1, high=10_000)
            ),
            requests=int(variables.number(environ, "KUBENTLY_MAX_REQUESTS", 8192, low=1, high=1_000_000)),
            requests_per_key=int(
                variables.number(environ, "KUBENTLY_MAX_REQUESTS_PER_KEY", 1024, low=1, high=1_000_000)
            ),
            request_rate_per_key=variables.number(environ, "KUBENTLY_REQUEST_RATE_PER_KEY", 1000, low=0, high=1e6),
            accept_rate=variables.number(environ, "KUBENTLY_ACCEPT_RATE", 500, low=0, high=1e6),
            follow_rate=variables.number(environ, "KUBENTLY_FOLLOW_RATE", 1024 * 1024, low=0, high=1e12),
            follow_burst=variables.number(environ, "KUBENTLY_FOLLOW_BURST", 16 * 1024 * 1024, low=0, high=1e12),
        )
