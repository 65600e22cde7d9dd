"""The program in the cluster: dials out, runs read-only commands, forwards read-only Kubernetes requests."""

from kubently.executor.program import run
from kubently.executor.target import contexts

__all__ = ["contexts", "run"]
