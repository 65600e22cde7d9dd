"""The certificate that a listener of ours shows, taken from its files anew when they change.

New handshakes get the new certificate; connections that stand keep theirs. Files are compared by content, so that a
mounted Secret, which Kubernetes swaps by a symbolic link, counts as changed once it differs. A pair that cannot be used
is refused and the old one kept: who copies two files one after the other does not take the listener down in between.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from kubently.errors import ConfigError

log = logging.getLogger(__name__)

# Mozilla's intermediate profile for TLS 1.2; the suites of TLS 1.3 are all in it. Key exchange groups cannot be chosen
# from Python: an openssl.cnf does.
_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
_MAX_BYTES = 1024 * 1024


class ServedCertificate:
    """One listener's chain and key. Raises ConfigError where they cannot be used at the start.

    With *client_ca* clients are asked for a certificate, which they may leave out: one of those CAs (PEM) or of the
    file *client_ca_file*, which is read anew with the others.
    """

    def __init__(self, cert: Path, key: Path, *, client_ca: str = "", client_ca_file: Path | None = None) -> None:
        self._cert, self._key, self._client_ca, self._client_ca_file = cert, key, client_ca, client_ca_file
        self._files = (cert, key, *([client_ca_file] if client_ca_file else []))
        self.not_after = datetime.min.replace(tzinfo=UTC)
        """When the leaf ends to be valid."""
        self.not_before = self.not_after
        self.fingerprint = ""
        """SHA-256 of the leaf, hexadecimal."""
        self.problem = ""
        """Why the files as they are now are not used; empty when they are."""
        self._used, self._refused = _digest(*self._files), b""
        self._present: ssl.SSLContext
        self._load()
        self.context = self._make()
        """For the listener, for good: each handshake is given what is present."""
        self.context.sni_callback = self._choose

    def refresh(self) -> bool:
        """Look at the files; say whether there was a change that is used now. `problem` tells of one that is not."""
        try:
            digest = _digest(*self._files)
            if digest in (self._used, self._refused):
                self.problem = self.problem if digest == self._refused else ""
                return False
            self._refused = digest
            self._load()
        except ConfigError as error:
            if self.problem != error.message:
                log.error("the new certificate is not used; the old one stays", extra={"reason": error.message})
            self.problem = error.message
            return False
        self._used, self._refused, self.problem = digest, b"", ""
        not_after = self.not_after.isoformat()
        log.info("a new certificate is shown", extra={"fingerprint": self.fingerprint, "not_after": not_after})
        return True

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, first: ssl.SSLContext) -> None:
        # A context can be given more CAs, never fewer: what changed has a new one.
        connection.context = self._present

    def _load(self) -> None:
        """Make a context of the files as they are now, then take it."""
        try:
            present = self._make()
            leaf = x509.load_pem_x509_certificate(self._cert.read_bytes())
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else error
            clients = f", or the CAs of clients in {self._client_ca_file}," if self._client_ca_file else ""
            raise ConfigError(
                f"the TLS certificate {self._cert} with the key {self._key}{clients} cannot be used: {reason}",
                hint="all must be PEM, readable, and certificate and key belong together",
            ) from error
        self._present = present
        self.not_before, self.not_after = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        self.fingerprint = leaf.fingerprint(hashes.SHA256()).hex()

    def _make(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.load_cert_chain(self._cert, self._key)
        if self._client_ca or self._client_ca_file:
            context.verify_mode = ssl.CERT_OPTIONAL
            # A resumed session would bring along a certificate whose CA was removed meanwhile.
            context.num_tickets = 0
            context.options |= ssl.OP_NO_TICKET
        if self._client_ca:
            context.load_verify_locations(cadata=self._client_ca)
        if self._client_ca_file:
            context.load_verify_locations(self._client_ca_file)
        return context


def _digest(*paths: Path) -> bytes:
    """A digest of files. Raises ConfigError when one cannot be read."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise ConfigError(f"the file {path} cannot be read: {error.strerror}", hint="check its mount") from error
        if len(content) > _MAX_BYTES:
            raise ConfigError(f"the file {path} is over {_MAX_BYTES} bytes", hint="it must be PEM")
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.digest()
