"""Known ways around a read-only policy, tried as a person would: none shows a Secret, none reaches an API server.

`test_proxy` tries the same without the argument list's policy in front; `test_audit_proof` shows that nothing arrived.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.e2e.compare import lines
from tests.e2e.content import DIRECT, EXECUTOR, FORMS
from tests.e2e.harness import ApiProcess, Cli, ExecutorProcess, Fleet, Result
from tests.e2e.test_commands import assert_same
from tests.testbed.cluster import Cluster

DENIED, INVALID = 77, 64

SECRETS = """
get secret -A -o yaml
get secrets -n shop -o jsonpath={.items[*].data}
describe secret db -n shop
get -o yaml secrets
get pods,secret -n shop
get pods/queue-0 secret/db -n shop
get secret/db -n shop -o go-template={{.data.password}}
get secrets. -n shop
get Secret. -n shop -o yaml
get SECRETS.v1. -n shop
get secret -A --show-labels -o custom-columns=X:.data
get secret db -n shop -w
get secret db -n shop --subresource=status
wait -o yaml secret/db --for=create -n shop
wait --for=jsonpath={.data.password}=x secret/db -n shop
rollout history secret/db -n shop
"""

FILES = """
get pods -o go-template-file=/proc/self/environ
get pods -o=go-template-file=/proc/self/environ
get pods -ogo-template-file=/proc/self/environ
get pods --output templatefile=/etc/passwd
get pods -o jsonpath-file=/etc/passwd
get pods -o custom-columns-file=/etc/passwd
get pods -o templatefile --template=/etc/passwd
get -f /etc/passwd
get -f https://127.0.0.1:1/x
describe -k /etc
get pods --cache-dir /tmp/x
get pods --kuberc=/tmp/x
cp shop/queue-0:/etc/passwd /tmp/x
cluster-info dump
kustomize /etc
"""

ROAD = """
-s http://127.0.0.1:1 get pods
get pods -s http://127.0.0.1:1
get pods -s=http://127.0.0.1:1
get pods -shttp://127.0.0.1:1
get pods --server=http://127.0.0.1:1
get --raw /api/v1/secrets
get --raw=/api/v1/namespaces/shop/secrets
--raw /api/v1/secrets get
get pods --certificate-authority /x
get pods --certificate_authority=/x
get pods --insecure-skip-tls-verify
get pods --insecure_skip_tls_verify=true
get pods --proxy-url=http://127.0.0.1:1
get pods --tls-server-name=x
get pods --context x
get pods --cluster x
get pods --kubeconfig=/x
logs queue-0 -n shop --insecure-skip-tls-verify-backend
config view --raw
"""

IDENTITY = """
get pods --as system:admin
get pods --as=system:admin --as-group=system:masters
get pods --as_group=system:masters
get pods --as-uid=1
get pods --token=x
get pods --token-file=/x
get pods --client-key=/x
get pods --user admin
get pods --username admin --password x
create token robot -n shop
"""

DEBUG = """
get pods -v=9
get pods -v9
get pods --v 8
describe pod queue-0 -n shop -v=8
get pods --vmodule=*=9
get pods --log-file=/tmp/x
get pods --profile=cpu --profile-output=/tmp/x
"""

WRITES = """
delete pods --all -n shop
-A pods delete --all
--show-labels get delete pods --all
-o get delete pods --all
rollout -n history restart deployment/web
rollout --namespace history undo deployment/web
rollout restart deployment/web -n shop
scale deployment/web --replicas=0 -n shop
apply -f -
diff -f -
annotate --list secret db -n shop
annotate pod queue-0 a=b -n shop
set env --list --resolve deploy/web -n shop
label pod queue-0 a=b -n shop
drain alpha-0
cordon alpha-0
taint node alpha-0 a=b:NoSchedule
debug queue-0 -n shop
run x --image=x
edit cm settings -n shop
auth reconcile -f x
certificate approve x
"""

STREAMS = """
exec queue-0 -n shop -- cat /etc/passwd
attach queue-0 -n shop
port-forward queue-0 1:1 -n shop
proxy --port=0
get pods queue-0 -n shop --subresource=exec
get pods queue-0 -n shop --subresource=proxy
get svc web -n shop --subresource=proxy
get sa robot -n shop --subresource=token
plugin list
unheard-of
"""

HARMLESS = """
get pod dispatcher-5d -n shop
get pod credit-5d -n shop
get pods -n create-orders
get pods -n external-secrets
logs deployment/cluster-autoscaler -n kube-system
get events -n shop --field-selector reason=FailedCreate
get pods -ojson -nempty
logs -f /etc/passwd
get pods --all_namespaces -o name
rollout -n restart history deployment/x
get pods -n shop -o go-template --template=/etc/passwd
get pods -n shop -o 'jsonpath={.items[*].metadata.name};|`$('
"""


def assert_silent(result: Result) -> None:
    """No form of the planted value stands in what a person sees."""
    assert not [form for form in FORMS if form in result.stdout + result.stderr]


def assert_refused(result: Result) -> None:
    """One sentence with a code, nothing on stdout, and an exit code that is not kubectl's."""
    assert_silent(result)
    assert result.code in (DENIED, INVALID), result
    assert result.out == ""
    first = result.err.splitlines()[0]
    assert first.startswith("error: ")
    assert first.endswith(("[command-denied]", "[command-invalid]"))


