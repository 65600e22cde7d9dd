"""The cold REST routes, on FastAPI: each parses, calls one service and returns schema types."""

from kubently.api.routes import audit, clusters, diagnoses, keys, tokens

ROUTERS = (clusters.router, diagnoses.router, tokens.router, keys.router, audit.router)

__all__ = ["ROUTERS"]
