"""Refusals by RBAC: what a program says that it may not, and bindings that lead to no role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kubently.analyzers import cases, containers
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    PODS,
    ROLE_BINDINGS,
    ROLES,
)
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Evidence, Finding, ResourceRef, Severity

FORBIDDEN = Condition(
    "rbac/forbidden",
    Severity.DEGRADED,
    "A program that does not run well says that RBAC refuses it something in the Kubernetes API.",
    "Give its ServiceAccount a Role with the quoted verb and resource, in the namespace that the words name.",
    symptom_of=("rbac/role-missing",),
    confidence=Confidence.LIKELY,
)
ROLE_MISSING = Condition(
    "rbac/role-missing",
    Severity.RISK,
    "A binding names a Role or ClusterRole that does not exist, so its subjects may do nothing by it.",
    "Create the role, or make the binding anew with the right one: roleRef cannot be changed.",
)
CONDITIONS = (FORBIDDEN, ROLE_MISSING)

_GROUP = "rbac.authorization.k8s.io"
_TAIL = 64_000
# As the API server words it in a Status.
_REFUSED = re.compile(
    r"User \"system:serviceaccount:(?P<namespace>[a-z0-9-]{1,63}):(?P<account>[a-z0-9.-]{1,253})\" cannot "
    r"(?P<verb>[a-z]{1,30}) resource \"(?P<resource>[a-z0-9./-]{1,253})\""
    r"(?: in API group \"(?P<group>[a-z0-9.-]{0,253})\")?"
    r"(?: in the namespace \"(?P<where>[a-z0-9-]{1,63})\"| at the cluster scope)?"
)


@dataclass(frozen=True, slots=True)
class _Refusal:
    account: ResourceRef
    verb: str
    resource: str
    where: str
    evidence: Evidence


@analyzer(
    "rbac",
    needs=(*cases.NEEDS, ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS),
    conditions=CONDITIONS,
    needs_logs=True,
)
def rbac(snapshot: Snapshot) -> Iterator[Finding]:
    """Report what RBAC refuses to programs that fail, and bindings without a role."""
    refused = dict(_refusals(snapshot))
    for (workload, _), refusal in refused.items():
        yield _forbidden(snapshot, workload, refusal)
    missed = {refusal.account for refusal in refused.values()}
    for resource in (ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
        for binding in snapshot.members(resource):
            yield from _without_role(snapshot, binding, missed)


def _refusals(snapshot: Snapshot) -> Iterator[tuple[tuple[ResourceRef, str], _Refusal]]:
    for key, log in snapshot.logs.items():
        match = next(reversed(list(_REFUSED.finditer(log[-_TAIL:]))), None)
        pod = snapshot.get(PODS, key.namespace, key.pod)
        if match is None or pod is None or containers.is_ready(pod):
            continue
        line = next((line for line in reversed(log[-_TAIL:].splitlines()) if match[0] in line), match[0])
        resource = f"{match['resource']}.{match['group']}" if match["group"] else match["resource"]
        where = f"in namespace {match['where']}" if match["where"] else "in the whole cluster"
        source = f"log {key.namespace}/{key.pod} container {key.container}"
        account = ResourceRef(kind="ServiceAccount", namespace=match["namespace"], name=match["account"])
        refusal = _Refusal(account, match["verb"], resource, where, quote(source, line))
        yield (snapshot.workload_of(pod), f"{refusal.verb} {resource} {where}"), refusal


def _forbidden(snapshot: Snapshot, workload: ResourceRef, refusal: _Refusal) -> Finding:
    account = refusal.account
    bindings = [binding for binding in _bindings(snapshot) if account in _accounts(binding)]
    held = "; ".join(f"{cases.display(objects.ref(b))} to {_role(b).kind} {_role(b).name}" for b in bindings[:5])
    as_who = f"system:serviceaccount:{account.namespace}:{account.name}"
    return finding(
        FORBIDDEN,
        title=f"{cases.display(workload)}: {cases.display(account)} may not {refusal.verb} {refusal.resource}"
        f" {refusal.where}",
        objects=(workload, account, *map(objects.ref, bindings[:20])),
        evidence=(refusal.evidence, quote(f"bindings of {cases.display(account)}", held or "none")),
        next_checks=(f"auth can-i {refusal.verb} {refusal.resource} --as={as_who} -n {account.namespace}",),
        severity=cases.severity_of_loss(snapshot, workload),
        key=f"{refusal.verb} {refusal.resource} {refusal.where}",
    )


def _bindings(snapshot: Snapshot) -> Iterator[KubeObject]:
    yield from snapshot.members(ROLE_BINDINGS)
    yield from snapshot.members(CLUSTER_ROLE_BINDINGS)


def _accounts(binding: KubeObject) -> set[ResourceRef]:
    return {
        ResourceRef(
            kind="ServiceAccount",
            namespace=objects.text(subject, "namespace") or objects.namespace(binding),
            name=objects.text(subject, "name"),
        )
        for subject in objects.mappings(binding, "subjects")
        if objects.text(subject, "kind") == "ServiceAccount"
    }


def _role(binding: KubeObject) -> ResourceRef:
    kind = clean(objects.text(binding, "roleRef", "kind"), limit=63) or "Role"
    namespace = objects.namespace(binding) if kind == "Role" else ""
    name = clean(objects.text(binding, "roleRef", "name"), limit=253)
    return ResourceRef(group=_GROUP, kind=kind, namespace=namespace, name=name)


def _without_role(snapshot: Snapshot, binding: KubeObject, missed: set[ResourceRef]) -> Iterator[Finding]:
    role, ref = _role(binding), objects.ref(binding)
    resource = ROLES if role.kind == "Role" else CLUSTER_ROLES
    if not snapshot.is_complete(resource, role.namespace or None) or snapshot.find(role) is not None:
        return
    hurt = sorted(_accounts(binding) & missed, key=str)
    subjects = ", ".join(objects.text(item, "name") for item in objects.mappings(binding, "subjects")[:5])
    yield finding(
        ROLE_MISSING,
        title=f"{cases.display(ref)} names {cases.display(role)}, which does not exist",
        objects=(ref, role, *hurt),
        evidence=(
            quote(f"{cases.display(ref)} roleRef", f"{role.kind} {role.name}"),
            quote(f"{cases.display(ref)} subjects", subjects or "none"),
        ),
        next_checks=(
            f"get {'roles' if role.kind == 'Role' else 'clusterroles'}"
            + (f" -n {role.namespace}" if role.namespace else ""),
        ),
        severity=Severity.DEGRADED if hurt else None,
    )


ANALYZERS: tuple[Analyzer, ...] = (rbac,)
