"""The parts of a policy document, read strictly; part of `policy`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from kubently.errors import ConfigError
from kubently.kube._decisions import LABEL, NAME, document_of, list_of, words_of
from kubently.kube._rules import Rule
from kubently.kube.paths import READ_VERBS

SecretsMode = Literal["none", "metadata"]
Grant = Literal["helm-releases"]


def secrets_mode(value: object) -> SecretsMode:
    match value:
        case "none":
            return "none"
        case "metadata":
            return "metadata"
        case _:
            raise ConfigError(f"secrets is {value!r}", hint='it is "none" or "metadata"')


def own_secret(value: object) -> tuple[str, str]:
    document = document_of(value, "ownSecret", frozenset({"namespace", "name"}))
    namespace, name = document.get("namespace"), document.get("name")
    if not (isinstance(namespace, str) and isinstance(name, str) and namespace and name):
        raise ConfigError("ownSecret needs a namespace and a name")
    return namespace, name


_DENIAL_KEYS = frozenset({"name", "reason", "verbs", "groups", "resources", "subresources", "namespaces", "names"})
_VERB = re.compile("|".join(sorted(READ_VERBS)))
_GROUP = re.compile(r"|[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_SUBRESOURCE = re.compile(r"|[a-z]{1,63}")
_PLURAL = re.compile(r"[a-z0-9][-a-z0-9]{0,62}(?:/[a-z]{1,63})?")


def denial(value: object, index: int) -> Rule:
    document = document_of(value, f"deny[{index}]", _DENIAL_KEYS)
    name, reason = document.get("name"), document.get("reason", "")
    if not (isinstance(name, str) and LABEL.fullmatch(name) and isinstance(reason, str) and len(reason) <= 500):
        raise ConfigError(f"deny[{index}] needs a name of a-z, 0-9 and '-', and a reason of at most 500 characters")
    return Rule(
        name,
        allows=False,
        verbs=words_of(document, "verbs", _VERB),
        groups=words_of(document, "groups", _GROUP),
        resources=words_of(document, "resources", _PLURAL),
        subresources=words_of(document, "subresources", _SUBRESOURCE),
        namespaces=words_of(document, "namespaces", LABEL),
        names=words_of(document, "names", NAME),
        covers_lists=True,
        reason=reason or "{verb} {resource} is refused by the policy of this cluster",
    )


def grants(document: Mapping[str, Any]) -> frozenset[Grant]:
    found: set[Grant] = set()
    for word in list_of(document, "grants"):
        match word:
            case "helm-releases":
                found.add("helm-releases")
            case _:
                raise ConfigError(f"grants has {word!r}", hint="the only grant is helm-releases")
    return frozenset(found)
