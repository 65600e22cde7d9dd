"""An executor's identity, as both ends understand it: names in its certificate, and the statement that its key signs.

A certificate alone is no proof: whoever reads it on the way could show it. The key signs a challenge inside the tunnel,
so a proxy that ends TLS does not break the proof (and is not stopped by it from reading what follows: see the threat
notes in docs/concepts/security.md).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from kubently.schema import ClusterId

SCHEME = "Kubently-Certificate"
"""Of the Authorization header: the certificate follows, DER in base64."""
ORGANIZATION = "kubently:executors"
"""O of every executor's subject; its CN is the cluster id."""
_URN = "urn:kubently:cluster:"
_LABEL = b"kubently executor proof v1"
_MAX_FIELD = 4096

UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What ``cryptography`` raises of certificates that somebody else wrote."""

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def subject(cluster: ClusterId) -> x509.Name:
    """The one subject that a request and a certificate of *cluster* may have."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, cluster),
        ]
    )


def alternative_name(cluster: ClusterId, generation: str) -> x509.SubjectAlternativeName:
    """The URI that says which generation of the cluster's certificates this one is of."""
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"{_URN}{cluster}:{generation}")])


def generation(certificate: x509.Certificate) -> str:
    """The generation that `alternative_name` wrote; empty when there is none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return ""
    found = [uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith(_URN)]
    return found[0].rpartition(":")[2] if found else ""


def make_key() -> ec.EllipticCurvePrivateKey:
    """A new ECDSA P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def to_pem(key: PrivateKey) -> bytes:
    """PKCS #8, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def read_key(pem: bytes) -> PrivateKey:
    """The key of *pem*. Raises ValueError when it is none that can prove an identity."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (TypeError, ValueError) as error:  # TypeError: it is encrypted
        raise ValueError(f"the private key cannot be read: {error}") from error
    if not isinstance(key, PrivateKey):
        raise ValueError("the private key is neither ECDSA nor Ed25519")
    return key


def make_request(key: PrivateKey, cluster: ClusterId) -> bytes:
    """A certificate request (RFC 2986) for *cluster*, PEM."""
    request = x509.CertificateSigningRequestBuilder().subject_name(subject(cluster)).sign(key, _hash(key))
    return request.public_bytes(serialization.Encoding.PEM)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER, hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether *authority* itself signed *certificate*."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError, *UNREADABLE):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the API wants signed."""

    nonce: str
    """Random, once."""
    session: str
    """Name of this session at the API."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The answer to a challenge."""

    host: str
    """Host and port that the executor dialled: a signature that somebody else asked for names another."""
    signature: str
    """Base64."""


def _statement(challenge: Challenge, cluster: str, host: str) -> bytes:
    """What is signed. Its parts hold no NUL, so no two statements are alike."""
    parts = (challenge.nonce, challenge.session, cluster, host.lower())
    return b"\0".join([_LABEL, *(part.encode() for part in parts)])


def sign(key: PrivateKey, challenge: Challenge, cluster: ClusterId, host: str) -> Proof:
    """Prove to the API at *host* that *key* is held here."""
    statement = _statement(challenge, cluster, host)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(statement, ec.ECDSA(hashes.SHA256()))
    else:
        signature = key.sign(statement)
    return Proof(host, base64.b64encode(signature).decode())


def is_proven(certificate: x509.Certificate, challenge: Challenge, cluster: ClusterId, proof: Proof) -> bool:
    """Whether the holder of *certificate*'s key signed *challenge* for *cluster* and the proof's host."""
    try:
        key, statement = certificate.public_key(), _statement(challenge, cluster, proof.host)
        signature = base64.b64decode(proof.signature, validate=True)
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, statement, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, statement)
        else:
            return False
    except (InvalidSignature, ValueError):  # no base64, half a surrogate pair in the host
        return False
    return True


# ---------------------------------------------------------------------- words in AUTH frames


def encode(kind: str, **words: Any) -> bytes:
    """The payload of an AUTH frame: JSON with its kind."""
    return json.dumps({"kind": kind, **words}).encode()


def decode(payload: bytes) -> Mapping[str, str]:
    """The words of an AUTH frame: text by name, ``kind`` among them. Raises ValueError for anything else."""
    try:
        words = json.loads(payload)
    except RecursionError as error:
        raise ValueError("the AUTH frame is nested too deep") from error
    if not isinstance(words, dict) or not isinstance(words.get("kind"), str):
        raise ValueError("the AUTH frame has no kind")
    return {name: value for name, value in words.items() if isinstance(value, str)}


def text(words: Mapping[str, str], name: str, *, most: int = _MAX_FIELD) -> str:
    """The word *name*. Raises ValueError when it is missing, too long or holds a NUL."""
    value = words.get(name, "")
    if not value or len(value) > most or "\0" in value:
        raise ValueError(f"the AUTH frame has no usable {name}")
    return value


def _hash(key: PrivateKey) -> hashes.SHA256 | None:
    return hashes.SHA256() if isinstance(key, ec.EllipticCurvePrivateKey) else None
