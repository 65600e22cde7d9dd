"""What the Kubernetes API means: objects, request descriptions, policy, redaction. Decides, never asks."""

from __future__ import annotations

from kubently.kube import objects

__all__ = ["objects"]
