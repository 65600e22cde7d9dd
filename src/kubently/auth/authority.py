"""The certificate authority of executors: it signs what they are enrolled for, and knows its own certificates again.

Its key lies in files that the operator gives (a mounted Secret, so that an emptied store costs no executor its
identity), or else in the store, made at the first need.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from kubently import trust
from kubently.errors import (
    CertificateRequestError,
    ConfigError,
    ExecutorCertificateError,
    ExecutorCertificateExpiredError,
    StoreError,
)
from kubently.schema import ClusterId
from kubently.store import ABSENT, Store
from kubently.trust import identity, spellings

STORED = "auth:executor-authority"
MAX_REQUEST = 16 * 1024
"""Bytes of a certificate request."""
_SKEW = timedelta(minutes=5)
_CURVES = (ec.SECP256R1, ec.SECP384R1)


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs with the first of ``certificates``, and accepts what any of them signed: that is how one follows another.

    ``lifetime`` is that of a certificate. ``now`` gives the instant.
    """

    certificates: tuple[x509.Certificate, ...]
    key: identity.PrivateKey
    lifetime: timedelta
    now: Callable[[], datetime]

    @property
    def pem(self) -> str:
        """The certificates, PEM."""
        return "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in self.certificates)

    def sign(self, request: x509.CertificateSigningRequest, cluster: ClusterId, generation: str) -> x509.Certificate:
        """A certificate for *cluster* over the request's key; nothing else of the request counts."""
        ca, now = self.certificates[0], self.now()
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=False,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(identity.subject(cluster))
            .issuer_name(ca.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(min(now + self.lifetime, ca.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(identity.alternative_name(cluster, generation), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(request.public_key()), critical=False)
            .add_extension(_issuer_of(ca), critical=False)
        )
        algorithm = None if isinstance(self.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        while True:  # every second ECDSA signature has the s that we want
            certificate = builder.sign(self.key, algorithm)
            if spellings.is_canonical(certificate, self.key.public_key()):
                return certificate

    def has_issued(self, certificate: x509.Certificate) -> bool:
        """Whether it is one of ours, for whatever cluster."""
        return any(identity.is_issued_by(certificate, ca) for ca in self.certificates)

    def check(self, der: bytes, cluster: ClusterId) -> x509.Certificate:
        """The certificate, if it is one of ours for *cluster* and valid now; its key is still to be proven.

        Raises ExecutorCertificateError, ExecutorCertificateExpiredError.
        """
        try:
            certificate = x509.load_der_x509_certificate(der)
            is_ours = any(
                identity.is_issued_by(certificate, ca) and spellings.is_canonical(certificate, ca.public_key())
                for ca in self.certificates
            )
            is_executors = certificate.subject == identity.subject(cluster)
        except identity.UNREADABLE as error:
            raise ExecutorCertificateError("what was sent as the executor's certificate is none") from error
        if not is_ours:
            raise ExecutorCertificateError(
                f"the executor's certificate for {cluster} was not issued by this API",
                hint="enrol the executor at this API: kubently cluster add prints how",
            )
        if not is_executors:
            raise ExecutorCertificateError(
                f"the executor's certificate is for {certificate.subject.rfc4514_string()[:200]}, not for {cluster}",
                hint="check KUBENTLY_CLUSTER_ID; an executor of another cluster needs an enrolment of its own",
            )
        # One from before its time is not refused: it is ours, and a clock of ours was turned back.
        if self.now() > certificate.not_valid_after_utc:
            raise ExecutorCertificateExpiredError(
                f"the executor's certificate for {cluster} ended at {certificate.not_valid_after_utc:%F %TZ}",
                hint=f"give the executor a new enrolment token: kubently cluster add {cluster}",
            )
        return certificate


def read_request(pem: bytes, cluster: ClusterId) -> x509.CertificateSigningRequest:
    """A request whose subject is exactly *cluster*'s and whose key is its maker's. Raises CertificateRequestError."""
    if len(pem) > MAX_REQUEST:
        raise CertificateRequestError(f"the certificate request is over {MAX_REQUEST} bytes")
    try:
        request = x509.load_pem_x509_csr(pem)
        key, asked = request.public_key(), request.subject
        is_signed = request.is_signature_valid
    except Exception as error:  # hostile input: besides ValueError, cryptography raises its own UnsupportedAlgorithm
        raise CertificateRequestError("the certificate request cannot be read", hint="send PKCS #10 as PEM") from error
    is_strong = isinstance(key, ed25519.Ed25519PublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)
    )
    if not is_strong:
        raise CertificateRequestError("the key of the certificate request is not ECDSA P-256, P-384 or Ed25519")
    if not is_signed:
        raise CertificateRequestError("the certificate request is not signed by its own key")
    if asked != identity.subject(cluster):
        raise CertificateRequestError(
            f"the certificate request asks for {asked.rfc4514_string()[:200]!r}, "
            f"and may ask for {identity.subject(cluster).rfc4514_string()!r} only"
        )
    return request


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """The CAs of a PEM file. Raises ConfigError."""
    try:
        certificates = tuple(x509.load_pem_x509_certificates(path.read_bytes()))
        if not _is_authority(certificates):
            raise ValueError("a certificate there is no CA")
    except (OSError, ValueError) as error:
        raise ConfigError(f"the CAs in {path} cannot be used: {error}", hint="give CA certificates as PEM") from error
    return certificates


async def open_authority(
    store: Store, files: tuple[Path, Path] | None, *, lifetime: timedelta, now: Callable[[], datetime]
) -> Authority:
    """The authority of *files* (certificates, key), or else of the store. Raises ConfigError, StoreError."""
    if files:
        try:
            return _authority(files[0].read_bytes(), files[1].read_bytes(), lifetime, now)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"the executors' CA {files[0]} with the key {files[1]} cannot be used: {error}",
                hint="both must be PEM, readable, and belong together; the key ECDSA or Ed25519",
            ) from error
    stored = await store.get(STORED)
    if stored is None:
        made = trust.make_authority("kubently executors")
        await store.put(
            STORED, json.dumps({"cert": made.cert.decode(), "key": made.key.decode()}).encode(), expected=ABSENT
        )
        stored = await store.get(STORED)
    try:
        record = json.loads(stored or b"")
        return _authority(record["cert"].encode(), record["key"].encode(), lifetime, now)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"the executors' CA in the store is broken: {error}", hint=f"remove the key {STORED}"
        ) from error


def _authority(certs: bytes, key: bytes, lifetime: timedelta, now: Callable[[], datetime]) -> Authority:
    certificates, private = tuple(x509.load_pem_x509_certificates(certs)), identity.read_key(key)
    if not _is_authority(certificates):
        raise ValueError("a certificate there is no CA")
    if certificates[0].public_key() != private.public_key():
        raise ValueError("the key is not that of the first certificate")
    if not spellings.has_canonical(private):
        raise ValueError("the key is on a curve other than P-256, P-384 and P-521")
    return Authority(certificates, private, lifetime, now)


def _is_authority(certificates: Sequence[x509.Certificate]) -> bool:
    try:
        return all(c.extensions.get_extension_for_class(x509.BasicConstraints).value.ca for c in certificates)
    except x509.ExtensionNotFound:
        return False


def _issuer_of(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        own = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:  # an operator's own CA may have none
        key = ca.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey)  # it is that of our key
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
