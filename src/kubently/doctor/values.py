"""Faults of values files that need no cluster to be seen: structure is read, nothing is rendered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from kubently.doctor import road
from kubently.doctor.results import Result, error, passed, warning
from kubently.doctor.subject import Subject
from kubently.schema.tokens import EXAMPLES

MAX_BYTES = 1024 * 1024
_MAX_EVENTS = 100_000
_KNOWN = frozenset(
    (
        "fullnameOverride", "nameOverride", "global", "imagePullSecrets", "nodeSelector", "tolerations", "affinity",
        "tls", "api", "executor", "ingress", "gateway", "redis", "externalRedis", "networkPolicy", "serviceMonitor",
        "podMonitor", "prometheusRule", "autoscaling", "podDisruptionBudget", "serviceAccount", "podSecurityContext",
        "securityContext", "tests", "extraObjects",
    )
)  # fmt: skip
"""The chart's top-level values."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault in one file."""

    file: str
    code: str
    cause: str
    fix: str
    is_error: bool = True


def check(subject: Subject) -> Result:
    """Look at each file, then at all of them together."""
    loaded = [(path.name, load(path)) for path in subject.values]
    findings = [finding for item in loaded for finding in _each(item)] + list(_shared_tokens(loaded))
    if not findings:
        return passed(f"{len(loaded)} files", files=[name for name, _ in loaded])
    first = next((finding for finding in findings if finding.is_error), findings[0])
    make = error if first.is_error else warning
    cause = "; ".join(f"{finding.file}: {finding.cause} [{finding.code}]" for finding in findings)
    return make(first.code, cause, first.fix, codes=sorted({finding.code for finding in findings}))


def load(path: Path) -> Mapping[str, Any] | Finding:
    """The file's mapping, or why it has none. Aliases are counted out: they could grow without end."""
    unreadable = Finding(path.name, "values-unreadable", "it is no YAML mapping that can be read", "correct the file")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            return unreadable
        for number, event in enumerate(yaml.parse(content, Loader=yaml.SafeLoader)):
            if number > _MAX_EVENTS or isinstance(event, yaml.AliasEvent):
                return unreadable
        document = yaml.safe_load(content)
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return unreadable
    if document is None:  # a file of comments alone: the chart's defaults
        return {}
    return document if isinstance(document, dict) else unreadable


def _each(item: tuple[str, Mapping[str, Any] | Finding]) -> Iterator[Finding]:
    name, document = item
    if isinstance(document, Finding):
        yield document
        return
    for rule in (_url, _verification, _token, _topology, _ingress, _volumes, _policy, _unknown):
        for code, cause, fix in rule(document):
            yield Finding(name, code, cause, fix, is_error=code not in _WARNINGS)


_WARNINGS = frozenset({"values-unknown-key", "values-namespace-label", "values-istio-url"})
_Rule = Iterator[tuple[str, str, str]]


def _url(values: Mapping[str, Any]) -> _Rule:
    url = _text(values, "executor", "apiUrl")
    try:
        host, scheme = urlsplit(url).hostname or "", urlsplit(url).scheme
    except ValueError:
        yield "values-url", "executor.apiUrl is no URL", "use https://host"
        return
    if url and scheme not in ("http", "https"):
        yield "values-url", "executor.apiUrl is no http or https URL", "use https://host"
    if scheme == "http" and not road.is_inside(host):
        yield "values-plain-http", f"executor.apiUrl sends the token in clear to {host}", "use https://"
    if host.endswith((".istio-system", ".istio-system.svc", ".istio-system.svc.cluster.local")):
        yield ("values-istio-url", "executor.apiUrl names the mesh's namespace, where the API is not",
               "name the API's Service in its own namespace, or the gateway's host")  # fmt: skip


def _verification(values: Mapping[str, Any]) -> _Rule:
    if _text(values, "executor", "env", "KUBENTLY_SSL_VERIFY").lower() in ("false", "0", "no", "off"):
        yield "verification-off", "executor.env turns verification off", "set KUBENTLY_CA_CERT to the API's CA"


