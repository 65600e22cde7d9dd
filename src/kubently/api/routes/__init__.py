"""The cold REST routes, on FastAPI: each parses, calls one service and returns schema types."""

from kubently.api.routes import audit, blocked, clusters, diagnoses, findings, keys, sessions, tokens, top

ROUTERS = (
    clusters.router,
    diagnoses.router,
    findings.router,
    tokens.router,
    keys.router,
    sessions.router,
    blocked.router,
    audit.router,
    top.router,
)

__all__ = ["ROUTERS"]
