"""What the Kubernetes API means: requests, commands, policy, objects, redaction. Decides, never asks."""

from __future__ import annotations

from kubently.kube import headers, helm, kubectl, members, objects, paths, policy, redact
from kubently.kube.kubectl import KubectlCommand
from kubently.kube.paths import ApiRequest
from kubently.kube.policy import Allow, Decision, Deny, Narrowing, Policy

__all__ = [
    "Allow",
    "ApiRequest",
    "Decision",
    "Deny",
    "KubectlCommand",
    "Narrowing",
    "Policy",
    "headers",
    "helm",
    "kubectl",
    "members",
    "objects",
    "paths",
    "policy",
    "redact",
]
