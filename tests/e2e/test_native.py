"""Reads without a child print what kubectl prints, byte for byte, and are really read without one.

The executor of these tests says by its metrics which road a command took. What follows is compared exactly, with ages
and the blanks beside them taken out; a pair that differs is asked once more, because clusters live.
"""

from __future__ import annotations

import random
import re
import shlex
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from kubently.client import Api
from tests.e2e.compare import lines
from tests.e2e.content import DIRECT, EXECUTOR
from tests.e2e.harness import ExecutorProcess, Fleet
from tests.testbed.cluster import Cluster
from tests.testbed.processes import free_ports

NAMESPACE = "native"
CLUSTER = "alpha-native"

NATIVE = """
get pods -n shop
get pods -A
get pods -A --no-headers
get pods -n shop -o wide
get pods -n shop -o name
get pods -n shop -o json
get pods -n shop -o yaml
get pods -n shop --show-labels
get pods -n shop -L app,pod-template-hash
get pods -n shop --show-kind
get pods -n shop --chunk-size=1
get pods -n shop --chunk-size=3 --no-headers
get pods -n shop --chunk-size=0 -o yaml
get pods -n shop -l app=web -o name
get pods -n shop -l 'app in (web,api),app!=api'
get pods -n shop --field-selector=status.phase=Running -o wide
get pods -n shop --field-selector=no.such=field
get pods -n shop -l 'app in (web'
get po,deploy,rs -n shop
get deployments.v1.apps,statefulsets.apps -n shop
get deploy,sts,svc -n shop --no-headers
get all -n shop
get all -A
get all -n native
get pods
get pods -n nowhere
get pods,cm -n nowhere
get pod nowhere -n shop
get pod nowhere -n nowhere
get pod queue-0 nowhere -n shop
get pod queue-0 nowhere -n shop -o json
get pod nowhere elsewhere -n shop -o yaml
get pod nowhere -n shop --ignore-not-found
get pod nowhere -n shop --ignore-not-found -o json
get pod/queue-0 service/web -n shop
get pods,services web -n shop
get pod queue-0 -n shop -o yaml --show-managed-fields
get pod queue-0 -n shop -o json --show-managed-fields
get deployment web -n shop --subresource=scale -o yaml
get deployment web -n shop --subresource=status
get nodes
get nodes -o wide --show-labels
get nodes -o yaml
get nodes,namespaces -A
get nodes,pods -n shop
get ns native -o json
get ns default kube-system -o name
get clusterroles
get clusterroles -o json
get clusterrole cluster-admin -o yaml
get crd
get crd gadgets.native.example -o yaml
get apiservices
get events -n shop
get events -n shop -o yaml
get leases -A
get componentstatuses etcd-0
get tokenreviews
get cm,sa -n native
get cm -n native -o json
get cm -n native -o name
get cm -n native --show-labels -L number,yes
get cm -n native -l yes=no
get cm strings -n native -o yaml
get cm strings -n native -o json
get cm nasty-0 -n native -o yaml
get cm nasty-1 -n native -o yaml
get cm nasty-2 -n native -o yaml
get cm nasty-3 -n native -o yaml
get cm nasty-4 -n native -o yaml
get cm nasty-5 -n native -o yaml
get cm nasty-6 nasty-7 -n native -o yaml
get cm nasty-8 nasty-9 -n native -o json
get gadgets -n native
get gadgets -n native -o wide
get gadgets -n native --no-headers --show-labels
get gg -n native
get machinery -n native
get gadget.v1beta1.native.example -n native -o name
get gadgets -n native -o yaml
get gadgets -n native -o json
get gadget odd -n native -o yaml
get pods.other.example
get pod -n shop queue-0
get rolebindings,roles -A -o wide
logs queue-0 -n shop
logs pod/queue-0 -n shop --tail=2
logs queue-0 -n shop -c queue --timestamps
logs queue-0 queue -n shop --limit-bytes=8
logs queue-0 -n shop --since=24h --previous
logs queue-0 -n shop --since-time=2020-01-01T00:00:00Z
logs queue-0 -n shop -c nowhere
logs nowhere -n shop
logs nowhere -n nowhere
logs homeless -n shop
logs several -n native
logs several -n native -c second
logs several -n native --previous
logs chosen -n native
logs mistaken -n native
"""

KUBECTLS = """
get unheardof
get pods -n shop -o jsonpath={.items[*].metadata.name}
get pods -n shop --sort-by=.metadata.name
get pods -n shop -o custom-columns=NAME:.metadata.name
get pods -n shop -o kyaml
get pods -n shop --server-print=false
get pods -n shop --request-timeout=20s
get pod queue-0 -A
get amb -n native
get cm unreadable -n native -o yaml
logs deployment/api -n shop
logs -l app=queue -n shop --prefix
logs queue-0 -n shop --all-containers
describe pod queue-0 -n shop
"""
"""What only kubectl knows: still the same output, by a child."""

