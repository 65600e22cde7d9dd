"""A real API server takes every object of every value file, by the custom resources' own rules too, and says of no pod
that it were not of the restricted kind."""

from __future__ import annotations

import json

from tests.chart import cases
from tests.testbed import helm, releases
from tests.testbed.cluster import Cluster

WARN = {"pod-security.kubernetes.io/warn": "restricted", **releases.RESTRICTED}
# The namespaces that are rendered, and those here: another test's release may stand in one of the same name.
SPACES = {"kubently": "taken", "shop": "taken-shop"}


def ask(cluster: Cluster, *found: helm.Object) -> tuple[int, str]:
    """How many objects it would take, and what it says about the others."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": found})
    words = ("create", "--dry-run=server", "-f", "-", "-o", "name")
    done = cluster.kubectl(*words, stdin=text, check=False, timeout=90)
    return len(done.stdout.splitlines()), done.stderr


def test_every_object_is_taken(cluster: Cluster) -> None:
    found = [within_ours(found) for _, found in cases.distinct()]
    for space in SPACES.values():
        labels = {"metadata": {"name": space, "labels": WARN}}
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", **labels})
        cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", space)
    # Pods are refused where their account is not there, which a dry run does not make.
    accounts = [o for o in found if o["kind"] == "ServiceAccount"]
    cluster.apply(*accounts, account("shared"), account("reader"))
    asked = [o for o in found if o["kind"] != "ServiceAccount"]

    taken, said = ask(cluster, *asked)

    cluster.kubectl("delete", "namespace", *SPACES.values(), "--wait=false")
    assert said == ""
    assert taken == len(asked) > 150


def within_ours(found: helm.Object) -> helm.Object:
    if "namespace" in (metadata := found["metadata"]):
        metadata["namespace"] = SPACES[metadata["namespace"]]
    return found


def account(name: str) -> helm.Object:
    return within_ours(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "kubently"}}
    )


def test_it_refuses_what_breaks_a_rule_of_a_custom_resource(cluster: Cluster) -> None:
    found = next(o for _, o in cases.distinct() if o["kind"] == "VirtualService")
    found["spec"]["http"][0]["timeout"] = "0s"
    found["metadata"]["namespace"] = "default"

    taken, said = ask(cluster, found)

    assert taken == 0
    assert "timeout" in said


def test_it_warns_of_pods_of_another_kind(cluster: Cluster) -> None:
    found = next(o for _, o in cases.distinct() if o["kind"] == "Deployment")
    found["spec"]["template"]["spec"]["hostNetwork"] = True
    with releases.namespace(cluster, "warned", WARN) as space:
        found["metadata"]["namespace"] = space

        taken, said = ask(cluster, found)

    assert taken == 1
    assert "would violate PodSecurity" in said
