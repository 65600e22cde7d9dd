"""What this machine alone can tell."""

from __future__ import annotations

import platform
import ssl

from kubently import __version__, trust
from kubently.doctor.results import Result, error, passed, skipped, warning
from kubently.doctor.subject import Subject
from kubently.errors import ConfigError
from kubently.schema.tokens import EXAMPLES, MIN_RAW_LENGTH


def verification(subject: Subject) -> Result:
    """KUBENTLY_SSL_VERIFY=false gives the credential to whoever answers."""
    if subject.trust.verify:
        return passed()
    return error(
        "verification-off",
        "KUBENTLY_SSL_VERIFY=false: whoever answers gets the credential",
        "trust the API's CA with KUBENTLY_CA_CERT, and remove KUBENTLY_SSL_VERIFY",
    )


def sources(subject: Subject) -> Result:
    """Whether a TLS context can be made of what is configured."""
    try:
        context = trust.Keeper(subject.trust).context()
    except ConfigError as failure:
        return error(failure.code, failure.message, failure.hint)
    count = len(context.get_ca_certs())
    if not count and not subject.trust.ca_cert and subject.url.startswith("https"):
        return warning("no-roots", "no CA is loaded", "install ca-certificates, or set KUBENTLY_CA_CERT")
    return passed(f"{count} CAs are trusted", trusted=count)


def variables(subject: Subject) -> Result:
    """Variables that other programs read and this one does not."""
    environ = subject.environ
    theirs = [name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if environ.get(name)]
    ours = [name for name in ("KUBENTLY_CA_CERT", "SSL_CERT_FILE", "SSL_CERT_DIR") if environ.get(name)]
    if theirs and not ours and not subject.trust.ca_cert:
        return warning("variable-not-read", f"{theirs[0]} is set, which is not read here", "set KUBENTLY_CA_CERT")
    return passed()


def versions(_: Subject) -> Result:
    """For a report of a bug."""
    return passed(f"kubently {__version__}, Python {platform.python_version()}, {ssl.OPENSSL_VERSION}")


def credential(subject: Subject) -> Result:
    """Whether the credential can be one, without asking anybody."""
    token = subject.token or subject.key
    if subject.certificate:
        return passed("an executor's certificate")
    if not token:
        return skipped("no token or API key is given")
    if token.lower() in EXAMPLES:
        return error("token-example", "the token is an example of a document", "make one: kubently token create")
    if not token.isascii() or not token.isprintable() or " " in token:
        return error("token-format", "the token has characters that no token has", "copy it anew, without line breaks")
    if len(token) < MIN_RAW_LENGTH:
        return warning("token-weak", f"the token is shorter than {MIN_RAW_LENGTH} characters", "rotate it")
    return passed()
