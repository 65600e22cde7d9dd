"""Every error that Kubently raises on purpose.

    KubentlyError
    ├── ConfigError
    ├── AuthError
    │   ├── UnauthenticatedError
    │   │   ├── EnrolmentTokenError
    │   │   ├── ExecutorCertificateError
    │   │   ├── ExecutorCertificateExpiredError
    │   │   ├── IdentityTokenError
    │   │   └── SessionExpiredError
    │   ├── PermissionDeniedError
    │   │   ├── CertificateBlockedError
    │   │   ├── ClientCertificateMissingError
    │   │   └── NoRoleError
    │   └── OidcUnavailableError
    ├── NotFoundError
    ├── ConflictError
    │   └── EnrolmentTokenUsedError
    ├── InvalidRequestError
    │   └── CertificateRequestError
    ├── FleetError
    │   ├── ClusterNotFoundError
    │   ├── ClusterConflictError
    │   ├── ExecutorOfflineError
    │   ├── NotWatchedError
    │   ├── ApiDrainingError
    │   └── TooManyExecutorsError
    ├── TunnelError
    │   ├── LocalProtocolError
    │   ├── RemoteProtocolError
    │   ├── StreamResetError
    │   ├── TunnelClosedError
    │   ├── TunnelSessionGoneError
    │   └── UpgradeStrippedError
    ├── CommandError
    │   ├── CommandInvalidError
    │   ├── CommandDeniedError
    │   ├── CommandTimeoutError
    │   ├── CommandUnknownError
    │   ├── IdempotencyConflictError
    │   └── TooManyCommandsError
    ├── KubeError
    ├── AuditError
    │   ├── AuditUnavailableError
    │   └── JournalBrokenError
    └── StoreError
        └── StoreUnavailableError

``code`` is a stable slug used in JSON, logs and docs; ``hint`` says what the person can do. Which HTTP status a class
has stands in ``kubently.schema.problems`` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class KubentlyError(Exception):
    """Base of all errors raised on purpose.

    ``message`` is one sentence without a full stop; ``hint`` is what to try, or empty; ``details`` is JSON-able data
    that travels with the problem document.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: dict[str, Any] = dict(details or {})
        self.retry_after = retry_after
        """Seconds after which a new attempt makes sense, or None."""

    def __str__(self) -> str:
        return self.message


class ConfigError(KubentlyError):
    """A setting, file or flag of ours cannot be used."""

    code = "config-invalid"


class AuthError(KubentlyError):
    """Base of refusals by identity."""

    code = "auth"


class UnauthenticatedError(AuthError):
    """Nobody we know: no credential, or one that is wrong, revoked or expired."""

    code = "unauthenticated"


class PermissionDeniedError(AuthError):
    """Known, but not allowed."""

    code = "permission-denied"


class EnrolmentTokenError(UnauthenticatedError):
    """The enrolment token is unknown, expired, or for another cluster."""

    code = "enrolment-token-invalid"


class ExecutorCertificateError(UnauthenticatedError):
    """The executor's certificate is none of ours, for another cluster, or its key was not proven."""

    code = "executor-certificate-invalid"


class ExecutorCertificateExpiredError(UnauthenticatedError):
    """The executor's certificate is over, or was ended by a reset of its cluster: it must enrol again."""

    code = "executor-certificate-expired"


class IdentityTokenError(UnauthenticatedError):
    """The ID token of a login is refused: its signature, issuer, audience, age or use is wrong."""

    code = "id-token-invalid"


class SessionExpiredError(UnauthenticatedError):
    """The session of a login has expired or was revoked."""

    code = "session-expired"


class NoRoleError(PermissionDeniedError):
    """The person is known, and no rule of the roles file is about them; ``details["groups"]`` says what was seen."""

    code = "no-role"


class OidcUnavailableError(AuthError):
    """The OpenID provider cannot be reached, or what it publishes cannot be used; sessions go on meanwhile."""

    code = "oidc-unavailable"
    retryable = True


class CertificateBlockedError(PermissionDeniedError):
    """An operator blocked this certificate; ``details["fingerprint"]`` names it."""

    code = "certificate-blocked"


class ClientCertificateMissingError(PermissionDeniedError):
    """This API lets executors in by client certificate only, and none came that is bound to the cluster."""

    code = "client-certificate-missing"