def _token(values: Mapping[str, Any]) -> _Rule:
    if _text(values, "executor", "token").lower() in EXAMPLES:
        yield "token-example", "executor.token is an example of a document", "make one: kubently token create"


def _topology(values: Mapping[str, Any]) -> _Rule:
    host = urlsplit(url).hostname or "" if _is_url(url := _text(values, "executor", "apiUrl")) else ""
    api = _at(values, "api", "enabled")
    domain = _text(values, "tls", "external", "domain")
    is_remote = bool(host) and not road.is_inside(host) and host != domain
    if is_remote and api is True:  # unset, the chart sees it too and installs none
        yield ("values-api-enabled", f"the executor's API is at {host}, and an API is installed here as well",
               "set api.enabled: false in clusters that only have an executor")  # fmt: skip
    if is_remote and _text(values, "tls", "mode") == "internal":
        yield ("values-internal-across", "tls.mode internal makes a CA that other clusters do not trust",
               "use tls.mode external, or give executors the CA")  # fmt: skip
    if (
        api is False
        and _at(values, "executor", "enabled") is not False
        and not host
        and not _list(values, "executor", "apiUrls")
    ):
        yield "values-no-url", "there is no API here, and executor.apiUrl is missing", "set executor.apiUrl"


def _is_url(text: str) -> bool:
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:
        return False


def _ingress(values: Mapping[str, Any]) -> _Rule:
    domain = _text(values, "tls", "external", "domain")
    hosts = [_text(host, "host") for host in _list(values, "ingress", "hosts")]
    if domain and hosts and domain not in hosts:
        yield ("values-ingress-host", f"ingress.hosts lacks tls.external.domain {domain}",
               "name the same host in both")  # fmt: skip


def _volumes(values: Mapping[str, Any]) -> _Rule:
    mounted = {
        _text(mount, "name")
        for key in ("extraVolumeMounts", "volumeMounts")
        for mount in _list(values, "executor", key)
    }
    volumes = [
        _text(volume, "name") for key in ("volumes", "extraVolumes") for volume in _list(values, "executor", key)
    ]
    for volume in volumes:
        if volume not in mounted:
            yield ("values-volume-not-mounted", f"the volume {volume} of the executor is mounted nowhere",
                   "add it to executor.extraVolumeMounts, and name the path in KUBENTLY_CA_CERT")  # fmt: skip


def _policy(values: Mapping[str, Any]) -> _Rule:
    for rule in _list(values, "networkPolicy", "ingress"):
        for peer in _list(rule, "from"):
            if "name" in _mapping(_at(peer, "namespaceSelector", "matchLabels")):
                yield ("values-namespace-label", "networkPolicy selects namespaces by the label name, which they lack",
                       "use kubernetes.io/metadata.name")  # fmt: skip


def _unknown(values: Mapping[str, Any]) -> _Rule:
    for key in sorted(str(key) for key in values if key not in _KNOWN):
        yield "values-unknown-key", f"the chart has no value {key[:80]}", "check the spelling"


def _shared_tokens(loaded: list[tuple[str, Mapping[str, Any] | Finding]]) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    for name, document in loaded:
        token = "" if isinstance(document, Finding) else _text(document, "executor", "token")
        if token and token in owners:
            cause = f"its token is that of {owners[token]} as well"
            yield Finding(name, "token-shared", cause, "make a token for each cluster: kubently token create")
        owners.setdefault(token, name)


def _at(value: object, *path: str) -> object:
    for key in path:
        value = _mapping(value).get(key)
    return value


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object, *path: str) -> str:
    found = _at(value, *path)
    return str(found).strip() if isinstance(found, str | int | float) else ""


def _list(value: object, *path: str) -> list[Any]:
    found = _at(value, *path)
    return found if isinstance(found, list) else []