# Alone and put together these are what YAML writes in many ways.
STRINGS = (
    *("yes", "No", "on", "y", "null", "~", "true", "False", "", " ", "  "),
    *("0x1F", "0b11", "0o17", "017", "08", "1e3", "1.5", "-1", "+.5", ".5", ".inf", "-.Inf", ".nan", "1,000", "12e"),
    *("18446744073709551615", "18446744073709551616", "12:30:45", "2024-01-01", "2024-13-01", "2024-01-01T00:00:00Z"),
    *("---", "...", "-", "- a", "?", "? a", ":", "a: b", "a:b", "a #b", "#a", "[a]", "{a: b}", "&a", "*a", "!a", "|"),
    *(">", "'", '"', "it's", '"quoted"', "%a", "@a", "`a", "=", "<<", "<b>&amp;</b>", "back\\slash"),
    *("tab\there", "two\nlines", "two\nlines\n", "end\n\n", "\nbegin", "\n", " lead", "trail ", "a \nb", "a\n  b\n"),
    *("é", "日本語", "🚀", "\x1b[31mred", "bell\x07", "cr\rlf\r\n", "\u00a0", "x" * 200, "word " * 40, "it's " * 40),
    *('"q" ' * 30, "é " * 60, "🚀 " * 60, "a" * 79 + " b", "a" * 80 + " b", "a" * 90 + "  b c"),
)
SEED = 20


@dataclass(frozen=True)
class Answer:
    """What a command has said."""

    code: int | None
    out: str
    err: str


@dataclass(frozen=True)
class Roads:
    """The executor that counts its roads, and kubectl beside the cluster."""

    api: Api
    cluster: Cluster
    executor: ExecutorProcess
    port: int

    def ask(self, line: str) -> tuple[Answer, str]:
        """Through Kubently, and by which road."""
        before = self._counts()
        outcome = self.api.post(f"/api/v1/clusters/{CLUSTER}/commands", {"argv": shlex.split(line), "timeout": 30})
        after = self._counts()
        [road] = [name for name, count in after.items() if count != before.get(name, 0)]
        return Answer(outcome["exit_code"], outcome["stdout"], outcome["stderr"]), road

    def directly(self, line: str) -> Answer:
        """By kubectl with the executor's rights."""
        done = self.cluster.kubectl(*shlex.split(line), user=DIRECT, check=False)
        return Answer(done.returncode, done.stdout, done.stderr)

    def _counts(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.findall(r'^kubently_executor_commands_total\{road="(\w+)"\} (\S+)$', text, re.M)
        return {road: float(count) for road, count in found}


@pytest.fixture(scope="module")
def roads(fleet: Fleet, alpha: Cluster) -> Iterator[Roads]:
    """A further executor of alpha, whose metrics can be read."""
    fill(alpha)
    [port] = free_ports(1)
    extra = {"KUBENTLY_HEALTH_LISTEN": f"127.0.0.1:{port}"}
    with fleet.temporary(CLUSTER, alpha.kubeconfig(EXECUTOR), extra=extra) as executor:
        yield Roads(fleet.api.client(), alpha, executor, port)


_AGE = re.compile(r" *(\b(\d+[dhmsy]){1,2}\b|<invalid>) *")


def normal(answer: Answer) -> Answer:
    """Without ages, and without the blanks that their length makes."""
    shown = _AGE.sub(" AGE ", answer.out)
    return Answer(answer.code, re.sub(r"\b(AGE|LAST SEEN|DURATION) +", r"\1 ", shown), answer.err)


def assert_same(roads: Roads, line: str, road: str) -> None:
    """Compare the roads: exactly, or without ages."""
    through, taken = roads.ask(line)
    direct = roads.directly(line)
    if normal(through) != normal(direct):
        through, taken = roads.ask(line)
        direct = roads.directly(line)

    assert normal(through) == normal(direct)
    assert taken == road


@pytest.mark.parametrize("line", lines(NATIVE))
def test_a_read_prints_what_kubectl_prints_without_a_child(line: str, roads: Roads) -> None:
    assert_same(roads, line, "native")


@pytest.mark.parametrize("line", lines(KUBECTLS))
def test_what_only_kubectl_knows_is_asked_of_it(line: str, roads: Roads) -> None:
    assert_same(roads, line, "kubectl")


def test_every_string_is_really_there(roads: Roads) -> None:
    """The comparison of YAML is about all of them."""
    shown = roads.directly("get cm strings -n native -o json").out

    assert all(f'"s{number}": ' in shown for number in range(len(STRINGS)))
    assert "Warning: v1 ComponentStatus is deprecated" in roads.ask("get componentstatuses etcd-0")[0].err


@pytest.mark.parametrize(
    "line",
    [
        "get secrets.other.example -A",
        "get secrets.other.example -A -o yaml",
        "get secrets.other.example,pods -n shop",
        "get secrets.other.example,pods -n shop -o name",
        "get secrets.other.example a -n native -o yaml",
        "get secrets.other.example a b -n native -o json",
    ],
)
def test_a_refusal_of_the_policy_reads_as_kubectl_would_print_it(line: str, roads: Roads) -> None:
    native, road = roads.ask(line)
    forked, other_road = roads.ask(f"{line} --request-timeout=20s")

    assert (road, other_road) == ("native", "kubectl")
    assert normal(native) == normal(forked)
    assert "Error from server (Forbidden): Secrets are not shown through Kubently" in native.err
    assert native.code == 1


def fill(cluster: Cluster) -> None:
    """Make what is hard to print."""
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, *_definitions())
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    cluster.create(*_config_maps(), *_gadgets(), *_pods())
    cluster.kubectl("wait", "--for=condition=Ready", "pod", "--all", "-n", NAMESPACE, "--timeout=60s", timeout=90)


