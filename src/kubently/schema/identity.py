"""Who calls, and what they may touch."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from kubently.schema.base import Frozen


class Role(StrEnum):
    """What an API key may do."""

    VIEWER = "viewer"
    """See clusters and diagnose them."""
    OPERATOR = "operator"
    """Also run read-only commands and read the Kubernetes API."""
    ADMIN = "admin"
    """Also manage keys and executor tokens, and read the audit log."""


class Permission(StrEnum):
    """One thing a role allows."""

    READ_CLUSTERS = "clusters.read"
    DIAGNOSE = "clusters.diagnose"
    RUN = "commands.run"
    MANAGE = "identity.manage"
    READ_AUDIT = "audit.read"


PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ_CLUSTERS, Permission.DIAGNOSE}),
    Role.OPERATOR: frozenset({Permission.READ_CLUSTERS, Permission.DIAGNOSE, Permission.RUN}),
    Role.ADMIN: frozenset(Permission),
}


class Limit(Frozen):
    """A part of some clusters that a key may read; a field that is null sets no limit there."""

    clusters: tuple[str, ...] = ("*",)
    """Shell-style patterns of the cluster ids that it is about."""
    namespaces: tuple[str, ...] | None = None
    resources: tuple[str, ...] | None = None
    """"pods", "pods/log", "deployments.apps", "*.apps", "*/status"; as in RBAC without their subresources."""
    names: tuple[str, ...] | None = None


class Principal(Frozen):
    """An authenticated caller."""

    name: str
    """"key:<name>" for an API key, "user:<name>" for a person who logged in."""
    role: Role
    clusters: tuple[str, ...] = ("*",)
    """Shell-style patterns of the cluster ids it may see."""
    limits: tuple[Limit, ...] = ()
    """What it may read there: what one of these lets in. Empty: everything."""
    session: str = ""
    """Id of the login's session; empty for an API key."""
    expires_at: datetime | None = None
    """When that session ends."""


class KeyInfo(Frozen):
    """An API key without its secret."""

    id: str
    name: str
    role: Role
    clusters: tuple[str, ...]
    limits: tuple[Limit, ...] = ()
    created_at: datetime


class TokenInfo(Frozen):
    """The executor tokens of one cluster without their secrets."""

    cluster: str
    count: int
    """How many are valid at once: two during a rotation."""
    hashed: bool
    """False for a raw value that an operator wrote into the store."""
    source: str
    """"store" or "file"."""
    warnings: tuple[str, ...] = ()


class KeyRequest(Frozen):
    """A key to make."""

    name: str
    role: Role = Role.OPERATOR
    clusters: tuple[str, ...] = ("*",)
    limits: tuple[Limit, ...] = ()
    """Empty: everything in these clusters. Administrators have none."""


class NewKey(Frozen):
    """A key that was made; its secret is never shown again."""

    info: KeyInfo
    key: str


class NewToken(Frozen):
    """An executor token that was made; it is never shown again."""

    cluster: str
    token: str


class KubernetesToken(Frozen):
    """A short-lived token for one cluster's Kubernetes API."""

    cluster: str
    token: str
    expires_in: float
    """Seconds from now; relative, because clocks differ."""


class EnrolmentRequest(Frozen):
    """A cluster whose executor is to enrol."""

    ttl_seconds: float = Field(default=3600, ge=60, le=30 * 24 * 3600)
    """How long the token may be used."""
    kube_system_uid: str = Field(default="", max_length=256)
    """Uid of the cluster's namespace kube-system, where it is known: no other cluster can use the token then."""


class NewEnrolment(Frozen):
    """An enrolment token that was made; it is never shown again."""

    cluster: str
    token: str
    expires_at: datetime


class ExecutorEnrolment(Frozen):
    """What an executor sends to be enrolled, with the enrolment token as bearer."""

    cluster: str
    request: str
    """Certificate request (PKCS #10), PEM."""
    kube_system_uid: str = ""


class ExecutorCertificate(Frozen):
    """An executor's certificate, as its API issued it."""

    certificate: str
    """PEM."""
    authority: str
    """The CA's certificates, PEM."""


class BlockRequest(Frozen):
    """A certificate to block."""

    fingerprint: str
    """SHA-256 of its DER, hexadecimal."""
    reason: str = Field(default="", max_length=200)


class BlockedCertificate(Frozen):
    """A certificate that lets nobody in any more."""

    fingerprint: str
    by: str
    """Name of the principal that blocked it."""
    reason: str = ""
    at: datetime
