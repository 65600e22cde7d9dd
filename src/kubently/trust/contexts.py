"""TLS contexts for whoever dials, and what a failed handshake means in words."""

from __future__ import annotations

import ssl
from pathlib import Path

from kubently.errors import ConfigError


def client_context(*, ca: str = "") -> ssl.SSLContext:
    """A verifying client context: TLS 1.2 or later, the system's roots plus *ca* (a PEM file's path, or PEM text).

    Raises ConfigError when *ca* cannot be read or holds no certificate.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    set_rules(context)
    if ca:
        text = ca if "-----BEGIN" in ca else _read(Path(ca))
        try:
            context.load_verify_locations(cadata=text)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(f"the CA bundle holds no usable certificate: {error}", hint="it must be PEM") from error
    return context


def set_rules(context: ssl.SSLContext) -> None:
    """Verify chains by the same rules on every Python, which are those of Go and so of kubectl.

    Python 3.13 began to be strict: the CAs of many clusters, which have no key identifiers, fail there. A trusted
    intermediate is an anchor.
    """
    context.verify_flags = ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the CA file {path} cannot be read: {error}", hint="check KUBENTLY_CA_CERT") from error


def explain(error: OSError, url: str) -> tuple[str, str]:
    """What went wrong while connecting to *url*, and what to try, each a sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_verification(error, url)
    if isinstance(error, ssl.SSLError):
        if "WRONG_VERSION_NUMBER" in str(error) or "UNEXPECTED_MESSAGE" in str(error):
            return f"{url} does not speak TLS on that port", "check the port, or use http:// for a plain listener"
        return (
            f"the TLS handshake with {url} failed: {getattr(error, 'reason', None) or error}",
            "check both ends' TLS versions",
        )
    if isinstance(error, TimeoutError):
        return f"{url} did not answer in time", "check the address, firewalls and proxies on the way"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {url}", "check the address and whether the API runs"
    if isinstance(error, ConnectionResetError) and url.startswith("http://"):
        return f"{url} closed the connection", "it may speak TLS there: try https://"
    return f"{url} cannot be reached: {error.strerror or error}", "check the address and its DNS name"


def _explain_verification(error: ssl.SSLCertVerificationError, url: str) -> tuple[str, str]:
    reason = error.verify_message or str(error)
    if error.verify_code in (18, 19, 20, 21):
        return (
            f"the certificate of {url} is signed by a CA that is not trusted here ({reason})",
            "give its CA with KUBENTLY_CA_CERT (or --ca), or serve the intermediate certificates too",
        )
    if error.verify_code == 10:
        return f"the certificate of {url} has expired", "renew it, and check the clock on both ends"
    if error.verify_code == 9:
        return f"the certificate of {url} is not valid yet", "check the clock on both ends"
    if error.verify_code in (62, 64):
        return f"the certificate of {url} is for another name ({reason})", "use a name that the certificate lists"
    return f"the certificate of {url} was refused: {reason}", "check the certificate chain"
