"""What the Kubernetes API means: requests, policy, objects, redaction. Decides, never asks."""

from __future__ import annotations

from kubently.kube import headers, kubectl, objects, paths, policy, redact

__all__ = ["headers", "kubectl", "objects", "paths", "policy", "redact"]
