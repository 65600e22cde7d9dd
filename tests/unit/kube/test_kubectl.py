"""Argument lists: what may run, how it is written, and that the tables are kubectl's own."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.errors import CommandDeniedError, CommandInvalidError
from kubently.kube import _verbs, kubectl
from kubently.kube.kubectl import KubectlCommand


def parsed(line: str) -> KubectlCommand:
    return kubectl.parse(shlex.split(line))


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("get pods", "get pods"),
        ("kubectl get pods", "get pods"),
        ("get pods -n shop -o wide", "get --namespace=shop --output=wide pods"),
        ("get pods -ojson -nshop", "get --output=json --namespace=shop pods"),
        ("get -o=json -n=shop pods", "get --output=json --namespace=shop pods"),
        ("get -Aw pods", "get --all-namespaces=true --watch=true pods"),
        ("get -Aowide pods", "get --all-namespaces=true --output=wide pods"),
        ("get -w=false pods", "get --watch=false pods"),
        ("get pods --all_namespaces --show_labels=false", "get --all-namespaces=true --show-labels=false pods"),
        ("-n shop get pods web", "get --namespace=shop pods web"),
        ("--namespace=shop --request-timeout 5s get pods", "get --namespace=shop --request-timeout=5s pods"),
        ("get pods -l app=web,tier!=db", "get --selector=app=web,tier!=db pods"),
        ("get pods -l=app", "get --selector=app pods"),
        ("get pods -L app,tier -L zone", "get --label-columns=app,tier --label-columns=zone pods"),
        ("get deploy/web svc/web", "get deploy/web svc/web"),
        ("get pods -o jsonpath={.items[*].metadata.name}", "get --output=jsonpath={.items[*].metadata.name} pods"),
        ("get pods -o custom-columns=N:.metadata.name", "get --output=custom-columns=N:.metadata.name pods"),
        ("get pods -o go-template --template={{.kind}}", "get --output=go-template --template={{.kind}} pods"),
        ("get deploy web --subresource=scale", "get --subresource=scale deploy web"),
        ("describe pod web -n shop", "describe --namespace=shop pod web"),
        ("describe pod web --help", "describe --help=true pod web"),
        ("logs web -c app --tail -1 -p", "logs --container=app --tail=-1 --previous=true web"),
        ("logs -f deploy/web --since=1h", "logs --follow=true --since=1h deploy/web"),
        ("top pods -A --sort-by=cpu", "top pod --all-namespaces=true --sort-by=cpu"),
        ("top no", "top node"),
        ("-n shop top po web", "top pod --namespace=shop web"),
        ("explain pods.spec -R", "explain --recursive=true pods.spec"),
        ("api-resources --verbs=list --namespaced=false", "api-resources --verbs=list --namespaced=false"),
        ("api-versions", "api-versions"),
        ("events --for pod/web -w", "events --for=pod/web --watch=true"),
        ("version -o json", "version --output=json"),
        ("rollout history deploy/web --revision=3", "rollout history --revision=3 deploy/web"),
        ("rollout -n history status deploy/web", "rollout status --namespace=history deploy/web"),
        ("auth can-i create pods/exec --subresource=log", "auth can-i --subresource=log create pods/exec"),
        ("auth can-i get secrets", "auth can-i get secrets"),
        ("auth whoami -o yaml", "auth whoami --output=yaml"),
        ("cluster-info", "cluster-info"),
        ("wait pod/web --for=condition=Ready --timeout=-1s", "wait --for=condition=Ready --timeout=-1s pod/web"),
        ("explain secrets", "explain secrets"),
        ("get secrets.example.com", "get secrets.example.com"),
    ],
)
def test_writes_commands_anew(line: str, written: str) -> None:
    command = parsed(line)

    assert " ".join(command.argv) == written
    assert kubectl.parse(command.argv) == command


@pytest.mark.parametrize(
    "line",
    [
        "get pods dispatcher-7d9 -n create-orders",
        "get pods credit-service -n external-secrets",
        "get pods -l app=cluster-autoscaler",
        "get events --field-selector reason=FailedCreate",
        "get events --field-selector reason=FailedScheduling,type!=Normal",
        "logs token-server-0 -c edit",
        "describe deployment exec-controller -n delete-me",
        "get pods -o 'jsonpath={range .items[*]}{.metadata.name};{end}'",
        "get pods -o 'go-template={{range .items}}{{.metadata.name}} | ${x} `y` $(z) && {{end}}'",
        "rollout history deployment/secrets-operator",
        "get configmaps secret",
        "get pods secrets",
        "describe serviceaccount token --namespace kube-system",
    ],
)
def test_names_that_look_dangerous_are_only_names(line: str) -> None:
    assert parsed(line).argv


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        *[(f"{verb} x", f"no-{verb}") for verb in _verbs.WRITES],
        ("exec web -- sh", "no-exec"),
        ("cp web:/etc/passwd .", "no-exec"),
        ("attach web", "no-attach"),
        ("port-forward web 80", "no-portforward"),
        ("debug web", "no-ephemeralcontainers"),
        ("proxy", "no-proxy"),
        ("diff -f x.yaml", "no-patch"),
        ("config view --raw", "no-config"),
        ("kustomize .", "no-files"),
        ("plugin list", "no-plugins"),
        ("neat get pods", "unknown-verb"),
        ("completion bash", "unknown-verb"),
        ("alpha events", "unknown-verb"),
        ("GET pods", "unknown-verb"),
        ("rollout restart deploy/web", "no-patch"),
        ("rollout undo deploy/web", "no-patch"),
        ("rollout -n history pause deploy/web", "no-patch"),
        ("rollout dance deploy/web", "unknown-verb"),
        ("auth reconcile x", "no-update"),
        ("cluster-info dump", "no-dump"),
        ("cluster-info -n shop dump", "no-dump"),
        ("top services", "unknown-verb"),
        ("get --raw /api/v1/secrets", "flag-raw"),
        ("get --raw=/api/v1/secrets", "flag-raw"),
        ("get -f https://example.com/x.yaml", "flag-files"),
        ("get -fx.yaml", "flag-files"),
        ("get pods --filename=x", "flag-files"),
        ("get -k .", "flag-files"),
        ("get -R pods", "flag-files"),
        ("describe -f x", "flag-files"),
        ("wait --local pod/x", "flag-files"),
        ("get pods -o go-template-file=/proc/self/environ", "flag-files"),
        ("get pods -o=templatefile=/proc/self/environ", "flag-files"),
        ("get pods -ojsonpath-file=/proc/self/environ", "flag-files"),
        ("get pods -o custom-columns-file=/proc/self/environ", "flag-files"),
        ("get pods -o go-template-file --template /proc/self/environ", "flag-files"),
        ("get pods -o json -o go-template-file=/x -o yaml", "flag-files"),
        ("rollout history deploy/x -o jsonpath-file=/x", "flag-files"),
        ("get pods -s http://169.254.169.254", "flag-road"),
        ("get pods -Ashttp://169.254.169.254", "flag-road"),
        ("-s http://169.254.169.254 get pods", "flag-road"),
        ("get pods --server=x", "flag-road"),
        ("get pods --kubeconfig /x", "flag-road"),
        ("get pods --context x", "flag-road"),
        ("get pods --cluster x", "flag-road"),
        ("get pods --certificate-authority /x", "flag-road"),
        ("get pods --certificate_authority /x", "flag-road"),
        ("get pods --insecure-skip-tls-verify", "flag-road"),
        ("logs web --insecure-skip-tls-verify-backend", "flag-road"),
        ("get pods --tls-server-name x", "flag-road"),
        ("get pods --proxy-url x", "flag-road"),
        ("get pods --as admin", "flag-identity"),
        ("get pods --as-group=system:masters", "flag-identity"),
        ("get pods --as_group=system:masters", "flag-identity"),
        ("get pods --as-uid=0", "flag-identity"),
        ("get pods --as-user-extra=a=b", "flag-identity"),
        ("get pods --token=x", "flag-identity"),
        ("get pods --token-file=x", "flag-identity"),
        ("get pods --user=x", "flag-identity"),
        ("get pods --username=x", "flag-identity"),
        ("get pods --password=x", "flag-identity"),
        ("get pods --client-key=x", "flag-identity"),
        ("get pods --client-certificate=x", "flag-identity"),
        ("get pods -v=9", "flag-debug"),
        ("get pods -v9", "flag-debug"),
        ("get pods --v=9", "flag-debug"),
        ("describe secret x -v=8", "flag-debug"),
        ("get pods --vmodule=x=9", "flag-debug"),
        ("get pods --log-flush-frequency=1s", "flag-debug"),
        ("get pods --profile=cpu", "flag-debug"),
        ("get pods --profile-output=/x", "flag-debug"),
        ("get pods --cache-dir=/x", "flag-files"),
        ("get pods --kuberc=/x", "flag-files"),
        ("get pods web --subresource=exec", "no-other-subresource"),
        ("get pods web --subresource proxy", "no-other-subresource"),
        ("get pods web --subresource=status --subresource=log", "no-other-subresource"),
        *[
            (line, "no-secrets")
            for line in (
                "get secret",
                "get secrets",
                "get Secrets",
                "get SECRET x",
                "get secrets.",
                "get Secret.v1.",
                "get secrets.v1. x",
                "get secrets/x",
                "get secret/x pods/y",
                "get pods/y secret/x",
                "get pods,secret",
                "get pods,SECRETS. x",
                "get -o yaml secrets",
                "get -A -ojson secrets",
                "describe secret x",
                "wait -o yaml secret/x --for=create",
                "rollout history secret/x",
            )
        ],
    ],
)
def test_refuses_with_a_rule_and_a_sentence(line: str, rule: str) -> None:
    with pytest.raises(CommandDeniedError) as refused:
        parsed(line)

    assert refused.value.details == {"rule": rule}
    assert refused.value.message and "\n" not in refused.value.message
    assert not refused.value.message.endswith(".")


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["kubectl"],
        ["-n", "shop"],
        ["-n"],
        ["-A", "get", "pods"],
        ["-A", "pods", "delete", "--all"],
        ["--unknown", "get", "pods"],
        ["-o", "json", "get", "pods"],
        ["rollout"],
        ["rollout", "-w", "status", "deploy/x"],
        ["auth"],
        ["top"],
        ["get", "--", "pods"],
        ["get", "pods", "-"],
        ["get", "pods", ""],
        ["get", ""],
        ["get", "pods", "---x"],
        ["get", "pods", "--=x"],
        ["get", "pods", "--unknown"],
        ["get", "pods", "--all"],
        ["get", "pods", "-z"],
        ["get", "pods", "-Az"],
        ["get", "pods", "-A="],
        ["get", "pods", "-é"],
        ["get", "pods", "--watch=yes"],
        ["get", "pods", "--watch=1"],
        ["get", "pods", "-w=t"],
        ["get", "pods", "--watch", "true", "--watch="],
        ["get", "pods", "-n"],
        ["get", "pods", "-n", "--all"],
        ["get", "pods", "-n", "Shop"],
        ["get", "pods", "-n="],
        ["get", "pods", "-n", "a/b"],
        ["get", "pods", "-o", "xml"],
        ["get", "pods", "-o", "JSON"],
        ["get", "pods", "-o="],
        ["get", "pods", "--request-timeout=soon"],
        ["version", "-o", "wide"],
        ["version", "extra"],
        ["cluster-info", "extra"],
        ["logs", "a", "b", "c"],
        ["get", "pods\x00"],
        ["get", "pods\n"],
        ["get", "\x1b[31m"],
        ["get", "p\x85"],
        ["get", "p\ud800"],
        ["get"] + ["x"] * 256,
        ["get", "x" * 70_000],
        ["get", "-" + "A" * 300, "pods"],
        ["get", "pods", "--Namespace=x"],
    ],
)
def test_what_cannot_be_read_is_invalid(argv: list[str]) -> None:
    with pytest.raises(CommandInvalidError) as refused:
        kubectl.parse(argv)

    assert refused.value.message


def test_a_text_is_not_a_list_of_words() -> None:
    with pytest.raises(CommandInvalidError):
        kubectl.parse("get pods")
    with pytest.raises(CommandInvalidError):
        kubectl.parse(["get", 3])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("get pods --selectr=a", "did you mean --selector"),
        ("gt pods", "did you mean get"),
        ("-A get pods", "write the flags of a verb after it"),
        ("rollout", "use one of history, status"),
        ("get pods -o xml", "use one of custom-columns, "),
    ],
)
def test_hints(line: str, hint: str) -> None:
    with pytest.raises((CommandInvalidError, CommandDeniedError)) as refused:
        parsed(line)

    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("line", "is_streaming"),
    [
        ("logs -f web", True),
        ("logs web", False),
        ("logs -f --follow=false web", False),
        ("get pods -w", True),
        ("get pods --watch-only", True),
        ("get pods -w --watch=false", False),
        ("events -w", True),
        ("events", False),
        ("wait pod/x --for=delete", True),
        ("rollout status deploy/x", True),
        ("rollout status deploy/x -w=false", False),
        ("rollout history deploy/x", False),
        ("describe pods", False),
    ],
)
def test_knows_what_goes_on(line: str, is_streaming: bool) -> None:
    assert parsed(line).is_streaming is is_streaming


def test_tells_what_the_words_say() -> None:
    command = parsed("get -A pods,Deployments.apps -n a -n b -o yaml --selector=")

    assert command.resources == ("pods", "deployments.apps")
    assert command.namespace == "b"
    assert command.all_namespaces
    assert command.output == "yaml"
    assert command.flag("selector", "none") == ""
    assert command.flag("limit", "none") == "none"


def test_the_courtesy_about_secrets_follows_the_policy() -> None:
    assert kubectl.parse(["get", "secrets"], secrets="metadata").resources == ("secrets",)


FLAGS = [flag for spec in _verbs.VERBS for flag in spec.flags] + list(_verbs.GLOBAL_FLAGS)
FLAG_WORDS = st.sampled_from(FLAGS).flatmap(
    lambda flag: st.sampled_from(
        [
            f"--{flag.name}",
            f"--{flag.name}=",
            f"--{flag.name}=true",
            f"--{flag.name}=x",
            f"-{flag.short}",
            f"-{flag.short}=x",
            f"--{flag.name.replace('-', '_')}=true",
            f"-{flag.short}x",
            f"-A{flag.short}",
        ]
    )
)
OTHER_WORDS = st.sampled_from(
    [
        *(word for spec in _verbs.VERBS for word in spec.words),
        "pods",
        "json",
        "true",
        "a/b",
        "kubectl",
        "--",
        "-",
        "",
        "--raw",
        "-f",
    ]
)


@given(st.lists(OTHER_WORDS | FLAG_WORDS | st.text(max_size=6), max_size=8))
def test_any_list_is_refused_or_reads_the_same_again(argv: list[str]) -> None:
    try:
        command = kubectl.parse(argv)
    except (CommandInvalidError, CommandDeniedError):
        return

    assert kubectl.parse(command.argv) == command
    assert command.argv == kubectl.parse(command.argv).argv


@given(
    spec=st.sampled_from(_verbs.VERBS),
    words=st.lists(FLAG_WORDS | st.sampled_from(["pods", "web", "a/b", "5s"]), max_size=6),
)
def test_lists_that_are_nearly_right_read_the_same_again(spec: _verbs.VerbSpec, words: list[str]) -> None:
    try:
        command = kubectl.parse([*spec.words, *words])
    except (CommandInvalidError, CommandDeniedError):
        return

    assert kubectl.parse(command.argv) == command
    assert command.argv[: len(spec.words)] == spec.words
    assert all(word.startswith("--") or not word.startswith("-") for word in command.argv)
    assert (
        not {name for name, _ in command.flags} - {flag.name for flag in (*spec.flags, *_verbs.GLOBAL_FLAGS)} - {"help"}
    )


# ---- the real program

_OPTION = re.compile(r"^ +(?:-(\w), )?--([\w-]+)=(.*):$", re.MULTILINE)


@pytest.fixture(scope="module")
def real_kubectl(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The real program with an empty home and no cluster."""
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if found is None:
        pytest.skip("no kubectl beside the interpreter or on PATH: its flags cannot be compared")
    home = tmp_path_factory.mktemp("home")
    return ["env", "-i", f"HOME={home}", found]


