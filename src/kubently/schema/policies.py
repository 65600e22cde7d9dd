"""Asking what the policy says of a request."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from kubently.schema.base import Frozen


class PolicyQuestion(Frozen):
    """One request as Kubernetes' authorizers see it: of a resource, or of a path."""

    verb: str = Field(max_length=20, examples=["list"])
    resource: str = Field(default="", max_length=300, examples=["deployments.apps/scale"])
    """As kubectl takes it: plural, singular or short name, with group and subresource where needed."""
    name: str = Field(default="", max_length=253)
    namespace: str = Field(default="default", max_length=63)
    """Without meaning for resources that have none."""
    all_namespaces: bool = False
    path: str = Field(default="", max_length=2000, examples=["/healthz"])


class Authority(StrEnum):
    """Who decides."""

    KEY = "key"
    """The role of the API key."""
    POLICY = "policy"
    """The executor's table of rules, and within it the limits of the key."""
    CLUSTER = "cluster"
    """The cluster's own access rules (RBAC), for the user as whom requests are made."""


class PolicyVerdict(Frozen):
    """What one authority says."""

    by: Authority
    allowed: bool
    rule: str = ""
    """Which rule decided, where there are named ones."""
    reason: str = ""


class PolicyAnswer(Frozen):
    """The request as it was understood, and what each authority says up to the first that refuses."""

    request: str
    verdicts: tuple[PolicyVerdict, ...]

    @property
    def allowed(self) -> bool:
        """Whether everybody lets it in."""
        return all(verdict.allowed for verdict in self.verdicts)
