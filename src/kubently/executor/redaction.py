"""Which answers are read and redacted before they leave the cluster, and how; all others pass untouched."""

from __future__ import annotations

from functools import partial

from kubently.kube import headers, members, paths, redact
from kubently.kube.policy import Policy

_KINDS = {"configmaps": "ConfigMap", "secrets": "Secret"}
"""Core resources whose objects hold secrets, and their kinds: Tables do not name them."""


def rewriter_for(request: paths.ApiRequest, policy: Policy) -> members.Rewriter | None:
    """What the successful answer to *request* must go through; None where it passes as it is."""
    if request.is_log:
        return redact.TextRedactor()
    kind = _KINDS.get(request.resource) if request.group == "" and request.is_resource_request else None
    if kind is None or request.verb == "create":
        return None
    rewrite = partial(redact.redact_object, secrets=policy.secrets, kind=kind)
    if request.verb == "watch":
        return members.WatchRewriter(rewrite)
    return members.ListRewriter(rewrite) if request.verb == "list" else members.WholeRewriter(rewrite)


def readable(request: paths.ApiRequest, fields: list[headers.Field]) -> list[headers.Field]:
    """Narrow request fields so that the answer is text or JSON that can be read here."""
    if request.is_log:
        return [field for field in fields if field[0] != b"accept-encoding"]
    return headers.inspectable_accept(fields)