def _object(kind: str, name: str, api_version: str = "v1", **rest: object) -> dict[str, object]:
    metadata = {"name": name, "namespace": NAMESPACE, **rest.pop("metadata", {})}  # type: ignore[dict-item]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def _config_maps() -> Iterator[dict[str, object]]:
    chance = random.Random(SEED)
    yield _object("ConfigMap", "strings", data={f"s{number}": text for number, text in enumerate(STRINGS)})
    yield _object("ConfigMap", "unreadable", data={"delete": "a\x7fb"})
    yield _object("ConfigMap", "empty", data={"size-unit": ""}, binaryData={"raw": "AAEC"})
    for number in range(10):
        labels = {"number": str(number), "yes": "no", "weird.example/1e3": "0x1"}
        annotations = {"native.example/note": chance.choice(STRINGS), "native.example/more": _words(chance)}
        keys = (chance.choice("abyB_-") + chance.choice(("", ".b", "-2", "_10", "A")) for _ in range(8))
        data = {key: _words(chance) for key in keys}
        yield _object(
            "ConfigMap", f"nasty-{number}", data=data, metadata={"labels": labels, "annotations": annotations}
        )


def _words(chance: random.Random) -> str:
    return chance.choice(("", " ", "\n")).join(chance.choice(STRINGS) for _ in range(chance.randint(1, 8)))


def _definitions() -> Iterator[dict[str, object]]:
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Ratio", "type": "number", "jsonPath": ".spec.ratio"},
        {"name": "Text", "type": "string", "jsonPath": ".spec.text"},
        {"name": "On", "type": "boolean", "jsonPath": ".spec.on"},
        {"name": "Extra", "type": "string", "priority": 1, "jsonPath": ".spec.extra"},
    ]
    names = {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "categories": ["machinery", "all"]}
    yield _definition("native.example", {**names, "shortNames": ["gg", "amb"]}, ("v1", "v1beta1"), columns)
    others = {"plural": "pods", "singular": "pod", "kind": "Pod", "shortNames": ["amb"]}
    yield _definition("other.example", others, ("v1",), None, scope="Cluster")
    secrets = {"plural": "secrets", "singular": "secret", "kind": "Secret"}
    yield _definition("other.example", secrets, ("v1",), None)


def _definition(
    group: str, names: dict[str, object], versions: tuple[str, ...], columns: object, scope: str = "Namespaced"
) -> dict[str, object]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    served = [
        {"name": name, "served": True, "storage": name == "v1", "schema": schema}
        | ({"additionalPrinterColumns": columns} if columns else {})
        for name in versions
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{group}"},
        "spec": {"group": group, "scope": scope, "names": names, "versions": served},
    }


def _gadgets() -> Iterator[dict[str, object]]:
    chance = random.Random(SEED)
    numbers = (0.5, 1.0, 2, 1e-7, 1e6, 123456.75, 1e21, -0.25, 1.5e300)
    for number, ratio in enumerate(numbers):
        spec = {"size": 10**number, "ratio": ratio, "text": _words(chance), "on": number % 2 == 0}
        yield _object("Gadget", f"g-{number}", "native.example/v1", spec={**spec, "extra": chance.choice(STRINGS)})
    deep = [[1, [2, []]], [{"a": [{}], "b": None}], "x", {}, {"c": {"d": [{"e": "f"}, ["g"]]}}]
    yield _object("Gadget", "odd", "native.example/v1", spec={"deep": deep, "text": "a\tb\x1bc"}, yes=True)


def _pods() -> Iterator[dict[str, object]]:
    default = "kubectl.kubernetes.io/default-container"
    containers = [{"name": name, "image": "registry.example/x:1"} for name in ("first", "second")]
    init = [{"name": "before", "image": "registry.example/x:1"}]
    yield _object("Pod", "several", spec={"containers": containers, "initContainers": init})
    for name, preset in (("chosen", "second"), ("mistaken", "nobody")):
        yield _object("Pod", name, spec={"containers": containers}, metadata={"annotations": {default: preset}})
