"""Tables of `kubectl`: which verbs may run, with which flags, and why others may not.

The flags and their arity are those of kubectl 1.37 (`kubectl VERB --help`); a test compares every line with the real
program. A flag is written as "SHORT NAME" or "NAME", with "=" at its end if it takes a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of one verb."""

    name: str
    short: str
    takes_value: bool


def _flags(*lines: str) -> tuple[Flag, ...]:
    return tuple(map(_flag, lines))


def _flag(line: str) -> Flag:
    short, _, name = line.rpartition(" ")
    return Flag(name=name.removesuffix("="), short=short, takes_value=name.endswith("="))


@dataclass(frozen=True, slots=True)
class VerbSpec:
    """One verb (two words for a subverb) that may run."""

    words: tuple[str, ...]
    flags: tuple[Flag, ...] = ()
    max_positionals: int = 0
    outputs: frozenset[str] = frozenset()
    """Values of --output, or what stands before "=" in them."""
    names_types: bool = False
    """Whether the positionals are TYPE NAME... or TYPE/NAME..., of objects whose content would be shown."""


GLOBAL_FLAGS = _flags("n namespace=", "request-timeout=", "disable-compression", "warnings-as-errors")
HELP_FLAG = Flag("help", "h", takes_value=False)

_PRINT = _flags("allow-missing-template-keys", "o output=", "show-managed-fields", "template=")
_OBJECTS = frozenset(
    {"json", "yaml", "kyaml", "name", "go-template", "template", "jsonpath", "jsonpath-as-json"},
)
_MANY = 200

VERBS: tuple[VerbSpec, ...] = (
    VerbSpec(
        ("get",),
        (
            *_PRINT,
            *_flags(
                "A all-namespaces",
                "chunk-size=",
                "field-selector=",
                "ignore-not-found",
                "L label-columns=",
                "no-headers",
                "output-watch-events",
                "l selector=",
                "server-print",
                "show-kind",
                "show-labels",
                "sort-by=",
                "subresource=",
                "w watch",
                "watch-only",
            ),
        ),
        max_positionals=_MANY,
        outputs=_OBJECTS | {"wide", "custom-columns"},
        names_types=True,
    ),
    VerbSpec(
        ("describe",),
        _flags("A all-namespaces", "chunk-size=", "l selector=", "show-events"),
        max_positionals=_MANY,
        names_types=True,
    ),
    VerbSpec(
        ("logs",),
        _flags(
            "all-containers",
            "all-pods",
            "c container=",
            "f follow",
            "ignore-errors",
            "limit-bytes=",
            "max-log-requests=",
            "pod-running-timeout=",
            "prefix",
            "p previous",
            "l selector=",
            "since=",
            "since-time=",
            "tail=",
            "timestamps",
        ),
        max_positionals=2,
    ),
    VerbSpec(
        ("top", "pod"),
        _flags(
            "A all-namespaces",
            "containers",
            "field-selector=",
            "no-headers",
            "l selector=",
            "show-swap",
            "sort-by=",
            "sum",
            "use-protocol-buffers",
        ),
        max_positionals=1,
    ),
    VerbSpec(
        ("top", "node"),
        _flags("no-headers", "l selector=", "show-capacity", "show-swap", "sort-by=", "use-protocol-buffers"),
        max_positionals=1,
    ),
    VerbSpec(
        ("explain",),
        _flags("api-version=", "max-depth=", "o output=", "R recursive"),
        max_positionals=1,
        outputs=frozenset({"plaintext", "plaintext-openapiv2"}),
    ),
    VerbSpec(
        ("api-resources",),
        _flags(
            "api-group=",
            "cached",
            "categories=",
            "namespaced",
            "no-headers",
            "o output=",
            "show-managed-fields",
            "sort-by=",
            "verbs=",
        ),
        outputs=frozenset({"json", "yaml", "kyaml", "name", "wide"}),
    ),
    VerbSpec(("api-versions",)),
    VerbSpec(
        ("events",),
        (*_PRINT, *_flags("A all-namespaces", "chunk-size=", "for=", "no-headers", "types=", "w watch")),
        outputs=_OBJECTS,
    ),
    VerbSpec(("version",), _flags("client", "o output="), outputs=frozenset({"json", "yaml"})),
    VerbSpec(
        ("rollout", "history"),
        (*_PRINT, *_flags("revision=", "l selector=")),
        max_positionals=_MANY,
        outputs=_OBJECTS,
        names_types=True,
    ),
    VerbSpec(
        ("rollout", "status"),
        _flags("revision=", "l selector=", "timeout=", "w watch"),
        max_positionals=_MANY,
        names_types=True,
    ),
    VerbSpec(
        ("auth", "can-i"),
        _flags("A all-namespaces", "list", "no-headers", "q quiet", "subresource="),
        max_positionals=3,
    ),
    VerbSpec(("auth", "whoami"), _PRINT, outputs=_OBJECTS),
    VerbSpec(("cluster-info",)),
    VerbSpec(
        ("wait",),
        (
            *_PRINT,
            *_flags("all", "A all-namespaces", "field-selector=", "for=", "l selector=", "timeout="),
        ),
        max_positionals=_MANY,
        outputs=_OBJECTS,
        names_types=True,
    ),
)

SUBVERB_ALIASES: Mapping[tuple[str, str], str] = {
    ("top", "pods"): "pod",
    ("top", "po"): "pod",
    ("top", "nodes"): "node",
    ("top", "no"): "node",
}

