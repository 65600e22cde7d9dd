"""Hundreds of commands through Kubently and by kubectl beside the cluster: the same output, errors and exit code.

The commands are a table: KINDS x FORMS, and LINES of their own. Kubently is asked over REST, which gives stdout, stderr
and exit code apart (what the command line makes of them is tested in `test_commands`); kubectl itself is the real one,
as a user with the executor's rights. Answers that programs read are compared byte by byte, those for people without
ages and the width of columns.

The pairs run two at a time, ahead of the tests that look at them; a pair that differs is asked once more, because
clusters live. What Kubently itself refuses is not here: its words are its own.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubently.client import Api
from tests.e2e.compare import lines, normal
from tests.e2e.content import DIRECT
from tests.e2e.harness import Fleet
from tests.testbed.cluster import Cluster

KINDS = """
pods solo
replicationcontrollers old
podtemplates mould
services web
endpoints web
configmaps settings
serviceaccounts robot
persistentvolumeclaims data
resourcequotas limits
limitranges sizes
events noted.1
deployments web
statefulsets queue
daemonsets agent
jobs report
cronjobs nightly
horizontalpodautoscalers web
poddisruptionbudgets web
ingresses web
networkpolicies web
roles reader
rolebindings reader
leases leader
resourceclaims one-gpu
widgets left
"""
"""Kinds in the namespace `kinds`, and an object of each."""

CLUSTER_KINDS = """
nodes alpha-0
namespaces kinds
persistentvolumes disk
storageclasses slow
csidrivers disks.shop.example
volumeattributesclasses faster
ingressclasses edge
priorityclasses important
runtimeclasses sandboxed
clusterroles shop-reader
clusterrolebindings shop-reader
validatingwebhookconfigurations guard
mutatingwebhookconfigurations painter
validatingadmissionpolicies size
validatingadmissionpolicybindings size
deviceclasses gpu
customresourcedefinitions widgets.shop.example
apiservices v1.apps
flowschemas catch-all
prioritylevelconfigurations catch-all
servicecidrs kubernetes
"""
"""Kinds that are in no namespace, and an object of each."""

FORMS = """
get {kind}{scope}
get {kind}{scope} -o wide --show-labels
get {kind} {name}{scope}
get {kind} {name}{scope} -o yaml
get {kind} {name} nowhere{scope} -o name
get {kind}{scope} -o json
describe {kind} {name}{scope}
"""

LINES = """
# --- get: which objects
get pods -n shop
get pods -A
get pod/queue-0 service/web -n shop
get deploy,sts,svc -n shop
get deploy,sts,svc -n shop -o name
get pods,nodes -n shop
get ns shop -o yaml
get po -n kinds -l app=web
get pods -n kinds -l 'app in (web,queue),tier!=back' -o name
get pods -n kinds -l '!app'
get pods -n kinds -l 'app in (web'
get pods -A --field-selector=metadata.namespace=kinds,status.phase=Succeeded
get pods -n shop --field-selector=spec.nowhere=x
get pods -n shop --field-selector=novalue
get events -n shop --field-selector=involvedObject.name=queue-0
get pods -n empty
get pods -n empty -o name
get pods -n empty -o yaml
get pods -n empty --ignore-not-found
get pods,svc -n empty
get pods -l app=nothing-has-this -A
get pod nowhere -n shop
get pod nowhere -n shop -o json
get pod nowhere -n shop --ignore-not-found
get pod queue-0 nowhere elsewhere -n shop
get pod queue-0 nowhere -n shop -o yaml
get pod queue-0 -A
get pod queue-0 -l app=queue -n shop
get pods/queue-0 pods -n shop
get pods queue-0/x -n shop
get unheardof
get unheardof.example.com
get pods,unheardof -n shop
get widgets.shop.example -n kinds
get widgets.v1.shop.example left -n kinds
get widgets.v7.shop.example left -n kinds
get wi -n kinds -l side=right -o wide
get deployments.v1.apps web -n shop
get deployments.apps/web -n shop -o name
get hpa.v1.autoscaling web -n kinds -o yaml
get all -n kinds
get all -n kinds -o name
get all -n empty
get deployment web -n shop --subresource=scale -o yaml
get deployment web -n shop --subresource=status
get widget left -n kinds --subresource=scale
get pods -n shop --chunk-size=2
get pods -n shop --chunk-size=0
get job report -n shop
get cm settings -n shop -o yaml
get cm -n kinds
get endpointslices -n kinds -l kubernetes.io/service-name=web
get replicasets -n kinds
get controllerrevisions -n kinds
get csinodes
get ipaddresses -o name
get leases -A
get podmetrics -n shop
# --- get: how they are shown
get pods -n shop -o wide
get pods -n shop -o name
get pods -n shop -o json
get pods -n shop -o yaml
get pods -n shop -o kyaml
get pods -n kinds -o yaml --show-managed-fields -l app=solo
get pods -n shop -o jsonpath={.items[*].metadata.name}
get pods -n shop -o jsonpath-as-json={.items[*].status.phase}
get pods -n kinds -o 'jsonpath={range .items[*]}{.metadata.name}{"\\t"}{.spec.containers[*].image}{"\\n"}{end}'
get pods -n kinds -o 'jsonpath={.items[?(@.metadata.labels.app=="web")].metadata.name}'
get pod solo -n kinds -o jsonpath={.metadata.annotations.note}
get pod solo -n kinds -o jsonpath={.spec}
get pod solo -n kinds -o jsonpath={.nowhere}
get pod solo -n kinds -o jsonpath={.nowhere} --allow-missing-template-keys=false
get pods -n shop -o jsonpath={.nowhere
get pods -n shop -o go-template='{{range .items}}{{.metadata.name}}{{"\\n"}}{{end}}'
get pods -n shop -o template --template='{{len .items}}'
get pods -n shop -o go-template='{{.nowhere'
get pod solo -n kinds -o go-template='{{.nowhere.at.all}}' --allow-missing-template-keys=false
get pods -n shop -o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName
get pods -n kinds -o custom-columns=NAME:.metadata.name,IMAGES:.spec.containers[*].image --no-headers
get pods -n kinds -o custom-columns=NAME:.metadata.name,NONE:.nowhere
get pods -n kinds -o custom-columns=NAME
get pods -n shop -o custom-columns
get pods -n shop --no-headers -l app=web
get pods -n shop --show-labels --sort-by=.metadata.name
get pods -n shop -L app --field-selector=status.phase=Running
get pods -n kinds -L app,tier --show-kind
get pods -n kinds --sort-by=.spec.nodeName -o name
get pods -n kinds --sort-by=.metadata.creationTimestamp
get pods -n kinds --sort-by={.metadata.labels.app} -o wide
get pods -n kinds --sort-by=.nowhere
get pods -n kinds --sort-by=.status.containerStatuses[0].restartCount
get pv,pvc -n kinds
get widgets -n kinds --sort-by=.spec.size
get widgets,pods -n kinds --no-headers
get widgets -n kinds --server-print=false
get pods -n shop --server-print=false
get nodes -o wide
get nodes --show-labels
get svc,ep -n kinds -o yaml
get pods,widgets -n kinds -o json
get pods -n shop -o name --show-labels
get pods -n shop --output-watch-events
get
get podtemplate awkward -n kinds -o yaml
get podtemplate awkward -n kinds -o json
get podtemplate awkward -n kinds -o kyaml
get podtemplate awkward -n kinds -o jsonpath={.metadata.annotations}
get podtemplate awkward -n kinds -o jsonpath={.metadata.annotations.control}{.metadata.annotations.returns}
get podtemplate awkward -n kinds -o custom-columns=A:.metadata.annotations.lines,B:.metadata.annotations.control
get podtemplate awkward -n kinds -o go-template='{{range .metadata.annotations}}{{printf "%q" .}}{{end}}'
describe podtemplate awkward -n kinds
# --- describe
describe pod queue-0 -n shop
describe pod broken -n shop
describe pod homeless -n shop
describe pods -n kinds -l app=web
describe deployment web -n shop
describe node alpha-0
describe svc web -n shop
describe svc/web deploy/web -n kinds
describe pod -n empty
describe pod solo -n kinds --show-events=false
describe pod que -n shop
describe pod nowhere -n shop
describe unheardof x
describe rs -n kinds
describe endpointslices -n kinds
# --- logs
logs queue-0 -n shop
logs queue-0 -n shop --tail=1
logs queue-0 -n shop --tail=0
logs queue-0 -n shop -c queue --timestamps
logs queue-0 queue -n shop
logs queue-0 -n shop --previous
logs pod/queue-0 -n shop --limit-bytes=7
logs queue-0 -n shop --since=1h
logs queue-0 -n shop --since-time=2020-01-01T00:00:00Z
logs queue-0 -n shop --since=1h --since-time=2020-01-01T00:00:00Z
logs queue-0 -n shop --since=yesterday
logs queue-0 -n shop --tail=-2
logs solo -n kinds
logs solo -n kinds -c side
logs solo -n kinds -c first
logs solo -n kinds --all-containers
logs solo -n kinds --all-containers --prefix
logs solo -n kinds --previous -c main
logs deployment/api -n shop
logs deployment/web -n kinds
logs deployment/web -n kinds --all-pods
logs job/report -n kinds
logs sts/queue -n kinds --tail=2
logs service/web -n kinds
logs -l app=queue -n shop --prefix
logs -l app=web -n kinds --tail=3
logs -l app=nothing -n kinds
logs -l app=web -n kinds --max-log-requests=1
logs nowhere -n shop
logs queue-0 -n shop -c nowhere
logs homeless -n shop
logs cm/settings -n shop
logs deployment/nowhere -n shop
logs
logs queue-0 -n shop --all-containers -c queue
# --- events, explain, discovery
events -n shop --for pod/queue-0
events -n kinds --types=Warning --for pod/solo
events -n empty
events -n kinds --for pod/solo -o json
explain pods.spec.containers
explain deployment --recursive
explain widgets.spec
explain widgets --api-version=shop.example/v1 --recursive
explain pods.nowhere
explain unheardof
explain hpa --api-version=autoscaling/v1
api-resources
api-resources -o wide --namespaced=false
api-resources --api-group=shop.example
api-resources --verbs=list,get --sort-by=name -o name
api-resources --categories=all
api-versions
version
version -o json
version -o yaml
cluster-info
# --- auth, rollout, wait
auth can-i list pods -n shop
auth can-i list nodes -A
auth can-i watch deployments.apps/web -n shop
auth can-i get unheardof
auth can-i
auth can-i get pods --subresource=log -n shop
auth can-i get /healthz
auth whoami
rollout history deployment/web -n shop
rollout history deployment/web -n kinds --revision=1
rollout history daemonset/agent sts/queue -n kinds
rollout history deployment/nowhere -n shop
rollout history pod/solo -n kinds
rollout status deployment/web -n shop
rollout status statefulset/queue -n shop --watch=false
rollout status deployment/nowhere -n shop
wait --for=condition=Ready pod/queue-0 -n shop --timeout=5s
wait --for=condition=Ready pod/homeless -n shop --timeout=1s
wait --for=delete pod/nowhere -n shop --timeout=1s
wait --for=jsonpath={.status.phase}=Bound pvc/data -n kinds
wait --for=condition=Available deployment --all -n kinds --timeout=5s -o name
wait --for=condition=Ready pod/nowhere -n shop --timeout=1s
# --- top: there is no metrics server
top pods -n shop
top nodes
"""

_FOR_PROGRAMS = re.compile(r"-o '?(json|yaml|kyaml|name|jsonpath|go-template|template|custom-columns)")
_OF_MANY = re.compile(r"logs .*(--all-containers|--all-pods|-l )")
"""Logs of several containers, which kubectl itself asks in no certain order."""
_WORKERS = 2


def table() -> Iterator[str]:
    """Every command, once."""
    seen = dict.fromkeys(lines(LINES))
    for kinds, scope in ((KINDS, " -n kinds"), (CLUSTER_KINDS, "")):
        for kind, name in map(str.split, lines(kinds)):
            seen |= dict.fromkeys(form.format(kind=kind, name=name, scope=scope) for form in lines(FORMS))
    yield from seen


COMMANDS = tuple(table())


@dataclass(frozen=True)
class Answer:
    """What a command has said, ready to be compared."""

    code: int | None
    out: str
    err: str

    @classmethod
    def of(cls, line: str, code: int | None, out: str, err: str) -> Answer:
        """One to the command *line*."""
        out = out if _FOR_PROGRAMS.search(line) else normal(out)
        return cls(code, "".join(sorted(out.splitlines(keepends=True))) if _OF_MANY.match(line) else out, normal(err))


@dataclass(frozen=True)
class Both:
    """The two roads to alpha."""

    api: Api
    cluster: Cluster

    def ask(self, line: str) -> tuple[Answer, Answer]:
        """Through Kubently, and directly."""
        return self._through(line), self._directly(line)

    def _through(self, line: str) -> Answer:
        command = {"argv": shlex.split(line), "timeout": 30}
        outcome = self.api.post("/api/v1/clusters/alpha/commands", command)
        return Answer.of(line, outcome["exit_code"], outcome["stdout"], outcome["stderr"])

    def _directly(self, line: str) -> Answer:
        done = self.cluster.kubectl(*shlex.split(line), user=DIRECT, check=False)
        return Answer.of(line, done.returncode, done.stdout, done.stderr)


Pair = tuple[Answer, Answer]


@pytest.fixture(scope="module")
def both(fleet: Fleet, alpha: Cluster, kinds: str) -> Both:
    """Alpha with an object of every kind."""
    return Both(fleet.api.client(), alpha)


@pytest.fixture(scope="module")
def pairs(both: Both, request: pytest.FixtureRequest) -> Iterator[Mapping[str, Future[Pair]]]:
    """The answers to all commands that were chosen for this run, as they come."""
    here = Path(__file__)
    chosen = [i.callspec.params["line"] for i in request.session.items if i.path == here and hasattr(i, "callspec")]
    # The first makes both sides' caches of discovery, so that no two kubectl write them at once.
    both.ask("get widgets -n kinds")
    with ThreadPoolExecutor(_WORKERS) as pool:
        yield {line: pool.submit(both.ask, line) for line in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("line", COMMANDS)
def test_kubently_answers_as_kubectl_does(line: str, pairs: Mapping[str, Future[Pair]], both: Both) -> None:
    through, direct = pairs[line].result()
    if through != direct:
        through, direct = both.ask(line)

    assert through == direct


def test_the_table_is_large() -> None:
    kinds = {line.split()[0] for line in lines(KINDS + CLUSTER_KINDS)}

    assert len(COMMANDS) >= 300
    assert len(kinds) >= 25


def test_every_kind_has_an_object_to_show(both: Both) -> None:
    """Two empty lists would be equal."""
    shown = both.ask(f"get {','.join(line.split()[0] for line in lines(KINDS))} -n kinds -o name")[0].out
    shown += both.ask(f"get {','.join(line.split()[0] for line in lines(CLUSTER_KINDS))} -o name")[0].out

    missing = {line for line in lines(KINDS + CLUSTER_KINDS) if f"/{line.split()[1]}\n" not in shown}
    assert missing == set()
    assert len({name.partition("/")[0] for name in shown.split()}) == len(lines(KINDS + CLUSTER_KINDS))


def test_the_comparison_would_notice(both: Both) -> None:
    """Answers to different commands differ, also without ages and widths."""
    different = {line: both.ask(line)[0] for line in ("get pods -n kinds", "get pods -n shop", "get pod solo -n kinds")}

    assert len(set(different.values())) == len(different)
