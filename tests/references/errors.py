"""docs/reference/errors.md, from the classes of errors wherever they are defined."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping

import kubently
from kubently.cli import state
from kubently.errors import KubentlyError
from kubently.schema import problems
from tests.references.markdown import NOTE, code, table

_INTRO = """\
# Errors

The API answers a refusal or failure with a problem document (RFC 9457, `application/problem+json`):

```json
{
  "type": "urn:kubently:problem:command-denied",
  "title": "command denied",
  "status": 403,
  "detail": "Kubently is read-only: kubectl delete is refused",
  "code": "command-denied",
  "retryable": false,
  "details": {"rule": "no-delete"},
  "request_id": "4f1c6e0a9d2b7c35"
}
```

`code` is stable; `detail` is one sentence for people; `hint`, where there is one, says what to try; `retryable` says
whether the same request may succeed later; `retry_after` is in seconds. The command line prints
`error: DETAIL [CODE]`, then the hint, and ends with the exit code below. Under `/clusters/ID/k8s` the same errors are
Kubernetes `Status` objects, so that kubectl shows the sentence; the code stands in `details.causes`.

Why the API cannot be reached has codes of its own, `tls-…` and `dial-…`, with exit code 69; they stand in
[Say whom to trust](../howto/trust.md#when-it-fails).
"""

_CLIENT_ONLY: Mapping[str, str] = {
    "bad-gateway": "Something in front of the API answered in its place: the API is not behind it.",
    "http-error": "The API answered with an error that has no code.",
    "not-kubently": "Something answers at that URL, and not as a Kubently API does.",
    "redirected": "The URL redirects, which is not followed: a key would travel along.",
}
"""Codes that the client makes for answers that are no problem documents."""

_NEVER_SENT = (
    "login-late",
    "login-refused",
    "api-unreachable",
    "tunnel-upgrade-refused",
    "tls-source",
    "tls-client-pair",
)
"""Codes of whoever dials: they have no status."""

ADVICE: Mapping[str, str] = {
    "too-many-executors": "Nothing: the executor dials again by itself; after a restart of all this takes seconds. "
    "KUBENTLY_ACCEPT_RATE is how many a replica lets in, and more replicas let in more.",
    "api-draining": "Nothing: the executor tries again, and another replica or the next start takes it.",
    "api-unreachable": "Check the URL, the CA and whether the API runs; the sentence says which of them it is.",
    "apiserver-unreachable": "Check the executor's kubeconfig or service account, and that the API server runs.",
    "bad-gateway": "Wait if the API is being restarted; else look at the proxy's way to it.",
    "certificate-blocked": "Enrol anew, or `kubently cluster unblock FINGERPRINT`.",
    "certificate-request-refused": "Update the executor; a request asks for its own cluster and nothing more.",
    "client-certificate-missing": "Set `KUBENTLY_CLIENT_CERT`, and let a proxy that ends TLS hand it on.",
    "cluster-conflict": "Give one of the two clusters another id.",
    "cluster-not-found": "`kubently clusters` lists those you may see; `kubently token create` registers one.",
    "command": "Check the kubectl of the executor.",
    "command-denied": "Ask for something that reads; `details.rule` names the rule that refused.",
    "command-invalid": "Correct the arguments; the sentence says which one.",
    "command-timeout": "Give a longer `--timeout`, or ask for less.",
    "command-unknown": "It was read-only: run it again.",
    "config-invalid": "Correct the named variable, file or flag.",
    "conflict": "Take another name, or rotate instead of creating.",
    "enrolment-token-invalid": "Make a new one with `kubently cluster add CLUSTER` and put it where the old one was.",
    "enrolment-token-used": "Find out who used it; `kubently cluster reset CLUSTER` ends what it gave.",
    "executor-certificate-expired": "Give the executor a new enrolment token; it needs no restart.",
    "executor-certificate-invalid": "Enrol the executor at this API; check its cluster id, and `KUBENTLY_HOSTS`.",
    "not-watched": "Switch [continuous diagnosis](../howto/continuous.md) on for that cluster, or leave `--since` out.",
    "executor-offline": "Check the executor's pod and its log in that cluster.",
    "http-error": "Look at what stands in front of the API.",
    "id-token-invalid": "`kubently login` again; [log in](../howto/log-in.md) says what the API expects.",
    "idempotency-conflict": "Use a new key for each command.",
    "internal": "A bug: report it with the request id.",
    "kubernetes": "Read the API server's own words in `details.status`.",
    "kubernetes-denied": "Ask for something that reads; the sentence says what is refused.",
    "login-late": "`kubently login` again.",
    "login-refused": "Check the client's settings at the provider; [log in](../howto/log-in.md) has them.",
    "no-role": "Ask an administrator for a rule in the roles file.",
    "not-found": "The matching `list` command shows what there is.",
    "not-kubently": "Check the URL, and what stands in front of the API.",
    "oidc-unavailable": "Check that the API and this machine reach the provider; API keys work meanwhile.",
    "permission-denied": "Ask an administrator for a key with another role.",
    "proxy-answer-invalid": "Check the proxy's scheme and port; something else may listen there.",
    "proxy-auth-required": "Put user and password into the proxy's URL, percent-encoded.",
    "proxy-refused": "Let the proxy allow CONNECT to the API's host and port, or name the host in `NO_PROXY`.",
    "proxy-unreachable": "Check `HTTPS_PROXY`, the proxy's name and port, and its CA if it is an https proxy.",
    "redirected": "Use the URL that it redirects to, if that is yours.",
    "request-invalid": "Correct the request; `/docs` of the API describes each.",
    "session-expired": "Run `kubently login`.",
    "audit-unavailable": "Free space on the disk of the audit journal, or give its folder back to the API's user; it"
    " writes again by itself.",
    "audit-broken": "See what `kubently audit verify` says of the place, and compare with the copies in sinks.",
    "store-unavailable": "`kubently api doctor` looks at it; `details.reason` and the hint say what is wrong.",
    "stream-reset": "Try again; the executor's log says why.",
    "tls-client-pair": "Correct `KUBENTLY_CLIENT_CERT` and `KUBENTLY_CLIENT_KEY`.",
    "tls-source": "Correct the named file; [trust](../howto/trust.md) says what may stand in it.",
    "too-many-commands": "Try again after `retry_after` seconds.",
    "tunnel-closed": "Try again; the executor dials anew by itself.",
    "tunnel-local-protocol": "A bug: report it with the request id.",
    "tunnel-remote-protocol": "Check that the executor and the API are of matching versions.",
    "tunnel-session-gone": "Nothing for once: the executor begins a new session. Often: send it to one replica.",
    "tunnel-upgrade-refused": "Seen in the executor's log: check what stands between it and the API.",
    "upgrade-stripped": "Let what stands before the API pass WebSocket upgrades; meanwhile executors use long-poll.",
    "unauthenticated": "Check the key or token; it may have been revoked.",
}
"""What a person can do, by code; each error brings a more exact hint where it knows one."""


def page() -> str:
    """The page."""
    overview = table(("Code", "Status", "Exit code", "Retry"), map(_overview_row, sorted(codes())))
    sections = "\n".join(_section(slug) for slug in sorted(codes()))
    return "\n".join([NOTE, _INTRO, overview, sections])


def codes() -> Mapping[str, str]:
    """Every code that a person can meet, and what it means."""
    raised = {cls.code: _meaning(cls) for cls in classes() if not _is_base(cls)}
    return {**raised, **_CLIENT_ONLY}


def classes() -> list[type[KubentlyError]]:
    """All error classes of the package, in whatever module."""
    for module in pkgutil.walk_packages(kubently.__path__, "kubently."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return [KubentlyError, *(cls for cls in _below(KubentlyError) if cls.__module__.startswith("kubently."))]


def _below(cls: type[KubentlyError]) -> Iterator[type[KubentlyError]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _below(sub)


def _is_base(cls: type[KubentlyError]) -> bool:
    """Whether the class only groups others, or takes its codes from elsewhere."""
    groups = "Base of" in (cls.__doc__ or "") and cls.code not in ADVICE
    return groups or "code" not in vars(cls) or cls.code == "store"


def _meaning(cls: type[KubentlyError]) -> str:
    first = (inspect.getdoc(cls) or "").split("\n\n")[0]
    if cls.code == "internal":
        return "Something went wrong that has no code of its own."
    if cls.code == "command":
        return "The command could not be started in the cluster."
    return " ".join(first.split()).replace("``", "`")


def _status(slug: str) -> str:
    found = [cls for cls in classes() if cls.code == slug]
    if slug in _CLIENT_ONLY or not found or slug in _NEVER_SENT or slug.startswith("proxy-"):
        return ""
    if slug == "kubernetes-denied":
        return "403"
    return str(next((problems.STATUS[base] for base in found[0].__mro__ if base in problems.STATUS), 500))


def _overview_row(slug: str) -> tuple[str, str, str, str]:
    retry = any(cls.code == slug and cls.retryable for cls in classes())
    return f"[{slug}](#{slug})", _status(slug), str(state.exit_code(slug)), "yes" if retry else ""


def _section(slug: str) -> str:
    return (
        f"### {slug}\n\n{codes()[slug]}\n\nWhat to do: {ADVICE[slug]} Exit code {code(str(state.exit_code(slug)))}.\n"
    )
