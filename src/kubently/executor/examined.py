"""What the doctor looks at inside the pod: this executor's settings and credential. Nothing is enrolled or written."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from kubently.doctor import Subject
from kubently.errors import ConfigError
from kubently.executor.apiserver import ApiServer
from kubently.executor.enrolment import keeping_of
from kubently.executor.target import from_kubeconfig, in_cluster
from kubently.settings import ExecutorSettings
from kubently.trust import identity


async def subjects(settings: ExecutorSettings, environ: Mapping[str, str], *, hold: float) -> tuple[Subject, ...]:
    """One for each API of *settings*. Raises ConfigError, KubeError, OSError where the identity cannot be read."""
    shown, key = await _certificate(settings, environ)
    return tuple(
        Subject(
            url=url.rstrip("/"),
            trust=settings.trust,
            environ=environ,
            token="" if shown else settings.token,
            cluster=settings.cluster_id,
            certificate=shown,
            private_key=key,
            hold=hold,
        )
        for url in settings.api_urls
    )


async def _certificate(settings: ExecutorSettings, environ: Mapping[str, str]) -> tuple[str, str]:
    """The enrolled certificate as a dial shows it, and its key; empty where there is none."""
    async with contextlib.AsyncExitStack() as stack:
        api_server: ApiServer | None = None
        if settings.identity_secret:
            kubeconfig = settings.kubeconfig
            api_server = ApiServer(from_kubeconfig(kubeconfig, settings.context) if kubeconfig else in_cluster(environ))
            stack.push_async_callback(api_server.aclose)
        keeping = keeping_of(settings, api_server)
        pair = await keeping.load() if keeping else None
    if pair is None:
        return "", ""
    try:
        certificate = x509.load_pem_x509_certificate(pair.cert.encode())
    except ValueError as error:
        raise ConfigError("the executor's certificate cannot be read", hint="remove it, to enrol again") from error
    der = certificate.public_bytes(serialization.Encoding.DER)
    return f"{identity.SCHEME} {base64.b64encode(der).decode()}", pair.key
