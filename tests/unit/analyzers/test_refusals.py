from __future__ import annotations

import pytest

from kubently.analyzers.refusals import parse_refusal

FORBIDDEN = 'Error creating: pods "web-6d4cf56db6-" is forbidden: '


@pytest.mark.parametrize(
    ("message", "code", "part"),
    [
        (
            FORBIDDEN + "exceeded quota: q, requested: pods=1,cpu=1, used: pods=9,cpu=2, limited: pods=10,cpu=2",
            "workload/quota-exceeded",
            "quota q is used up: requested pods=1,cpu=1, used pods=9,cpu=2, allowed pods=10",
        ),
        (
            FORBIDDEN + "failed quota: q: must specify limits.cpu for: app",
            "workload/quota-needs-resources",
            "limits.cpu for: app",
        ),
        (
            FORBIDDEN + 'violates PodSecurity "baseline:v1.34": privileged (container "app")',
            "workload/pod-security",
            "baseline:v1.34",
        ),
        (
            FORBIDDEN + 'error looking up service account shop/robot: serviceaccount "robot" not found',
            "workload/service-account-missing",
            "robot",
        ),
        (
            'Internal error occurred: failed calling webhook "w.example.com": context deadline exceeded',
            "workload/webhook-fails",
            "context deadline exceeded",
        ),
        ('admission webhook "w.example.com" denied the request: no', "workload/webhook-denies", "no"),
        ('admission webhook "w.example.com" denied the request', "workload/webhook-denies", "w.example.com"),
        (
            "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: replicas",
            "workload/webhook-denies",
            "replicas",
        ),
        (
            FORBIDDEN
            + "[maximum cpu usage per Container is 500m, but limit is 1, minimum memory usage per Pod is 1Gi]",
            "workload/limit-range",
            "maximum cpu usage per Container is 500m",
        ),
        (
            FORBIDDEN + "cpu max limit to request ratio per Container is 2, but provided ratio is 4",
            "workload/limit-range",
            "ratio",
        ),
        ("", "workload/replica-failure", "refused"),
    ],
)
def test_the_apiservers_refusal_is_read(message: str, code: str, part: str) -> None:
    refusal = parse_refusal(message)

    assert refusal.condition.code == code
    assert part in refusal.what
