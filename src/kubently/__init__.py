"""Kubently: one TLS endpoint to see into every Kubernetes cluster behind a firewall, read-only."""

__version__ = "0.1.0"
