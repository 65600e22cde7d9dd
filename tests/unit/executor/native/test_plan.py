"""Which commands are read natively, and which words are left to kubectl."""

import pytest

from kubently.executor.native import plan
from kubently.executor.native.logs import plan_logs
from kubently.executor.native.resources import parse_discovery
from kubently.executor.native.unsure import Unsure
from kubently.kube import kubectl as argv_policy

from .served import CORE, GROUPS

TABLE = parse_discovery(CORE, GROUPS)


def planned(line: str) -> plan.GetPlan:
    command = argv_policy.parse(line.split())
    return plan.plan_get(command, plan.options_of(command), TABLE)


@pytest.mark.parametrize(
    ("line", "targets"),
    [
        ("get pods", ["pods"]),
        ("get po,svc,pods", ["pods", "services"]),
        ("get pod a", ["pods/a"]),
        ("get pod a b", ["pods/a", "pods/b"]),
        ("get pods,svc a b", ["pods/a", "pods/b", "services/a", "services/b"]),
        ("get pod/a svc/b no/c", ["pods/a", "services/b", "nodes/c"]),
    ],
)
def test_words_are_read_as_kubectl_reads_them(line: str, targets: list[str]) -> None:
    found = [f"{t.resource.plural}/{t.name}" if t.name else t.resource.plural for t in planned(line).targets]

    assert found == targets


def test_many_types_times_many_names_are_left_to_kubectl() -> None:
    names = " ".join(f"n{number}" for number in range(199))

    assert len(planned(f"get pod,Pod,POD,pods,Pods {names}").targets) == 5 * 199
    with pytest.raises(Unsure):
        planned(f"get pod,Pod,POD,pods,Pods,PODS {names}")


def test_flags_are_read() -> None:
    options = planned(
        "get pods -n shop -l a=b --chunk-size=0 -L x,y -L z --no-headers --show-kind=false -o wide"
    ).options

    assert (options.namespace, options.label_selector, options.chunk) == ("shop", "a=b", 0)
    assert options.label_columns == ("x", "y", "z")
    assert (options.no_headers, options.show_kind, options.output) == (True, False, "wide")


@pytest.mark.parametrize(
    "line",
    [
        "get",
        "get pod/a b",
        "get pods pod/a",
        "get pod/a/b",
        "get pod/",
        "get pods a%2Fb",
        "get pods ..",
        "get pod a -A",
        "get pod a -l x=y",
        "get pods --subresource=status",
        "get pods -w",
        "get pods --watch-only",
        "get pods --sort-by=.a",
        "get pods -o jsonpath={.a}",
        "get pods -o kyaml",
        "get pods --template=x",
        "get pods --server-print=false",
        "get pods --request-timeout=5s",
        "get pods --help",
        "get pods --chunk-size=0x10",
        "get pods --chunk-size=-1",
        "get pods -o json --show-labels",
        "get pods -L a,,b",
        'get pods -L "a"',
        "get pods -l ä=b",
        "get unheardof",
        "get podlist",
    ],
)
def test_what_only_kubectl_knows_is_left_to_it(line: str) -> None:
    with pytest.raises(Unsure):
        planned(line)


@pytest.mark.parametrize(
    ("line", "pod", "query"),
    [
        ("logs a", "a", {}),
        ("logs pod/a --tail=5 --timestamps", "a", {"tailLines": "5", "timestamps": "true"}),
        ("logs a --tail=-1 --limit-bytes=0", "a", {}),
        ("logs pods/a -p --limit-bytes=10", "a", {"previous": "true", "limitBytes": "10"}),
        ("logs a -f --since=1h2m3s", "a", {"follow": "true", "sinceSeconds": "3723"}),
        ("logs a --since-time=2024-02-29T01:02:03Z", "a", {"sinceTime": "2024-02-29T01:02:03Z"}),
        ("logs a -f=false", "a", {}),
    ],
)
def test_logs_of_a_pod_are_read(line: str, pod: str, query: dict[str, str]) -> None:
    found = plan_logs(argv_policy.parse(line.split()))

    assert (found.pod, found.namespace, found.query) == (pod, "default", query)
    assert found.follow == ("follow" in query)


@pytest.mark.parametrize("line", ["logs a -c main", "logs a main"])
def test_a_container_is_named_in_two_ways(line: str) -> None:
    assert plan_logs(argv_policy.parse(line.split())).container == "main"


@pytest.mark.parametrize(
    "line",
    [
        "logs",
        "logs deploy/a",
        "logs -l a=b",
        "logs a --all-containers",
        "logs a --prefix=false",
        "logs a b -c b",
        "logs a -c ../b",
        "logs a --tail=-2",
        "logs a --tail=1e3",
        "logs a --since=1.5h",
        "logs a --since=0s",
        "logs a --since=1h --since-time=2024-01-01T00:00:00Z",
        "logs a --since-time=2024-02-30T00:00:00Z",
        "logs a --since-time=yesterday",
        "logs a/b",
        "logs A",
    ],
)
def test_other_logs_are_left_to_kubectl(line: str) -> None:
    with pytest.raises(Unsure):
        plan_logs(argv_policy.parse(line.split()))
