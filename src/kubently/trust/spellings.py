"""Who signed a certificate covered its content, not its bytes: the same content can be spelled in several ways.

Of an ECDSA signature (r, s), (r, n - s) is as good, and anybody can make the one of the other; some readers pass over
bits at the end of a signature that are said not to count. A fingerprint is of the bytes, so a list of fingerprints
would miss a certificate that its bearer spelled anew.
"""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

# SEC 2, sections 2.4.2, 2.5.1 and 2.6.1.
_ORDERS = {
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": int("F" * 48 + "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16),
    "secp521r1": int("1" + "F" * 64 + "FA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409", 16),
}


def is_plain(certificate: x509.Certificate) -> bool:
    """Whether every bit of its signature counts."""
    signature = certificate.signature
    return certificate.public_bytes(Encoding.DER).endswith(b"\0" + signature)


def is_canonical(certificate: x509.Certificate, issuer: object) -> bool:
    """Whether it is spelled as we spell those that we sign, with the smaller s; *issuer* is the public key."""
    if not is_plain(certificate):
        return False
    if not isinstance(issuer, ec.EllipticCurvePublicKey):
        return True
    order = _ORDERS.get(issuer.curve.name)
    return order is not None and 2 * decode_dss_signature(certificate.signature)[1] <= order


def has_canonical(issuer: object) -> bool:
    """Whether we know how certificates of that private or public key are spelled."""
    if not isinstance(issuer, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return True
    return issuer.curve.name in _ORDERS


def fingerprints(certificate: x509.Certificate) -> tuple[str, ...]:
    """SHA-256 of its DER and of the other spellings of an ECDSA signature, hexadecimal, its own first.

    Of which curve the issuer's key is need not be known: one that it is not of gives a name that nothing has.
    """
    ders = [certificate.public_bytes(Encoding.DER)]
    try:
        r, s = decode_dss_signature(certificate.signature)
    except ValueError:  # RSA or Ed25519
        r = s = 0
    ders += [_with(certificate, encode_dss_signature(r, order - s)) for order in _ORDERS.values() if 0 < s < order]
    return tuple(hashlib.sha256(der).hexdigest() for der in ders)


def _with(certificate: x509.Certificate, signature: bytes) -> bytes:
    """The DER of *certificate* with another signature (RFC 5280 section 4.1: content, algorithm, signature)."""
    der, content = certificate.public_bytes(Encoding.DER), certificate.tbs_certificate_bytes
    rest = der[der.index(content) + len(content) :]
    algorithm = rest[: 2 + rest[1]]  # an identifier and few parameters: never 128 bytes
    return _element(0x30, content + algorithm + _element(0x03, b"\0" + signature))


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 128 + len(digits)]) + digits + content