# ---- refusals: rule, sentence, hint

Refusal = tuple[str, str, str]

WRITES = (
    *("annotate", "apply", "autoscale", "certificate", "cordon", "create", "delete", "drain", "edit"),
    *("expose", "label", "patch", "replace", "run", "scale", "set", "taint", "uncordon"),
)

DENIED_VERBS: Mapping[str, Refusal] = {
    **{verb: (f"no-{verb}", f"Kubently is read-only: kubectl {verb} is refused", "") for verb in WRITES},
    "attach": ("no-attach", "attaching to containers is not served through Kubently", "`logs -f` follows their output"),
    "cp": ("no-exec", "kubectl cp runs a program in the container, which is not served through Kubently", ""),
    "debug": (
        "no-ephemeralcontainers",
        "debug containers are not served through Kubently",
        "`describe` and `logs --previous` show how a container ended",
    ),
    "diff": (
        "no-patch",
        "kubectl diff is refused: it sends a dry-run patch, and Kubently sends no writes",
        "compare with `get -o yaml`",
    ),
    "exec": ("no-exec", "running programs in containers is not served through Kubently", ""),
    "port-forward": ("no-portforward", "port forwarding is not served through Kubently", ""),
    "proxy": ("no-proxy", "kubectl proxy is not served through Kubently", ""),
    "config": ("no-config", "kubectl config is about files on your own machine", "run your own kubectl for it"),
    "kustomize": ("no-files", "kubectl kustomize reads files, and there are none here", ""),
    "plugin": ("no-plugins", "kubectl plugins do not run through Kubently", ""),
}

DENIED_SUBVERBS: Mapping[tuple[str, str], Refusal] = {
    ("rollout", "pause"): ("no-patch", "Kubently is read-only: rollout pause is refused", ""),
    ("rollout", "restart"): ("no-patch", "Kubently is read-only: rollout restart is refused", ""),
    ("rollout", "resume"): ("no-patch", "Kubently is read-only: rollout resume is refused", ""),
    ("rollout", "undo"): ("no-patch", "Kubently is read-only: rollout undo is refused", ""),
    ("auth", "reconcile"): ("no-update", "Kubently is read-only: auth reconcile is refused", ""),
    ("cluster-info", "dump"): (
        "no-dump",
        "cluster-info dump writes files and reads every log of the cluster",
        "use `get`, `describe` and `logs` for what you need",
    ),
}

_ROAD = "flag-road"
_IDENTITY = "flag-identity"
_FILES = "flag-files"
_DEBUG = "flag-debug"

DENIED_FLAGS: Mapping[str, Refusal] = {
    "filename": (_FILES, "--filename is refused: there are no files at the executor, and it fetches no URLs", ""),
    "kustomize": (_FILES, "--kustomize is refused: there are no files at the executor", ""),
    "recursive": (_FILES, "--recursive is refused: it is about files, and there are none at the executor", ""),
    "raw": ("flag-raw", "--raw is refused: it asks for a path instead of a resource", "name the resource"),
    "local": (_FILES, "--local is refused: it is about files, and there are none at the executor", ""),
    "cache-dir": (_FILES, "--cache-dir is refused: the executor chooses the folder", ""),
    "kubeconfig": (_ROAD, "--kubeconfig is refused: the executor decides how its cluster is reached", ""),
    "kuberc": (_FILES, "--kuberc is refused: preferences are files, and there are none at the executor", ""),
    "server": (_ROAD, "--server is refused: the executor decides how its cluster is reached", ""),
    "context": (_ROAD, "--context is refused: the cluster is chosen before the command", ""),
    "cluster": (_ROAD, "--cluster is refused: the cluster is chosen before the command", ""),
    "certificate-authority": (_ROAD, "--certificate-authority is refused: the executor decides whom it trusts", ""),
    "proxy-url": (_ROAD, "--proxy-url is refused: the executor decides how its cluster is reached", ""),
    "tls-server-name": (_ROAD, "--tls-server-name is refused: the executor decides whom it trusts", ""),
    "user": (_IDENTITY, "--user is refused: requests are made as the executor", ""),
    "username": (_IDENTITY, "--username is refused: requests are made as the executor", ""),
    "password": (_IDENTITY, "--password is refused: requests are made as the executor", ""),
    "v": (_DEBUG, "-v is refused: it prints requests and answers as they are on the wire", ""),
    "vmodule": (_DEBUG, "--vmodule is refused: it prints requests and answers as they are on the wire", ""),
}

DENIED_FLAG_PREFIXES: tuple[tuple[str, Refusal], ...] = (
    ("as", (_IDENTITY, "impersonation flags are refused: requests are made as the executor", "")),
    ("client-", (_IDENTITY, "client certificates are refused: requests are made as the executor", "")),
    ("insecure-", (_ROAD, "connections without verification are refused", "")),
    ("log-", (_DEBUG, "logging flags are refused", "")),
    ("profile", (_DEBUG, "profiling flags are refused: they write files", "")),
    ("token", (_IDENTITY, "tokens are refused: requests are made as the executor", "")),
)
"""Without a dash at its end a prefix is also the name of a flag itself."""

DENIED_SHORTS: Mapping[str, str] = {"f": "filename", "k": "kustomize", "R": "recursive", "s": "server", "v": "v"}