def options(program: list[str], *words: str) -> dict[str, tuple[str, bool]]:
    """Return the flags that kubectl lists: name to letter and whether it takes a value."""
    listed = subprocess.run([*program, *words], capture_output=True, text=True, check=True, timeout=60).stdout
    return {name: (short, default not in ("true", "false")) for short, name, default in _OPTION.findall(listed)}


def table(flags: tuple[_verbs.Flag, ...]) -> dict[str, tuple[str, bool]]:
    return {flag.name: (flag.short, flag.takes_value) for flag in flags}


@pytest.mark.parametrize("spec", _verbs.VERBS, ids=lambda spec: "-".join(spec.words))
def test_the_flags_of_a_verb_are_kubectls(real_kubectl: list[str], spec: _verbs.VerbSpec) -> None:
    listed = options(real_kubectl, *spec.words, "--help")

    ours = table(spec.flags)

    assert {name: listed.get(name) for name in ours} == ours
    for name in listed.keys() - ours.keys():
        with pytest.raises(CommandDeniedError):
            kubectl.parse([*spec.words, f"--{name}=true"])


def test_the_global_flags_are_kubectls(real_kubectl: list[str]) -> None:
    listed = options(real_kubectl, "options")

    ours = table(_verbs.GLOBAL_FLAGS)

    assert {name: listed.get(name) for name in ours} == ours
    for name, (short, _) in listed.items():
        if name not in ours:
            for word in [f"--{name}=true", *([f"-{short}"] if short else [])]:
                with pytest.raises((CommandDeniedError, CommandInvalidError)):
                    kubectl.parse(["get", "pods", word])


