"""Which executor is it: by a token, by a certificate of ours whose key it proves, or by one that TLS proved already."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from kubently.auth import blocklist, client_certificates, executors
from kubently.auth.authority import MAX_REQUEST, Authority, read_request
from kubently.auth.blocklist import Blocklist
from kubently.auth.enrolment import Enrolments
from kubently.auth.executors import ExecutorTokens
from kubently.errors import ExecutorCertificateError, ExecutorCertificateExpiredError, KubentlyError
from kubently.schema import ClusterId, ExecutorCertificate
from kubently.store import Store
from kubently.trust import identity, spellings

CERTIFICATE = "certificate:"
"""How a credential that is a certificate begins; its fingerprints follow, and ``#`` with the generation of ours."""
_GENERATION = "auth:identity-generation:"
"""Of a cluster's certificates: those of another one have ended."""
_FIRST = "0"
PROOF_TIMEOUT = 30.0
"""Seconds that an executor has to answer a challenge."""


_Renew = Callable[[bytes, ClusterId, str], Awaitable[ExecutorCertificate]]
"""Makes a certificate for who holds one (DER), for its cluster, of a request (PEM)."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """An executor that may begin a session for its cluster."""

    cluster: ClusterId
    credential: str
    """What let it in, to be asked for again: the digest of a token, or `CERTIFICATE` and a fingerprint."""
    possession: Possession | None = None
    """What it has to prove in the tunnel before anything else; None when TLS or a token did that."""

    @property
    def is_key_bound(self) -> bool:
        """Whether it holds a private key, as opposed to a token that may be copied with a manifest."""
        return self.credential.startswith(CERTIFICATE)


class Identities:
    """The executors' tokens, certificates and enrolments together."""

    def __init__(
        self,
        store: Store,
        tokens: ExecutorTokens,
        enrolments: Enrolments,
        blocked: Blocklist,
        authority: Authority,
        *,
        client_authorities: Sequence[x509.Certificate] = (),
    ) -> None:
        self._store = store
        self._client_authorities = client_authorities
        self._tokens = tokens
        self._authority = authority
        self.enrolments = enrolments
        self.blocklist = blocked

    @property
    def hints(self) -> Sequence[str]:
        """Prefixes of the store whose changes may end a session."""
        return (executors.PREFIX, blocklist.PREFIX, _GENERATION)

    @staticmethod
    def cluster_of(key: str) -> ClusterId | None:
        """Whose sessions a change of *key* may end; None where it may be anybody's."""
        for prefix in (executors.PREFIX, _GENERATION):
            if key.startswith(prefix) and key != prefix:
                return ClusterId(key.removeprefix(prefix))
        return None

    @property
    def authority(self) -> str:
        """The executors' CA, PEM."""
        return self._authority.pem

    async def by_token(self, cluster: ClusterId, token: str) -> Admitted | None:
        """Who holds *token*; None when it is not valid for *cluster*."""
        digest = await self._tokens.verify(cluster, token)
        return Admitted(cluster, digest) if digest else None

    async def by_certificate(self, cluster: ClusterId, encoded: str, is_ours: Callable[[str], bool]) -> Admitted:
        """Who shows a certificate of ours (base64 of its DER), still to be proven for a host that *is_ours*.

        Raises ExecutorCertificateError, ExecutorCertificateExpiredError, CertificateBlockedError.
        """
        try:
            der = base64.b64decode(encoded, validate=True)
        except ValueError as error:  # binascii.Error, or letters beyond ASCII
            raise ExecutorCertificateError("what was sent as the executor's certificate is no base64") from error
        certificate = await self._checked(der, cluster)
        possession = Possession(der, cluster, is_ours, renew=self._renew)
        return Admitted(cluster, _credential(certificate), possession)

    async def by_client_certificate(self, cluster: ClusterId, der: bytes, *, is_verified: bool) -> Admitted:
        """Who showed a client certificate that TLS proved: to ourselves (*is_verified*), or to a trusted proxy.

        What a proxy hands on must be signed by one of the CAs itself: a proxy may ask for certificates and check none.
        Raises ExecutorCertificateError, ExecutorCertificateExpiredError, CertificateBlockedError.
        """
        try:
            certificate = x509.load_der_x509_certificate(der)
        except identity.UNREADABLE as error:
            raise ExecutorCertificateError("the client certificate cannot be read") from error
        if self._authority.has_issued(certificate):
            certificate = await self._checked(der, cluster)
            return Admitted(cluster, _credential(certificate))
        if not is_verified and not any(identity.is_issued_by(certificate, ca) for ca in self._client_authorities):
            raise ExecutorCertificateError(
                f"the client certificate that a proxy hands on for {cluster} is signed by none of the CAs",
                hint="KUBENTLY_CLIENT_CA must hold the CA that signed it itself, intermediate or not",
            )
        client_certificates.require_bound(certificate, cluster, now=self._authority.now())
        if not spellings.is_plain(certificate):
            raise ExecutorCertificateError("the client certificate's signature has bits that do not count")
        spelled = spellings.fingerprints(certificate)
        for fingerprint in spelled:
            await self.blocklist.require_free(fingerprint)
        return Admitted(cluster, CERTIFICATE + ",".join(spelled))

    async def enrol(self, cluster: ClusterId, token: str, request: str, *, kube_system_uid: str) -> ExecutorCertificate:
        """Use an enrolment token up. Raises CertificateRequestError, EnrolmentTokenError, EnrolmentTokenUsedError."""
        read = read_request(request.encode(), cluster)  # first: a request that is no good must not cost the token
        generation = await self._generation(cluster)  # first: what is reset from here on ends what comes of it
        await self.enrolments.redeem(token, cluster, read, kube_system_uid=kube_system_uid)
        return self._issue(read, cluster, generation)

    async def end(self, cluster: ClusterId) -> None:
        """End every certificate and enrolment token of *cluster*: its executors have to enrol anew."""
        await self.enrolments.revoke(cluster)
        await self._store.put(_GENERATION + cluster, secrets.token_hex(8).encode())

    async def is_current(self, cluster: ClusterId, credential: str) -> bool:
        """Whether *credential*, which let an executor in, would do so again."""
        if not credential.startswith(CERTIFICATE):
            return await self._tokens.is_current(cluster, credential)
        fingerprints, _, generation = credential.removeprefix(CERTIFICATE).partition("#")
        if generation and generation != await self._generation(cluster):
            return False
        for fingerprint in fingerprints.split(","):
            if await self.blocklist.is_blocked(fingerprint):
                return False
        return True

    async def _checked(self, der: bytes, cluster: ClusterId) -> x509.Certificate:
        certificate = self._authority.check(der, cluster)
        await self.blocklist.require_free(identity.fingerprint(certificate))
        if identity.generation(certificate) != await self._generation(cluster):
            raise ExecutorCertificateExpiredError(
                f"the certificates of {cluster} were ended by an administrator",
                hint=f"give the executor a new enrolment token: kubently cluster add {cluster}",
            )
        return certificate

    async def _generation(self, cluster: ClusterId) -> str:
        stored = await self._store.get(_GENERATION + cluster)
        return stored.decode() if stored else _FIRST

    def _issue(
        self, request: x509.CertificateSigningRequest, cluster: ClusterId, generation: str
    ) -> ExecutorCertificate:
        certificate = self._authority.sign(request, cluster, generation)
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        return ExecutorCertificate(certificate=pem, authority=self._authority.pem)

    async def _renew(self, present: bytes, cluster: ClusterId, request: str) -> ExecutorCertificate:
        """A new certificate for who proved to hold *present*, unless that ended meanwhile."""
        held = await self._checked(present, cluster)
        # Of the generation that was checked: a reset meanwhile ends the new one too.
        return self._issue(read_request(request.encode(), cluster), cluster, identity.generation(held))


