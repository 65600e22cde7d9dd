"""Which answers are read and redacted before they leave the cluster, and how; all others pass untouched."""

from __future__ import annotations

from functools import partial

from anyio import to_thread

from kubently.kube import headers, helm, members, paths, redact
from kubently.kube.policy import Policy, asks_as_helm

_KINDS = {"configmaps": "ConfigMap", "secrets": "Secret"}
"""Core resources whose objects hold secrets, and their kinds: Tables do not name them."""


_MAX_AT_ONCE = 128 * 1024
"""Of an object that is rewritten on the event loop: text of short lines takes half a second for a megabyte."""


class SlowRewriter:
    """A rewriter that is better run in a thread: a release of Helm may hold megabytes of YAML."""

    held = _MAX_AT_ONCE

    def __init__(self, rewriter: members.Rewriter) -> None:
        self.feed = rewriter.feed
        self.finish = rewriter.finish


def rewriter_for(request: paths.ApiRequest, policy: Policy) -> members.Rewriter | None:
    """What the successful answer to *request* must go through; None where it passes as it is."""
    if request.is_log:
        return redact.TextRedactor(policy.patterns)
    kind = _KINDS.get(request.resource) if request.group == "" and request.is_resource_request else None
    if kind is None or request.verb == "create":
        return None
    # What was not granted was refused, so whatever asks as Helm does may read Helm's releases.
    if asks_as_helm(request):
        return SlowRewriter(_members(request, helm.redactor_for(request, policy)))
    rewrite = partial(
        redact.redact_object,
        kind=kind,
        secrets=policy.secrets,
        own_secret=policy.own_secret,
        patterns=policy.patterns,
    )
    return _members(request, rewrite)


def _members(request: paths.ApiRequest, rewrite: members.Rewrite) -> members.Rewriter:
    if request.verb == "watch":
        return members.WatchRewriter(rewrite)
    return members.ListRewriter(rewrite) if request.verb == "list" else members.WholeRewriter(rewrite)


def readable(request: paths.ApiRequest, fields: list[headers.Field]) -> list[headers.Field]:
    """Narrow request fields so that the answer is text or JSON that can be read here."""
    if request.is_log:
        return [field for field in fields if field[0] != b"accept-encoding"]
    narrowed = headers.inspectable_accept(fields)
    if not asks_as_helm(request):
        return narrowed
    return [*(field for field in narrowed if field[0] != b"accept"), (b"accept", b"application/json")]


async def feed(rewriter: members.Rewriter, data: bytes) -> bytes:
    """Do `Rewriter.feed` without holding up everything else for long."""
    is_long = rewriter.held + len(data) > _MAX_AT_ONCE
    return await to_thread.run_sync(rewriter.feed, data) if is_long else rewriter.feed(data)


async def finish(rewriter: members.Rewriter) -> bytes:
    """Do `Rewriter.finish` without holding up everything else for long."""
    return await to_thread.run_sync(rewriter.finish) if rewriter.held >= _MAX_AT_ONCE else rewriter.finish()