class NotFoundError(KubentlyError):
    """The named thing of ours (key, token, command) does not exist."""

    code = "not-found"


class ConflictError(KubentlyError):
    """The named thing exists already, or changed meanwhile."""

    code = "conflict"


class EnrolmentTokenUsedError(ConflictError):
    """The enrolment token was used, with another key."""

    code = "enrolment-token-used"


class InvalidRequestError(KubentlyError):
    """The request to our API cannot be understood."""

    code = "request-invalid"


class CertificateRequestError(InvalidRequestError):
    """The certificate request is unreadable, or asks for more than the one thing that may be asked for."""

    code = "certificate-request-refused"


class FleetError(KubentlyError):
    """Base of failures to reach a cluster."""

    code = "fleet"


class ClusterNotFoundError(FleetError):
    """The cluster was never registered, or the caller may not see it."""

    code = "cluster-not-found"


class ClusterConflictError(FleetError):
    """Another cluster already uses this cluster id."""

    code = "cluster-conflict"


class ExecutorOfflineError(FleetError):
    """The cluster is registered but no executor is connected."""

    code = "executor-offline"
    retryable = True


class NotWatchedError(FleetError):
    """There is no history of the cluster: continuous diagnosis is off for it, or only begins."""

    code = "not-watched"


class ApiDrainingError(FleetError):
    """This replica of the API stops and takes no new sessions."""

    code = "api-draining"
    retryable = True


class TooManyExecutorsError(FleetError):
    """Executors come faster than this API lets them in."""

    code = "too-many-executors"
    retryable = True


class TunnelError(KubentlyError):
    """Base of failures of the tunnel."""

    code = "tunnel"


class LocalProtocolError(TunnelError):
    """Our own side broke the protocol: a bug."""

    code = "tunnel-local-protocol"


class RemoteProtocolError(TunnelError):
    """The peer broke the protocol; the tunnel is closed."""

    code = "tunnel-remote-protocol"


class StreamResetError(TunnelError):
    """The peer reset this stream; others go on."""

    code = "stream-reset"


class TunnelClosedError(TunnelError):
    """The tunnel ended while the stream was open."""

    code = "tunnel-closed"
    retryable = True


class TunnelSessionGoneError(TunnelError):
    """The long-poll session is over or was never here: another replica may have it."""

    code = "tunnel-session-gone"
    retryable = True


class UpgradeStrippedError(TunnelError):
    """An executor asked for a WebSocket, and what arrived was a plain request: something between took that out."""

    code = "upgrade-stripped"


class CommandError(KubentlyError):
    """Base of failures of a command that are not its exit code."""

    code = "command"


class CommandInvalidError(CommandError):
    """The argument list cannot be parsed."""

    code = "command-invalid"


class CommandDeniedError(CommandError):
    """Policy refuses the command; ``details["rule"]`` names the rule."""

    code = "command-denied"


class CommandTimeoutError(CommandError):
    """The command did not end before its deadline and was killed."""

    code = "command-timeout"


class CommandUnknownError(CommandError):
    """The executor was lost after it may have taken the command; whether it ran to its end is unknown."""

    code = "command-unknown"


class IdempotencyConflictError(CommandError):
    """The Idempotency-Key was used before with another body."""

    code = "idempotency-conflict"


class TooManyCommandsError(CommandError):
    """A concurrency or rate limit is reached; ``details["limit"]`` names it."""

    code = "too-many-commands"
    retryable = True


class KubeError(KubentlyError):
    """The Kubernetes API server refused; ``details["status"]`` is its metav1.Status."""

    code = "kubernetes"


class AuditError(KubentlyError):
    """Base of what keeps the audit log from being kept or believed."""

    code = "audit"


class AuditUnavailableError(AuditError):
    """The audit journal cannot be written, and what is not recorded does not happen."""

    code = "audit-unavailable"
    retryable = True


class JournalBrokenError(AuditError):
    """A line of an audit journal is not as it was written."""

    code = "audit-broken"


class StoreError(KubentlyError):
    """The store failed."""

    code = "store"


class StoreUnavailableError(StoreError):
    """The store cannot be reached or is locked."""

    code = "store-unavailable"
    retryable = True
