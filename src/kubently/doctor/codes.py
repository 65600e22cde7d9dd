"""The doctor's own codes: what each means, which checks say it, and what to do. Others' codes are explained by them.

``docs/reference/checks.md`` is made of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """One stable slug."""

    slug: str
    checks: tuple[str, ...]
    """Ids of those that say it."""
    meaning: str
    fix: str


_VALUES = ("values-files",)

CODES: Sequence[Code] = (
    Code("verification-off", ("local-verification", *_VALUES),
         "`KUBENTLY_SSL_VERIFY=false`: whoever answers gets the token.",
         "Trust the API's CA with `KUBENTLY_CA_CERT` and remove the variable."),
    Code("no-roots", ("local-sources",), "No CA is loaded.", "Install ca-certificates, or set `KUBENTLY_CA_CERT`."),
    Code("variable-not-read", ("local-variables",), "A CA is named in a variable that is not read here.",
         "Set `KUBENTLY_CA_CERT`."),
    Code("proxy-internal", ("dns-proxy",), "A name of the internal network would be asked of the proxy.",
         "Add the name to `NO_PROXY`."),
    Code("address-unreachable", ("tcp-addresses",), "One of the name's addresses takes no connection.",
         "Take it out of DNS, or let what stands before it pass."),
    Code("plain-http", ("tls-handshake",), "The URL is http: the credential travels in clear.",
         "Use https outside a cluster."),
    Code("certificate-ends", ("tls-lifetime",), "A certificate of the chain is over, is not valid yet, or has under 7 "
         "days left; of one that lives under 90 days, under 10 % of its life.", "Renew it where the API's TLS ends."),
    Code("certificate-ends-soon", ("tls-lifetime",), "The same for 21 days, or 25 %.", "See that it is renewed."),
    Code("api-degraded", ("http-health",), "The API answers that it is not well.", "Look at its log and its store."),
    Code("clock-skew", ("http-clock",), "The clocks differ by over a minute.", "Synchronise both (NTP)."),
    Code("token-format", ("auth-format", "auth-accepted"), "The credential has characters that none has.",
         "Copy it anew, without line breaks."),
    Code("token-example", ("auth-format", *_VALUES), "The token is an example of a document.",
         "Make one: `kubently token create`."),
    Code("token-weak", ("auth-format",), "The token is shorter than 16 characters.", "Rotate it."),
    Code("upgrade-stripped", ("stream-upgrade",), "Something takes the WebSocket upgrade out.",
         "Let it pass WebSocket; meanwhile executors use long-poll."),
    Code("stream-buffered", ("stream-flow",), "Something on the way holds answers back until they are longer.",
         "Switch off response buffering there (nginx: `proxy_buffering off`)."),
    Code("stream-cut", ("stream-silence",), "The tunnel was cut in silence, after as long as the sentence says.",
         "Raise the idle time-out of proxies and firewalls above 60 s."),
    Code("tls-ended-between", ("pair-view",), "The API serves another certificate than the one shown here.",
         "Expected behind a proxy that speaks TLS to the API; else something intercepts."),
    Code("stream-broken", ("stream-echo", "stream-flow", "stream-silence", "pair-view"),
         "The tunnel does not stand, or does not bring a mebibyte there and back unchanged.",
         "Look at the logs of API and proxies; try `KUBENTLY_TRANSPORT=long-poll`."),
    Code("doctor-timeout", (), "A check did not end within 30 s; any may say so.", "Try again, or leave it out."),
    Code("token-shared", ("auth-accepted", *_VALUES), "Two values files, or environments, have one token.",
         "Make a token for each cluster."),
    Code("values-unreadable", _VALUES, "A values file is no YAML mapping that can be read.", "Correct the file."),
    Code("values-url", _VALUES, "`executor.apiUrl` is no http or https URL.", "Use `https://host`."),
    Code("values-plain-http", _VALUES, "`executor.apiUrl` sends the token in clear.", "Use `https://`."),
    Code("values-istio-url", _VALUES, "`executor.apiUrl` names the mesh's namespace, where the API is not.",
         "Use the API's own Service."),
    Code("values-api-enabled", _VALUES, "An API is installed beside an executor whose API is elsewhere.",
         "Set `api.enabled=false`."),
    Code("values-internal-across", _VALUES, "`tls.mode: internal` makes a CA that other clusters do not trust.",
         "Use `external`, or give the CA to the other clusters."),
    Code("values-no-url", _VALUES, "There is no API here, and `executor.apiUrl` is missing.", "Set it."),
    Code("values-ingress-host", _VALUES, "`ingress.hosts` lacks `tls.external.domain`.", "Add the domain."),
    Code("values-volume-not-mounted", _VALUES, "A volume of the executor is mounted nowhere.",
         "Add it to `extraVolumeMounts`."),
    Code("values-namespace-label", _VALUES, "A network policy selects namespaces by a label that they lack.",
         "Use `kubernetes.io/metadata.name`."),
    Code("store-settings", ("store-reachable",), "The store's URL or a file of its settings cannot be used.",
         "Correct `KUBENTLY_STORE…` as the sentence says."),
    Code("store-memory", ("store-settings",), "The store is this process's memory.", "Use SQLite or Redis."),
    Code("store-damaged", ("store-file",), "SQLite finds its file damaged.", "Restore it from a copy."),
    Code("store-unreachable", ("store-file", "store-reachable"), "The store cannot be reached, or serves nobody now.",
         "As the sentence says: start it, correct the URL, look at its log."),
    Code("store-credentials", ("store-reachable", "store-writes"), "Redis refuses the user, the password, or what the "
         "user may do.", "See [Keep the API's data in Redis](../howto/redis.md#password)."),
    Code("store-takes-no-writes", ("store-role", "store-persistence", "store-writes"),
         "It is a replica, is full, or cannot save.", "Name the master; give it memory and disk."),
    Code("store-old", ("store-version",), "Redis is older than 6.2.", "Update it."),
    Code("store-evicts", ("store-memory",), "Redis may drop keys when memory runs short: tokens, revocations.",
         "`maxmemory-policy noeviction`."),
    Code("store-nearly-full", ("store-memory",), "Over 90 % of maxmemory are in use.", "Raise it."),
    Code("store-not-persistent", ("store-persistence",), "A crash of Redis forgets keys and tokens.",
         "`appendonly yes`."),
    Code("store-slow", ("store-latency",), "A round trip takes over 10 ms; each request needs one now and then.",
         "Run it near the API."),
    Code("store-hints-lost", ("store-writes",), "Other replicas do not hear of changes: revoking takes longer.",
         "Let the user use the channels `kubently:hints:*`."),
    Code("values-unknown-key", _VALUES, "The chart has no such value.", "Check the spelling."),
)  # fmt: skip
"""All of them."""
