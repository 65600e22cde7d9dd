"""What an HTTP answer means that is not the API's own: something in front of it spoke, or something else is there."""

from __future__ import annotations

import ssl
from dataclasses import replace

from kubently.trust.explain import Explanation, client_refusal, explain
from kubently.trust.facts import Facts

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_WHERE = 300
_MAX_MARK = 4096
# What those say that know no route; the beginning of a body.
_BACKENDS = (
    (b"default backend - 404", "the default backend of an ingress controller answers"),
    (b"response 404 (backend NotFound)", "the default backend of a cloud's load balancer answers"),
    (b"404 page not found", "an ingress controller without a route, Traefik for one, answers"),
    (b"acme-challenge", "a solver of ACME challenges answers, as while a certificate is being issued"),
    (b"<center>nginx", "nginx answers, not the API"),
)


def explain_answer(
    url: str, status: int, body: bytes, *, location: str = "", facts: Facts | None = None
) -> Explanation | None:
    """Say what an answer with *status* means that carries no problem document of ours; None where that says nothing.

    *body* is its beginning; *facts* count for 400, where a TLS end speaks of our certificate or of none.
    """
    if status in _REDIRECTS:
        where = "".join(c for c in location[:_MAX_WHERE] if c.isprintable()) or "elsewhere"
        said = f"{url} redirects to {where}, which is not followed"
        return Explanation("redirected", said, "set the API URL to where it really is, if that is yours")
    if status == 400 and (found := _explain_bad_request(url, body, facts or Facts())):
        return found
    if status in (502, 503, 504):
        said = f"a proxy in front of {url} answered {status}: the API behind it is not there"
        return Explanation(
            "bad-gateway", said, "wait if it is being restarted; else check the API, and the proxy's way to it"
        )
    if status == 404:
        said = f"{url} answers, but there is no Kubently API at that path"
        if who := next((words for mark, words in _BACKENDS if mark in body[:_MAX_MARK]), ""):
            fix = "check that its route for the API's host exists and is for this host and path"
            return Explanation("not-kubently", f"{said}: {who}", fix)
        return Explanation(
            "not-kubently", said, "check host, port and path prefix, and the routes of what stands in front"
        )
    return None


def _explain_bad_request(url: str, body: bytes, facts: Facts) -> Explanation | None:
    """What servers that end TLS say in plain text, nginx and Go's among them."""
    if url.startswith(("http:", "ws:")) and (facts.speaks == "tls" or b"HTTPS" in body):
        return explain(ssl.SSLError(), url, Facts(speaks="tls"))
    if b"No required SSL certificate" in body:
        return client_refusal(url, "it answered 400", replace(facts, sends_client=False))
    if b"SSL certificate error" in body:
        return client_refusal(url, "it answered 400", replace(facts, sends_client=True))
    return None
