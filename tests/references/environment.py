"""docs/reference/environment.md, from the docstrings of the settings."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kubently import settings
from tests.references.markdown import NOTE, code, table

_INTRO = """\
# Environment

`kubently api` and `kubently executor` take their settings from environment variables and from nowhere else. A value
that cannot be used ends the program at its start with a sentence that names the variable. Numbers that are seconds may
be written with or without an `s` at their end.
"""

_SECTIONS: tuple[tuple[str, tuple[type[Any], ...]], ...] = (
    ("Both programs", (settings.LogSettings, settings.TimingSettings, settings.TracingSettings)),
    ("kubently api", (settings.ApiSettings, settings.LimitSettings)),
    ("Redis as the store", (settings.StoreSettings,)),
    ("Audit log", (settings.AuditSettings,)),
    ("Continuous diagnosis", (settings.ContinuousSettings,)),
    ("Logins", (settings.OidcSettings,)),
    ("kubently executor", (settings.ExecutorSettings,)),
    ("Whom executor and command line trust", (settings.TrustSettings,)),
    ("Proxies of executor and command line", (settings.ProxySettings,)),
)

_MORE: Mapping[str, str] = {
    "cluster_id": "the cluster's id in the API: at most 63 of a-z, 0-9 and '-'",
    "token": "the cluster's executor token",
}
"""For settings whose docstring names the variables and nothing else."""

_DEFAULTS: Mapping[str, str] = {"json_lines": "json", "ca_exclusive": "additive"}

COMMAND_LINE: tuple[tuple[str, str], ...] = (
    ("KUBENTLY_URL", "the API to talk to; wins over the profile's"),
    ("KUBENTLY_API_KEY", "the API key; wins over the profile's"),
    ("KUBENTLY_CA_CERT", "as above; wins over the profile's"),
    ("KUBENTLY_PROFILE", "name of the profile to use; `--profile` wins"),
    ("KUBENTLY_CONFIG", "the file of the profiles"),
    ("XDG_CONFIG_HOME", "where `kubently/config.json` stands without KUBENTLY_CONFIG; `~/.config` when unset"),
    ("XDG_CACHE_HOME", "where `kubently-credential` keeps tokens for kubectl; `~/.cache` when unset"),
    ("XDG_STATE_HOME", "where `kubently up` keeps its CA, key and store; `~/.local/state` when unset"),
    ("KUBECONFIG", "the kubeconfig of `kubently up --context` and `kubently kubeconfig`; the first file of several"),
    ("NO_COLOR", "any value: no colours"),
)

_PROXIES = """\
[Behind a proxy](../howto/behind-a-proxy.md) has examples. Each of these may be written in lower case, which wins. The
cluster's own API server is never reached through a proxy.
"""

_CLUSTER = """\
In a pod without `KUBENTLY_KUBECONFIG` the executor reads `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`, which
Kubernetes sets, and the mounted service account. The credential plugin of a kubeconfig (`exec`) is started with the
executor's whole environment.
"""


def page() -> str:
    """The page."""
    parts = [NOTE, _INTRO]
    for title, classes in _SECTIONS:
        rows = [row for cls in classes for row in _rows(cls)]
        parts.append(f"## {title}\n\n" + table(("Variable", "Default", "Meaning"), rows))
    parts += [_PROXIES, _CLUSTER]
    rows = [(code(name), meaning) for name, meaning in COMMAND_LINE]
    parts.append("## The command line\n\n" + table(("Variable", "Meaning"), rows))
    return "\n".join(parts)


def _rows(cls: type[Any]) -> Iterator[tuple[str, str, str]]:
    texts = dict(_docstrings(cls))
    for field in dataclasses.fields(cls):
        text = texts.get(field.name, "")
        if "``" not in text:
            continue  # made by the program itself, or a group of its own
        names, colon, meaning = text.partition(": ")
        yield _plain(names if colon else text).rstrip("."), _default(field), _plain(meaning or _MORE[field.name])


def _plain(text: str) -> str:
    return text.replace("``", "`")


def _default(field: dataclasses.Field[Any]) -> str:
    if field.name in _DEFAULTS:
        return code(_DEFAULTS[field.name])
    if field.default is dataclasses.MISSING:
        return "required" if field.default_factory is dataclasses.MISSING else ""
    return code(_text(field.default))


def _text(value: object) -> str:
    match value:
        case None | "" | ():
            return ""
        case bool():
            return str(value).lower()
        case (str(host), int(port)):
            return f"{host}:{port}"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _docstrings(cls: type[Any]) -> Iterator[tuple[str, str]]:
    """The fields of a class, and the text that stands below each."""
    tree = ast.parse(Path(inspect.getfile(cls)).read_text())
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__)
    for node, following in itertools.pairwise(body):
        match node, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, " ".join(text.split())