@pytest.mark.parametrize("line", lines(SECRETS + FILES + ROAD + IDENTITY + DEBUG + WRITES + STREAMS))
def test_a_way_around_is_refused(line: str, cli: Cli) -> None:
    assert_refused(cli.run("alpha", *shlex.split(line)))


def test_the_planted_value_is_there_to_be_found(alpha: Cluster) -> None:
    """Without this the tests above would prove nothing: the cluster itself would show it to the executor's rights."""
    shown = alpha.kubectl("get", "secret", "db", "-n", "shop", "-o", "yaml", user=DIRECT).stdout

    assert FORMS[1] in shown.encode()


@pytest.mark.parametrize("line", lines(HARMLESS))
def test_what_only_looks_dangerous_is_answered_by_the_cluster(line: str, cli: Cli, alpha: Cluster) -> None:
    assert_same(cli, alpha, line)


def test_refusals_are_in_the_audit_log(cli: Cli, fleet: Fleet) -> None:
    cli.run("alpha", "get", "secrets", "-n", "audited")

    record = fleet.api.audit()[-1]

    assert (record["event"], record["what"], record["outcome"]) == (
        "denied",
        "get secrets -n audited",
        "command-denied",
    )


def test_the_childs_environment_and_logs_hold_nothing(cli: Cli, fleet: Fleet) -> None:
    """Whatever is asked, neither the executor's token nor the API's key stands in a log of ours."""
    cli.run("alpha", "get", "pods", "-n", "shop")

    token = fleet.executors["alpha"].token
    for log in (fleet.executors["alpha"].folder / "executor.log", fleet.api.folder / "api.log"):
        text = log.read_text()
        assert token not in text
        assert fleet.cli.environ["KUBENTLY_API_KEY"] not in text


@pytest.mark.parametrize(
    "policy", ["{customVerbs: [drain]}", "mode: fullAccess", "mode: read-only\nverbs: [delete]", ": : :", ""]
)
def test_a_policy_that_says_more_or_nothing_keeps_the_executor_from_starting(
    policy: str, fleet: Fleet, alpha: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(policy)
    extra = {"KUBENTLY_POLICY_FILE": str(file)}
    executor = _unconnected(fleet.api, alpha, tmp_path, extra)

    executor.start()

    assert executor.process is not None
    assert executor.process.wait(20) == INVALID
    assert "[config-invalid]" in executor.process.tail()


def test_a_policy_that_is_not_there_keeps_the_executor_from_starting(
    fleet: Fleet, alpha: Cluster, tmp_path: Path
) -> None:
    executor = _unconnected(fleet.api, alpha, tmp_path, {"KUBENTLY_POLICY_FILE": str(tmp_path / "none.yaml")})

    executor.start()

    assert executor.process is not None
    assert executor.process.wait(20) == INVALID


def _unconnected(api: ApiProcess, cluster: Cluster, folder: Path, extra: dict[str, str]) -> ExecutorProcess:
    return ExecutorProcess(api, "nobody", "x" * 32, cluster.kubeconfig(EXECUTOR), folder / "executor", extra=extra)
