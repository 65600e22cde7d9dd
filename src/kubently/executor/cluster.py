"""What the executor tells of its cluster: the version of the API server, and the uid of kube-system."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from kubently.errors import KubentlyError
from kubently.executor.apiserver import ApiServer

log = logging.getLogger(__name__)

_MAX_ANSWER = 1024 * 1024


async def describe(api_server: ApiServer) -> tuple[str, str]:
    """Version and uid; each empty where the API server does not say."""
    version, uid = "", ""
    try:
        version = str((await _get(api_server, b"/version")).get("gitVersion", ""))
        metadata = (await _get(api_server, b"/api/v1/namespaces/kube-system")).get("metadata")
        uid = str(metadata.get("uid", "")) if isinstance(metadata, dict) else ""
    except (KubentlyError, ValueError, RecursionError) as error:
        log.warning("the cluster's API server does not answer", extra={"reason": str(error)})
    return version, uid


async def _get(api_server: ApiServer, path: bytes) -> Mapping[str, Any]:
    response = await api_server.request(b"GET", path, [(b"accept", b"application/json")])
    try:
        body = b""
        while chunk := await response.read():
            body += chunk
            if len(body) > _MAX_ANSWER:
                raise ValueError("the answer is too large")
    finally:
        response.close()
    answer = json.loads(body) if response.status == 200 else {}
    return answer if isinstance(answer, dict) else {}
