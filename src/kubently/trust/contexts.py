"""TLS contexts for whoever dials."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

from kubently.settings import TrustSettings
from kubently.trust import sources
from kubently.trust.sources import ClientCertificateError, Source

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def client_context(*, ca: str = "") -> ssl.SSLContext:
    """A verifying client context that trusts the system's roots and *ca*, as ``KUBENTLY_CA_CERT``.

    Raises ConfigError.
    """
    settings = TrustSettings(ca_cert=ca)
    return make_context(settings, [sources.parse(piece, now=0.0) for piece in sources.read(settings)])


def make_context(settings: TrustSettings, trusted: Sequence[Source]) -> ssl.SSLContext:
    """A client context for *settings*, whose sources were read as *trusted*. Raises ClientCertificateError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[settings.min_version]
    context.hostname_checks_common_name = False  # RFC 9525 section 2: names stand in subjectAltName
    set_rules(context)
    if not settings.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if not settings.ca_exclusive:
        _load_system(context, settings)
    # Folders of roots usually hold each certificate twice, alone and in one file of all.
    for certificate in dict.fromkeys(certificate for source in trusted for certificate in source.certificates):
        context.load_verify_locations(cadata=certificate)
    if settings.client_cert and settings.client_key:
        _load_client(context, settings.client_cert, settings.client_key)
    return context


def set_rules(context: ssl.SSLContext) -> None:
    """Verify chains by the same rules on every Python, which are those of Go and so of kubectl.

    Python 3.13 began to be strict: the CAs of many clusters, which have no key identifiers, fail there. A trusted
    intermediate is an anchor.
    """
    context.verify_flags = ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN


def _load_system(context: ssl.SSLContext, settings: TrustSettings) -> None:
    if not settings.cert_file and not settings.cert_dirs:
        context.load_default_certs()
        return
    # As in OpenSSL and Go, each of SSL_CERT_FILE and SSL_CERT_DIR stands for its own half of the system's roots only.
    paths = ssl.get_default_verify_paths()
    if not settings.cert_file and Path(paths.openssl_cafile).is_file():
        context.load_verify_locations(cafile=paths.openssl_cafile)
    if not settings.cert_dirs and Path(paths.openssl_capath).is_dir():
        context.load_verify_locations(capath=paths.openssl_capath)


def _load_client(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    for path in (cert, key):
        try:
            content = sources.read_file(path)
        except (OSError, ValueError) as error:
            cause = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise ClientCertificateError(
                f"{path} of the client certificate cannot be read: {cause}",
                hint="check KUBENTLY_CLIENT_CERT and KUBENTLY_CLIENT_KEY",
            ) from error
        if b"ENCRYPTED" in content:
            raise ClientCertificateError(
                f"the client key {path} is encrypted, and there is nobody to ask", hint="store it decrypted, mode 0600"
            )
    try:
        # Without a password of ours OpenSSL would ask for one on the terminal.
        context.load_cert_chain(cert, key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise _explain_pair(error, cert, key) from error


def _explain_pair(error: Exception, cert: Path, key: Path) -> ClientCertificateError:
    reason = getattr(error, "reason", "") or str(error)
    if reason == "KEY_VALUES_MISMATCH":
        return ClientCertificateError(
            f"the client key {key} is not the key of the certificate {cert}",
            hint="KUBENTLY_CLIENT_CERT must begin with the certificate that KUBENTLY_CLIENT_KEY belongs to",
        )
    return ClientCertificateError(
        f"the client certificate {cert} with the key {key} cannot be used: {reason}",
        hint="both must be PEM: the certificate with its chain, and an unencrypted key",
    )
