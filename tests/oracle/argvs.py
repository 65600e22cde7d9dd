"""Argument lists from a seed: plain ones, and ones that try to be another command to kubectl than to who decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random

Argv = tuple[str, ...]
Maker = Callable[[Random], Argv]

TYPES = (
    *(
        "pods",
        "po",
        "deployments",
        "deploy/web",
        "pods/queue-0",
        "svc",
        "configmaps",
        "pods,services",
        "deployments.apps",
    ),
    *("nodes", "namespaces", "statefulset/queue", "jobs", "Pods", "all", "events", "cm/settings", "rs"),
)
SECRETS = ("secrets", "secret/db", "Secret.", "secrets.v1.", "pods,secrets", "SECRET", "pods/x secret/db")
PLAIN_FLAGS: Mapping[str, Sequence[Argv]] = {
    "get": (
        *(("-n", "shop"), ("-nshop",), ("--namespace=shop",), ("-A",), ("-o", "json"), ("-oyaml",), ("-o=name",)),
        *(("-l", "app=web"), ("--show-labels",), ("--no-headers=true",), ("--ignore-not-found",), ("-L", "app")),
        *(("-o", "jsonpath={.items[*].metadata.name}"), ("--sort-by=.metadata.name",), ("--chunk-size=2",)),
        *(("-Aowide",), ("--all_namespaces",), ("--field-selector", "metadata.name=web"), ("--warnings-as-errors",)),
    ),
    "describe": (("-n", "shop"), ("-A",), ("-l", "app=web"), ("--show-events=false",), ("--chunk-size", "5")),
    "logs": (
        ("-n", "shop"),
        ("--tail=2",),
        ("-c", "queue"),
        ("--timestamps",),
        ("-p",),
        ("--since=1h",),
        ("--prefix",),
    ),
    "top pods": (("-A",), ("-n", "shop"), ("--no-headers",), ("--containers",)),
    "top node": (("--no-headers",), ("--sort-by=cpu",)),
    "explain": (("--recursive",), ("--max-depth=2",), ("--output=plaintext",), ("--api-version=v1",)),
    "api-resources": (("-o", "name"), ("--namespaced=false",), ("--no-headers",), ("--verbs=list",)),
    "api-versions": ((), ("--request-timeout=10s",)),
    "events": (("-n", "shop"), ("-A",), ("--types=Warning",), ("--no-headers",)),
    "version": (("-o", "json"), ("--client",), ("--output=yaml",)),
    "rollout history": (("-n", "shop"), ("--revision=1",), ("-o", "yaml")),
    "rollout status": (("-n", "shop"), ("--watch=false",), ("--timeout=1s",)),
    "auth can-i": (("-n", "shop"), ("-A",), ("-q",), ("--subresource=log",)),
    "auth whoami": (("-o", "json"), ("--output=yaml",)),
    "cluster-info": ((), ("--request-timeout", "10s")),
    "wait": (("-n", "shop", "--for=condition=Available"), ("--for=create",), ("--timeout=1s",)),
}
_WORDS: Mapping[str, Sequence[Argv]] = {
    "logs": (("queue-0",), ("deploy/web",), ("pod/queue-0", "queue")),
    "top pods": ((), ("queue-0",)),
    "top node": ((), ("alpha-0",)),
    "explain": (("pods",), ("deployments.spec.template",), ("nodes.status",)),
    "auth can-i": (("list", "pods"), ("get", "deployments.apps"), ("watch", "nodes"), ("get", "/version")),
    **dict.fromkeys(("api-resources", "api-versions", "events", "version", "auth whoami", "cluster-info"), ((),)),
}
OTHER_VERBS = (
    *("delete", "apply", "create", "edit", "patch", "replace", "scale", "label", "annotate", "exec", "attach", "cp"),
    *("port-forward", "proxy", "debug", "run", "drain", "cordon", "taint", "set env", "rollout restart", "diff"),
    *("rollout undo", "auth reconcile", "cluster-info dump", "config view", "plugin list", "kustomize", "completion"),
    *("create token", "certificate approve", "kuberc view", "options", "help", "__complete", "alpha", "krew", "ctx"),
    *("get-all", "GET", "Get", "", "gets", "set image", "autoscale", "expose", "rollout", "top", "auth", "apply edit"),
)
HARMFUL_FLAGS: Sequence[Argv] = (
    *(("--raw", "/api/v1/secrets"), ("--raw=/x",), ("-f", "/etc/passwd"), ("--filename=x",), ("-k", "/x"), ("-R",)),
    *(("-s", "https://elsewhere"), ("-shttps://elsewhere",), ("--server=https://elsewhere",), ("--context", "x")),
    *(("--kubeconfig=/x",), ("--as", "admin"), ("--as=admin",), ("--as_group=x",), ("--as-uid=1",), ("--token=x",)),
    *(("--client-key=/x",), ("--certificate_authority=/x",), ("--insecure-skip-tls-verify",), ("--user", "x")),
    *(("--cluster", "x"), ("--cache-dir=/x",), ("--tls-server-name=x",), ("--kuberc=/x",), ("--proxy-url=x",)),
    *(("-v=9",), ("-v9",), ("-v", "9"), ("--v=9",), ("--vmodule=x=9",), ("--profile=cpu",), ("--log-file=/x",)),
    *(("-o", "go-template-file=/x"), ("-otemplatefile=/x",), ("--output=jsonpath-file=/x",), ("--password=x",)),
    *(("-o=custom-columns-file=/x",), ("--subresource=exec",), ("--subresource", "proxy"), ("--username=x",)),
    *(("--insecure-skip-tls-verify-backend",), ("--local",), ("--output-directory=/x",), ("--save-config",)),
    *(("--dry-run=server",), ("--dry-run",), ("--force",), ("--all",), ("--overwrite",), ("--unheard-of=1",), ("-Z",)),
)
CONFUSING: Sequence[Argv] = (
    *(("--",), ("-",), ("---",), ("--=x",), ("-=",), ("-n",), ("-n=",), ("-n=shop",), ("-n", "delete"), ("-n", "-A")),
    *(("-A=true",), ("-A=false",), ("-A=0",), ("-A=TRUE",), ("-A", "true"), ("-An", "shop"), ("-wA",), ("-Aw=false",)),
    *(("-o", "-f"), ("-o", "--raw"), ("--output", "-s"), ("-l", "--as=admin"), ("-l=a=b",), ("-la=b",), ("-lA",)),
    *(("--show_labels",), ("--show__labels",), ("--Show-labels",), ("--show-labels ",), ("--show-labels=",), ("-n ",)),
    *(("--all-namespaces", "false"), ("--namespace", "--raw"), ("--chunk-size", "-1"), ("--help",), ("-h",), ("-hA",)),
    *(("pods", "--", "-f"), ("--", "--raw=/x"), ("delete",), ("exec",), ("secrets",), ("-\u006e\u0301",), ("—raw",)),
    *(("\uff0d\uff0draw=/x",), ("-o\u00a0json",), ("",), ("\n",), ("a\0b",), ("-o", "json\r"), ("\ud800",), ("`id`",)),
    *(("$(id)",), ("; delete pods --all",), ("| sh",), ("&&",), ("../../etc/passwd",), ("pods/..",), ("/x",)),
)


def _plain(random: Random) -> Argv:
    """A read: flags before, between and after the words; Secrets now and then."""
    verb = random.choice(tuple(PLAIN_FLAGS))
    words = list(random.choice(_WORDS.get(verb, tuple((word,) for word in TYPES))))
    if verb in ("get", "describe") and random.random() < 0.25:
        words = random.choice(SECRETS).split()
    parts: list[Argv] = [(word,) for word in words]
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        parts.insert(random.randint(0, len(parts)), random.choice(PLAIN_FLAGS[verb]))
    argv = (*verb.split(), *(word for part in parts for word in part))
    return ("-n", "shop", *argv) if random.random() < 0.1 else argv


def _insert(random: Random, argv: Argv, part: Argv, *, first: int = 0) -> Argv:
    place = random.randint(min(first, len(argv)), len(argv))
    return (*argv[:place], *part, *argv[place:])


def _other_verb(random: Random) -> Argv:
    argv = _plain(random)
    if random.random() < 0.1:
        return argv
    other = tuple(random.choice(OTHER_VERBS).split(" "))
    return random.choice(((*other, *argv[1:]), _insert(random, argv, other), (*other, *argv)))


def _harmful_flag(random: Random) -> Argv:
    argv = _plain(random)
    return argv if random.random() < 0.1 else _insert(random, argv, random.choice(HARMFUL_FLAGS))


def _confusing(random: Random) -> Argv:
    argv = _plain(random)
    for _ in range(random.choice((1, 1, 2))):
        argv = _insert(random, argv, random.choice(CONFUSING))
    return argv


def _before_the_verb(random: Random) -> Argv:
    """Kubectl skips the word after a flag that it does not know before the verb."""
    flag = random.choice(
        (
            *(("-A",), ("--show-labels",), ("-o",), ("-o", "json"), ("-l",), ("-h",), ("--help",), ("-w",), ("-L",)),
            *(
                ("-n",),
                ("-n", "get"),
                ("-nget",),
                ("--namespace", "get"),
                ("--namespace=get",),
                ("--request-timeout=1s",),
            ),
            *(
                ("--warnings-as-errors",),
                ("--warnings-as-errors=false",),
                ("--disable_compression",),
                ("--v",),
                ("-v",),
            ),
            *(
                ("--",),
                ("-",),
                ("--dry-run",),
                ("--unheard-of",),
                ("-Z",),
                ("-nA",),
                ("-n=shop",),
                ("--request-timeout",),
            ),
        )
    )
    hidden = random.choice(((), (), ("get",), ("delete",), ("exec",), ("pods",)))
    return (*flag, *hidden, *_plain(random))


def _shuffled(random: Random) -> Argv:
    """Words of several lists, in any order."""
    words = [*_plain(random), *random.choice((*HARMFUL_FLAGS, *CONFUSING))]
    random.shuffle(words)
    return (*random.choice((("get",), ("logs",), ("rollout", "history"), ())), *words)


def _respelt(random: Random) -> Argv:
    """A letter more, less or other, somewhere."""
    argv = _plain(random)
    place = random.randrange(len(argv))
    word = argv[place]
    spot = random.randint(0, len(word))
    letter = random.choice("-_=./, aAnoslfvRk\u0131\u017f")
    changed = random.choice((word[:spot] + letter + word[spot:], word[:spot] + word[spot + 1 :], word.upper()))
    return (*argv[:place], changed, *argv[place + 1 :])


PLAIN: Mapping[str, Maker] = {"plain lists": _plain}
ODD: Mapping[str, Maker] = {
    "other verbs": _other_verb,
    "harmful flags": _harmful_flag,
    "confusing words": _confusing,
    "before the verb": _before_the_verb,
    "shuffled words": _shuffled,
    "respelt words": _respelt,
}
STRATA: Mapping[str, Maker] = {**PLAIN, **ODD}


def argument_lists(seed: int, count: int) -> Iterator[tuple[str, Argv]]:
    """*count* argument lists, as many of each stratum, with its name."""
    random = Random(seed)
    names = list(STRATA)
    for number in range(count):
        name = names[number % len(names)]
        yield name, STRATA[name](random)
