"""A client of the public API."""

from kubently.client.api import Api, ApiError, ApiUnreachableError

__all__ = ["Api", "ApiError", "ApiUnreachableError"]
