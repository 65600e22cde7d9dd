"""What quotas, limits, admission and accounts refuse."""

from __future__ import annotations

from typing import Any

from tests.eval.app import App, scenario


def _quota(app: App, hard: dict[str, str]) -> None:
    app.add("v1", "ResourceQuota", "team", spec={"hard": hard})


@scenario("quota-pods", "workload/quota-exceeded", "Deployment.apps {ns}/web", "pods")
def quota_pods(app: App) -> None:
    """The namespace may have two pods, and the Deployment wants five."""
    _quota(app, {"pods": app.pick("2", "9")})
    app.deployment("web", replicas=5)


@scenario("quota-memory", "workload/quota-exceeded", "Deployment.apps {ns}/web", "requests.memory")
def quota_memory(app: App) -> None:
    """The quota of memory is used up."""
    _quota(app, {"requests.memory": app.pick("100Mi", "1Gi")})
    app.deployment("web", containers=[app.container("web", resources={"requests": {"memory": "80Mi"}})])


@scenario("quota-cpu", "workload/quota-exceeded", "StatefulSet.apps {ns}/queue", "requests.cpu")
def quota_cpu(app: App) -> None:
    """A StatefulSet stops at its second pod because of a quota."""
    _quota(app, {"requests.cpu": app.pick("150m", "2")})
    app.service("queue", clusterIP="None")
    container = app.container("queue", resources={"requests": {"cpu": "100m"}})
    template = app.template("queue", containers=[container])
    selector = {"matchLabels": {"app": "queue"}}
    app.add(
        "apps/v1",
        "StatefulSet",
        "queue",
        spec={"replicas": 3, "serviceName": "queue", "selector": selector, "template": template},
    )


@scenario("quota-needs-limits", "workload/quota-needs-resources", "Deployment.apps {ns}/web", "limits.cpu")
def quota_needs_limits(app: App) -> None:
    """A quota on limits refuses pods that set none."""
    _quota(app, {"limits.cpu": "4"})
    limits = {} if app.broken else {"limits": {"cpu": "100m"}}
    app.deployment("web", containers=[app.container("web", resources=limits)])


@scenario("limit-range", "workload/limit-range", "Deployment.apps {ns}/web", "maximum memory")
def limit_range(app: App) -> None:
    """A limit range allows less memory than the containers ask for."""
    app.add(
        "v1",
        "LimitRange",
        "sizes",
        spec={"limits": [{"type": "Container", "max": {"memory": app.pick("32Mi", "256Mi")}}]},
    )
    memory = {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}
    app.deployment("web", containers=[app.container("web", resources=memory)])


@scenario("account-absent", "workload/service-account-missing", "Deployment.apps {ns}/web", "robot")
def account_absent(app: App) -> None:
    """The pods' ServiceAccount does not exist."""
    if not app.broken:
        app.add("v1", "ServiceAccount", "robot")
    app.deployment("web", pod={"serviceAccountName": "robot"})


@scenario("pod-security", "workload/pod-security", "Deployment.apps {ns}/agent", "hostNetwork")
def pod_security(app: App) -> None:
    """The namespace enforces a level that the pods violate."""
    app.namespace_labels["pod-security.kubernetes.io/enforce"] = "baseline"
    app.deployment("agent", pod={"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"} if app.broken else {})


def _webhook(app: App, policy: str) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
    hook: dict[str, Any] = {
        "name": "pods.policy.example.com",
        "rules": [rule],
        "failurePolicy": policy,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 2,
        "clientConfig": {"service": {"namespace": app.namespace, "name": "guard"}},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": app.namespace}},
    }
    app.add_to_cluster("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "guard", webhooks=[hook])


@scenario(
    "webhook-gone",
    "webhook/service-missing",
    "ValidatingWebhookConfiguration.admissionregistration.k8s.io {ns}-guard",
    "guard",
)
def webhook_gone(app: App) -> None:
    """A webhook that must be asked before pods are made has no Service any more."""
    if app.broken:
        _webhook(app, "Fail")
    app.deployment("web")


@scenario("webhook-unready", "workload/scaled-to-zero", "Deployment.apps {ns}/guard", "ValidatingWebhookConfiguration")
def webhook_unready(app: App) -> None:
    """A webhook that must be asked before pods are made was scaled to zero."""
    if app.broken:
        _webhook(app, "Fail")
    app.service("guard", ports=[{"port": 443, "targetPort": "http"}])
    app.deployment("guard", replicas=app.pick(0, 1))
    app.deployment("web")


@scenario("budget-blocks", "pdb/allows-nothing", "PodDisruptionBudget.policy {ns}/web", "minAvailable")
def budget_blocks(app: App) -> None:
    """A budget demands as many pods as there are, so that no node can be drained."""
    app.deployment("web", replicas=3)
    selector = {"matchLabels": {"app": "web"}}
    app.add("policy/v1", "PodDisruptionBudget", "web", spec={"minAvailable": app.pick(3, 2), "selector": selector})


@scenario("budgets-overlap", "pdb/overlap", "PodDisruptionBudget.policy {ns}/all", "web")
def budgets_overlap(app: App) -> None:
    """Two budgets select the same pods, which then cannot be evicted at all."""
    app.deployment("web", replicas=3)
    app.add(
        "policy/v1",
        "PodDisruptionBudget",
        "web",
        spec={"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    )
    everything = {"matchLabels": {} if app.broken else {"app": "other"}}
    app.deployment("other")
    app.add("policy/v1", "PodDisruptionBudget", "all", spec={"maxUnavailable": 1, "selector": everything})


@scenario("autoscaler-target", "hpa/target-missing", "HorizontalPodAutoscaler.autoscaling {ns}/web", "web-v1")
def autoscaler_target(app: App) -> None:
    """The autoscaler names the Deployment by its old name."""
    app.deployment("web")
    if app.broken:
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web-v1"}
        app.add(
            "autoscaling/v2", "HorizontalPodAutoscaler", "web", spec={"maxReplicas": 5, "scaleTargetRef": reference}
        )
