"""Fakes and conformance suites for Kubently's own tests and for those who extend it."""

from kubently.testing.pairs import connected_pair, deliver

__all__ = ["connected_pair", "deliver"]