@pytest.mark.parametrize("spec", _verbs.VERBS, ids=lambda spec: "-".join(spec.words))
def test_kubectl_accepts_what_we_write(real_kubectl: list[str], spec: _verbs.VerbSpec) -> None:
    """With --help kubectl reads every flag and then only prints its usage."""
    durations = {"since": "1s", "pod-running-timeout": "1s", "timeout": "1s", "request-timeout": "1s"}
    special = {**durations, "output": next(iter(sorted(spec.outputs)), ""), "subresource": "status"}
    words = [
        f"--{flag.name}={special.get(flag.name, '1')}" if flag.takes_value else f"--{flag.name}=true"
        for flag in (*spec.flags, *_verbs.GLOBAL_FLAGS)
    ]

    argv = kubectl.parse([*spec.words, *words, "--help"]).argv

    done = subprocess.run([*real_kubectl, *argv], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


def test_kubectls_verbs_are_allowed_or_refused_with_their_own_sentence(real_kubectl: list[str]) -> None:
    listed = subprocess.run([*real_kubectl, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    verbs = re.findall(r"^  ([a-z-]+) {2,}\S", listed, re.MULTILINE)

    unexplained = [verb for verb in verbs if verb not in _verbs.DENIED_VERBS and not kubectl_runs(verb)]

    assert len(verbs) > 30
    assert set(unexplained) <= {"alpha", "completion", "kuberc", "options", "help"}


def kubectl_runs(verb: str) -> bool:
    return any(spec.words[0] == verb for spec in _verbs.VERBS)
