"""Every value of the chart is documented, in the schema, and read: changing it changes what is rendered."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.references import chart
from tests.testbed import helm

SCHEMA: dict[str, Any] = json.loads((chart.FOLDER / "values.schema.json").read_text())
DEFAULTS: dict[str, Any] = yaml.safe_load((chart.FOLDER / "values.yaml").read_text())
LEAVES = list(chart.leaves())
NAMES = [".".join(path) for path in LEAVES]

REMOTE: dict[str, Any] = {"executor": {"apiUrl": "https://a.example.com", "clusterId": "b", "existingSecret": "token"}}
# The values of which another value is the condition, by the beginning of their path.
CONTEXTS: dict[str, dict[str, Any]] = {
    "global.openshift": {},
    "global.proxy.noProxy": {"global": {"proxy": {"httpsProxy": "http://proxy:3128"}}},
    "global.optionalKinds": {"serviceMonitor": {"enabled": True}},
    "tls.certificate": {"tls": {"certificate": {"crt": "c", "key": "k"}}},
    "tls.internal": {"tls": {"internal": {"provider": "certManager"}}},
    "tls.internal.issuerKind": {"tls": {"internal": {"issuer": "corporate"}}},
    "tls.external": {"tls": {"external": {"domain": "api.example.com"}}},
    "tls.clientAuth.mode": {"tls": {"internal": {"endToEnd": True}}},
    "tls.clientAuth.caSecret": {"tls": {"clientAuth": {"mode": "optional"}}},
    "tls.clientAuth.forwardedHeader": {
        "tls": {"clientAuth": {"mode": "optional"}},
        "api": {"trustedProxies": ["10.0.0.0/8"]},
    },
    "api.service.nodePort": {"api": {"service": {"type": "NodePort"}}},
    "api.service.loadBalancer": {"api": {"service": {"type": "LoadBalancer"}}},
    "api.service.externalTrafficPolicy": {"api": {"service": {"type": "LoadBalancer"}}},
    "api.service.tlsPort": {"tls": {"internal": {"endToEnd": True}}},
    "api.existingSecretKey": {"api": {"existingSecret": "keys"}},
    "api.persistence": {"redis": {"enabled": False}},
    "api.continuous.webhooks": {"api": {"continuous": {"webhookSecret": "hooks"}}},
    "api.oidc": {"api": {"oidc": {"issuer": "https://idp", "clientId": "k", "roles": {"groups": {}}}}},
    "api.enabled": REMOTE,
    "executor.apiUrls": REMOTE,
    "executor.apiUrlOrder": {"executor": {**REMOTE["executor"], "apiUrls": ["https://b.example.com"]}},
    "executor.existingSecretKey": {"executor": {"existingSecret": "token"}},
    "executor.enrolment.existingSecretKey": {"executor": {"enrolment": {"existingSecret": "once"}}},
    "executor.tls.caBundle.key": {"executor": {"tls": {"caBundle": {"configMap": "roots"}}}},
    "executor.tls.caBundle.includeSystem": {"executor": {"tls": {"caBundle": {"configMap": "roots"}}}},
    "executor.tls.clientCert.certManager": {
        "executor": {"tls": {"clientCert": {"certManager": {"enabled": True, "issuer": "clients"}}}}
    },
    "executor.allowInsecureHttp": {},
    "executor.serviceAccount.name": {},
    "gateway.httpRoute": {"gateway": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}}},
    "gateway.backendTLSPolicy": {
        "tls": {"internal": {"endToEnd": True}},
        "gateway": {"backendTLSPolicy": {"enabled": True, "caConfigMap": "ca"}},
    },
    "redis.auth.existingSecretKey": {"redis": {"auth": {"existingSecret": "password"}}},
    "externalRedis.": {"externalRedis": {"url": "redis://r:6379", "existingSecret": "r"}},
    "networkPolicy.": {"networkPolicy": {"enabled": True}},
    "networkPolicy.ingressControllerPodLabels": {
        "networkPolicy": {"enabled": True, "ingressControllerNamespace": "ingress"}
    },
    "serviceMonitor.": {"serviceMonitor": {"enabled": True}},
    "podMonitor.": {"podMonitor": {"enabled": True}},
    "prometheusRule.": {"prometheusRule": {"enabled": True}},
    "autoscaling.": {"autoscaling": {"enabled": True}},
}
# What cannot be made from the schema, or must be something in particular.
SAMPLES: dict[str, Any] = {
    "nameOverride": "other",
    "global.openshift.adaptSecurityContext": "force",
    "tls.mode": "none",
    "tls.certificate.crt": "other",
    "api.enabled": True,
    "tls.internal.provider": "chart",
    "tls.external.secretTemplate": {"labels": {"a": "b"}},
    "ingress.tls": [{"secretName": "other"}],
    "redis.enabled": False,
    "ingress.enabled": False,
    "podDisruptionBudget.enabled": False,
    "api.replicaCount": 3,
    "executor.clusterId": "b",
    "executor.apiUrl": "http://kubently-api.elsewhere.svc:8080",
    "executor.apiUrls": ["https://a.example.com", "https://b.example.com"],
    "executor.enrolment.existingSecret": "once",
    "executor.tls.caBundle.path": "/etc/ca.crt",
    "executor.policy": {"deny": [{"name": "a", "reason": "b", "resources": ["pods"]}]},
    "executor.rbac.extraRules": [{"apiGroups": ["x"], "resources": ["y"], "verbs": ["get"]}],
    "executor.volumes": [{"name": "v", "emptyDir": {}}],
    "executor.extraVolumes": [{"name": "v", "emptyDir": {}}],
    "api.extraVolumes": [{"name": "v", "emptyDir": {}}],
    "api.oidc.issuer": "https://other",
    "api.oidc.roles": {"groups": {"sre": {"role": "viewer"}}},
    "api.analyzers": {"acme.yaml": "analyzers: []"},
    "api.audit.size": "1Gi",
    "api.continuous.webhooks": ["https://hooks.example/x"],
    "ingress.className": "nginx",
    "ingress.controller": "haproxy",
    "ingress.hosts": [{"host": "a.example.com", "paths": [{"path": "/k", "pathType": "Prefix"}]}],
    "gateway.httpRoute.parentRefs": [{"name": "other"}],
    "redis.config": {"tcp-backlog": 64},
    "externalRedis.url": "rediss+cluster://a:7000,b:7001",
    "prometheusRule.disabled": ["KubentlyErrors"],
    "podDisruptionBudget.maxUnavailable": 1,
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}"}}],
    "api.hostAliases": [{"ip": "192.0.2.1", "hostnames": ["a.example.com"]}],
    "executor.hostAliases": [{"ip": "192.0.2.1", "hostnames": ["a.example.com"]}],
}
# Read, but seen elsewhere than in what a plain rendering gives.
SEEN_ELSEWHERE = {
    "global.optionalKinds": "test_optional_kinds_wait_for_their_crd",
    "executor.allowInsecureHttp": "test_plain_http_to_elsewhere_is_refused_until_it_is_allowed",
}


@pytest.mark.parametrize("path", LEAVES, ids=NAMES)
def test_value_is_read(path: tuple[str, ...]) -> None:
    name = ".".join(path)
    if name in SEEN_ELSEWHERE:
        assert SEEN_ELSEWHERE[name] in (chart.FOLDER.parents[2] / "tests/unit/chart/test_shapes.py").read_text()
        return
    base = copy.deepcopy(_context(name))
    present = _at(base, path, chart.at(DEFAULTS, path))
    changed = _with(base, path, SAMPLES[name] if name in SAMPLES else _sample(_schema(path), present))

    assert _stable(base) != _stable(changed), f"nothing reads {name}"


def test_every_value_is_documented_once() -> None:
    documented = [value.path for value in chart.values()]

    assert sorted(documented) == sorted(LEAVES)


def test_schema_knows_exactly_the_values() -> None:
    assert sorted(_schema_leaves(SCHEMA, ())) == sorted(LEAVES)


def test_schema_is_closed() -> None:
    assert _open(SCHEMA, ()) == []


def _context(name: str) -> dict[str, Any]:
    """The context with the longest prefix."""
    fitting = [prefix for prefix in CONTEXTS if name.startswith(prefix)]
    return CONTEXTS[max(fitting, key=len)] if fitting else {}


def _stable(values: dict[str, Any]) -> str:
    """What is rendered, without what Helm makes anew each time."""
    text = helm.rendered(json.dumps(values))
    return re.sub(r"^ *(admin-key|password|token|tls\.crt|tls\.key|ca\.crt): [\w+/=]{40,}$", "", text, flags=re.M)


def _with(values: dict[str, Any], path: tuple[str, ...], sample: Any) -> dict[str, Any]:
    changed = copy.deepcopy(values)
    place = changed
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = sample
    return changed


def _at(values: Any, path: tuple[str, ...], default: Any) -> Any:
    for key in path:
        if key not in values:
            return default
        values = values[key]
    return values


def _schema(path: tuple[str, ...]) -> dict[str, Any]:
    found = SCHEMA
    for key in path:
        found = found["properties"][key]
    return found


def _sample(schema: dict[str, Any], default: Any) -> Any:
    """Something that the schema allows and that is not the default."""
    if "enum" in schema:
        return next(value for value in schema["enum"] if value not in ("", default))
    kinds = schema.get("type", "string")
    kind = kinds if isinstance(kinds, str) else next(k for k in kinds if k != "null")
    if kind == "boolean":
        return not default
    if kind == "integer":
        return (default or 0) + 1
    if kind == "array":
        return [_item(schema["items"])]
    if kind == "object":
        return {"sample": "value"}
    return _text(schema, default)


def _item(schema: dict[str, Any]) -> Any:
    if schema.get("type") == "object":
        return (
            {"name": "sample", "mountPath": "/sample", "value": "sample"}
            if "mountPath" in str(schema)
            else ({"name": "sample"})
        )
    return _sample(schema, None)


def _text(schema: dict[str, Any], default: Any) -> str:
    pattern = str(schema.get("pattern", schema))
    candidates = (
        "sample",
        "720h",
        "77s",
        "https://sample.example.com",
        "sha256:" + "0" * 64,
        "198.51.100.0/24",
        "stdout:",
    )
    return next(text for text in candidates if text != default and _fits(schema, pattern, text))


def _fits(schema: dict[str, Any], pattern: str, text: str) -> bool:
    if "anyOf" in schema:
        return any("pattern" in option and re.search(option["pattern"], text) for option in schema["anyOf"])
    return "pattern" not in schema or re.search(pattern, text) is not None


def _schema_leaves(schema: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    documented = set(LEAVES)
    if path in documented or "properties" not in schema:
        yield path
        return
    for key, below in schema["properties"].items():
        yield from _schema_leaves(below, (*path, key))


def _open(schema: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    """Mappings of the chart's own that take keys nobody reads."""
    if path in set(LEAVES) or "properties" not in schema:
        return []
    here = [".".join(path)] if schema.get("additionalProperties") is not False else []
    return here + [name for key, below in schema["properties"].items() for name in _open(below, (*path, key))]
