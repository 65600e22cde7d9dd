"""What is compared between an answer through Kubently and kubectl's own beside the cluster."""

from __future__ import annotations

import re

from tests.e2e.content import DIRECT, EXECUTOR

_AGES = re.compile(r"\b(\d+[dhmsy]){1,2}\b|<invalid>")
_CERTIFICATE = re.compile(r"X509SHA256=[0-9a-f]{64}")
_SERVER = re.compile(r"https://(127\.0\.0\.1:\d+|localhost:\d+/clusters/[a-z]+/k8s)")


def lines(text: str) -> list[str]:
    """The lines that are neither empty nor a comment."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def normal(text: str) -> str:
    """Output without what differs from one second, one user or one road to the next."""
    text = _CERTIFICATE.sub("certificate", text)
    text = _SERVER.sub("https://server", _AGES.sub("AGE", text)).replace(EXECUTOR, "user").replace(DIRECT, "user")
    return re.sub(r"[ \t]+", " ", text)
