"""Which credentials an executor has by its settings, and how it asks the API for its first certificate."""

from __future__ import annotations

from functools import partial

import anyio

from kubently.client import Api, ApiUnreachableError
from kubently.executor.apiserver import ApiServer
from kubently.executor.cluster import describe
from kubently.executor.credentials import Credentials, StaticToken
from kubently.executor.identity import Identity
from kubently.executor.keeping import Folder, Keeping, Secret
from kubently.schema import ExecutorCertificate, parse_cluster_id
from kubently.settings import ExecutorSettings
from kubently.trust.connect import ProxyError

PATH = "/executor/v1/enrol"
_TIMEOUT = 30.0


def make_credentials(settings: ExecutorSettings, api_server: ApiServer) -> Credentials:
    """A certificate of its own where there is a place to keep one, else the token."""
    static = StaticToken(settings.token, settings.token_file)
    keeping = keeping_of(settings, api_server)
    if keeping is None:
        return static
    return Identity(
        parse_cluster_id(settings.cluster_id),
        keeping,
        token=partial(_enrolment_token, settings),
        enrol=partial(_enrol, settings, api_server),
        fallback=static if settings.token else None,
    )


def keeping_of(settings: ExecutorSettings, api_server: ApiServer | None) -> Keeping | None:
    """Where its identity is kept, if anywhere; *api_server* is needed for a Secret only."""
    if settings.identity_dir:
        return Folder(settings.identity_dir)
    return Secret(api_server, settings.identity_secret) if api_server and settings.identity_secret else None


def _enrolment_token(settings: ExecutorSettings) -> str:
    """As it is now; empty where there is none, or its file is being replaced."""
    if settings.enrolment_token_file is None:
        return settings.enrolment_token
    try:
        return settings.enrolment_token_file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


async def _enrol(settings: ExecutorSettings, api_server: ApiServer, token: str, request: str) -> ExecutorCertificate:
    """At the first API that can be reached. Raises ApiError, ApiUnreachableError, ProxyError, ConfigError."""
    _, uid = await describe(api_server)
    wish = {"cluster": settings.cluster_id, "request": request, "kube_system_uid": uid}
    for url in settings.api_urls:
        api = Api(url, token, timeout=_TIMEOUT, settings=settings.trust)
        try:
            return ExecutorCertificate.model_validate(await anyio.to_thread.run_sync(api.post, PATH, wish))
        except (ApiUnreachableError, ProxyError):
            if url == settings.api_urls[-1]:
                raise
    raise AssertionError("there is always a URL")
