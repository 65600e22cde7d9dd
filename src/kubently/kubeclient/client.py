"""Asks one apiserver, over whatever transport the caller's httpx client has.

An answer that is not a success is a `KubeError` with the apiserver's Status; failures to reach the apiserver are
raised as the transport raises them.
"""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgspec

from kubently.analyzers import Resource
from kubently.errors import KubeError
from kubently.kube import objects, partial

PAGE = 500
"""Objects asked for at once, as kubectl does: large enough to need few round trips, small enough for the apiserver."""

MAX_PAGE = 64 * 1024 * 1024
"""Bytes of one page: an object has at most 1.5 MiB in etcd, and usually less than a hundredth of that."""
MAX_STATUS = 1024 * 1024

_PLAIN = {"Accept-Encoding": "identity"}

_GONE = 410


@dataclass(frozen=True, slots=True)
class Listing:
    """The objects of one resource."""

    members: tuple[dict[str, Any], ...]
    """Of managedFields only who and when; each with its kind and apiVersion."""
    is_complete: bool
    """False if the caller took no more."""
    remaining: int
    """How many more the apiserver says there are; 0 if it does not say."""
    served_at: datetime | None
    """The Date of the first answer: the cluster's clock."""
    lacks: partial.Partial | None = None
    """What an archived cluster says that it does not hold of it."""
    version: str = ""
    """The resourceVersion that a watch can go on from."""

    @classmethod
    def joined(cls, parts: Sequence[Listing]) -> Listing:
        """Several listings of the same resource as one."""
        return cls(
            tuple(member for part in parts for member in part.members),
            is_complete=all(part.is_complete for part in parts),
            remaining=sum(part.remaining for part in parts),
            served_at=next((part.served_at for part in parts if part.served_at), None),
            lacks=next((part.lacks for part in parts if part.lacks), None),
        )


class KubeClient:
    """A reader of one cluster. The httpx client is the caller's: its base URL, its credentials, its closing."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def get(self, path: str, **query: str | int | bool) -> dict[str, Any]:
        """Return the object at a URL path such as "/api/v1/namespaces/shop/pods/web-1".

        Raises KubeError if the apiserver refuses or answers anything but a JSON object.
        """
        document, _ = await self._document(path, query)
        return document

    async def groups(self) -> tuple[dict[str, Any], partial.Partial | None]:
        """Return the API groups, and what an archived cluster does not know of them."""
        document, response = await self._document("/apis", {})
        return document, _lacks(response)

    async def version(self) -> dict[str, Any]:
        """Return what GET /version says."""
        return await self.get("/version")

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        selector: str = "",
        take: Callable[[int], bool] | None = None,
    ) -> Listing:
        """Return the objects of a resource, page by page.

        *take* is told the size of every page and says whether to ask for the next. A list that the apiserver forgets
        between two pages (410) is begun again once.
        """
        try:
            return await self._pages(resource, namespace, selector, take)
        except KubeError as error:
            if status_code(error) != _GONE:
                raise
        return await self._pages(resource, namespace, selector, take)

    async def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        previous: bool = False,
        tail_lines: int = 200,
        limit_bytes: int = 64 * 1024,
        since_seconds: int | None = None,
    ) -> str:
        """Return the end of a container's log; bytes that are not UTF-8 become replacement characters."""
        query: dict[str, str | int | bool] = {"container": container, "tailLines": tail_lines}
        if since_seconds is not None:
            query["sinceSeconds"] = since_seconds
        if previous:
            query["previous"] = True
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        parts = bytearray()
        async with self._http.stream("GET", path, params=_encoded(query), headers=_PLAIN) as response:
            await _raise_for_status(response)
            async for part in parts_of(response):
                parts += part
                # limitBytes would keep the beginning of the tail; what matters is its end.
                del parts[:-limit_bytes]
        return parts.decode("utf-8", "replace")

    @contextlib.asynccontextmanager
    async def stream(self, path: str, **query: str | int | bool) -> AsyncIterator[httpx.Response]:
        """Ask for *path* and give the answer while it comes. Raises KubeError if the apiserver refuses."""
        headers = {"Accept": "application/json", **_PLAIN}
        async with self._http.stream("GET", path, params=_encoded(query), headers=headers) as response:
            await _raise_for_status(response)
            yield response

    async def _pages(
        self, resource: Resource, namespace: str | None, selector: str, take: Callable[[int], bool] | None
    ) -> Listing:
        members: list[dict[str, Any]] = []
        served_at: datetime | None = None
        query: dict[str, str | int | bool] = {"limit": PAGE}
        if selector:
            query["labelSelector"] = selector
        while True:
            page, response = await self._document(resource.path(namespace), query)
            served_at = served_at or date_of(response)
            fresh = [slim(member) for member in objects.members(page)]
            members.extend(fresh)
            wants_more = take is None or take(len(fresh))
            token = objects.text(page, "metadata", "continue")
            if not token:
                version = objects.text(page, "metadata", "resourceVersion")
                return Listing(
                    tuple(members),
                    is_complete=True,
                    remaining=0,
                    served_at=served_at,
                    lacks=_lacks(response),
                    version=version,
                )
            if not wants_more:
                remaining = objects.integer(page, "metadata", "remainingItemCount")
                version = objects.text(page, "metadata", "resourceVersion")
                return Listing(
                    tuple(members), is_complete=False, remaining=remaining, served_at=served_at, version=version
                )
            query["continue"] = token

    async def _document(
        self, path: str, query: Mapping[str, str | int | bool]
    ) -> tuple[dict[str, Any], httpx.Response]:
        async with self.stream(path, **query) as response:
            body = await _read(response, MAX_PAGE)
            with _unhurried_collector():
                document = parse(body)
            if document is None:
                raise KubeError(f"the answer to GET {path} is not a JSON object")
            return document, response