def _credential(certificate: x509.Certificate) -> str:
    return f"{CERTIFICATE}{identity.fingerprint(certificate)}#{identity.generation(certificate)}"


class Possession:
    """What one session has to prove with *certificate* (DER), and what it may ask once it did.

    *is_ours* knows the hosts by which this API is dialled; *renew* makes a certificate of a request. There are many of
    these for long: what the proof alone needs is let go with it, and a parsed certificate is several KiB.
    """

    __slots__ = ("_certificate", "_cluster", "_expected", "_renew", "is_proven")

    def __init__(
        self, certificate: bytes, cluster: ClusterId, is_ours: Callable[[str], bool], *, renew: _Renew
    ) -> None:
        self._certificate = certificate
        self._cluster = cluster
        self._renew = renew
        challenge = identity.Challenge(secrets.token_hex(32), secrets.token_hex(8))
        self._expected: tuple[identity.Challenge, Callable[[str], bool]] | None = challenge, is_ours
        self.is_proven = False

    def challenge(self) -> bytes:
        """The first AUTH frame to send."""
        assert self._expected is not None
        challenge = self._expected[0]
        fingerprint = hashlib.sha256(self._certificate).hexdigest()
        return identity.encode("challenge", nonce=challenge.nonce, session=challenge.session, certificate=fingerprint)

    def prove(self, payload: bytes) -> None:
        """Take the answer; there is one attempt. Raises ExecutorCertificateError."""
        expected, self._expected = self._expected, None
        try:
            words = identity.decode(payload)
            proof = identity.Proof(identity.text(words, "host"), identity.text(words, "signature"))
        except ValueError as error:
            raise ExecutorCertificateError(f"the executor's proof cannot be read: {error}") from error
        if expected is None:
            raise ExecutorCertificateError("the executor proves its key a second time")
        challenge, is_ours = expected
        if not is_ours(proof.host):
            raise ExecutorCertificateError(
                f"the executor signed for {proof.host[:200]!r}, which is not this API",
                hint="a proxy in between that changes the Host header needs KUBENTLY_HOSTS to name the API's hosts",
            )
        certificate = x509.load_der_x509_certificate(self._certificate)
        if not identity.is_proven(certificate, challenge, self._cluster, proof):
            raise ExecutorCertificateError(f"the executor of {self._cluster} does not hold its certificate's key")
        self.is_proven = True

    async def answer(self, payload: bytes) -> bytes:
        """What a proven executor asks later: a new certificate. Always an AUTH frame's payload."""
        try:
            words = identity.decode(payload)
            if words["kind"] != "renew":
                return identity.encode("refused", code="request-invalid", reason="only renew is understood")
            made = await self._renew(
                self._certificate, self._cluster, identity.text(words, "request", most=MAX_REQUEST)
            )
        except ValueError as error:
            return identity.encode("refused", code="request-invalid", reason=str(error))
        except KubentlyError as error:
            return identity.encode("refused", code=error.code, reason=error.message)
        return identity.encode("certificate", certificate=made.certificate, authority=made.authority)
