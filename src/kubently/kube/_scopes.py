"""Which of the usual resources belong to no namespace; part of `policy`."""

from __future__ import annotations

from kubently.kube.paths import ApiRequest

_CLUSTER_SCOPED = frozenset(
    {
        "apiservices.apiregistration.k8s.io",
        "certificatesigningrequests.certificates.k8s.io",
        "clusterrolebindings.rbac.authorization.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "componentstatuses",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
        "flowschemas.flowcontrol.apiserver.k8s.io",
        "ingressclasses.networking.k8s.io",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "namespaces",
        "nodes",
        "nodes.metrics.k8s.io",
        "persistentvolumes",
        "priorityclasses.scheduling.k8s.io",
        "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
        "runtimeclasses.node.k8s.io",
        "storageclasses.storage.k8s.io",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "volumeattachments.storage.k8s.io",
    }
)
"""The usual resources without namespace. A list of any other may hold objects of every namespace."""


def is_cluster_scoped(request: ApiRequest) -> bool:
    qualified = f"{request.resource}.{request.group}" if request.group else request.resource
    return qualified in _CLUSTER_SCOPED