def status_code(error: KubeError) -> int:
    """Return the HTTP status that an apiserver refused with, 0 if the error does not say."""
    return objects.integer(error.details, "status", "code")


async def _read(response: httpx.Response, limit: int) -> bytes:
    """Read a whole body. Raises KubeError over *limit* bytes."""
    body = bytearray()
    async for part in parts_of(response):
        body += part
        if len(body) > limit:
            raise KubeError(f"the answer to {response.request.url.path} is over {limit} bytes")
    return bytes(body)


def parts_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """A body in pieces. Raises KubeError for a packed one, which was not asked for: it could unpack to anything."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise KubeError(f"the answer to {response.request.url.path} is packed, which was not asked for")
    return response.aiter_bytes()


async def _raise_for_status(response: httpx.Response) -> None:
    if response.is_success:
        return
    status = parse(await _read(response, MAX_STATUS)) or {}
    if objects.kind(status) != "Status":
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": objects.text(status, "detail")}
    status["code"] = response.status_code
    message = objects.text(status, "message") or f"the apiserver answered {response.status_code}"
    raise KubeError(message[:1000], details={"status": status})


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        # Python's own is slower and takes more: halves of surrogate pairs, whole numbers of any size.
        return json.loads(body)


def parse(body: bytes) -> dict[str, Any] | None:
    """A JSON object; None for anything else."""
    try:
        document = _decoded(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


@contextlib.contextmanager
def _unhurried_collector() -> Iterator[None]:
    """Look for garbage after a page was read, and not hundreds of times while its objects are made."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


_KEPT = ("manager", "operation", "apiVersion", "time", "subresource")


def slim(member: dict[str, Any]) -> dict[str, Any]:
    """Leave of managedFields, often half of an object, who changed it and when; which fields it was goes."""
    metadata = member.get("metadata")
    if isinstance(metadata, dict) and "managedFields" in metadata:
        entries = objects.mappings(metadata, "managedFields")
        metadata["managedFields"] = [{key: entry[key] for key in _KEPT if key in entry} for entry in entries]
    return member


def date_of(response: httpx.Response) -> datetime | None:
    """The apiserver's clock, as an answer tells it."""
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _lacks(response: httpx.Response) -> partial.Partial | None:
    return partial.heard(response.headers.get_list("warning"))


def _encoded(query: Mapping[str, str | int | bool]) -> dict[str, str]:
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in query.items()}
