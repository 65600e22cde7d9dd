from __future__ import annotations

import pytest

from kubently.analyzers.scheduling import parse_refusals


@pytest.mark.parametrize(
    ("message", "total", "counts"),
    [
        (
            "0/4 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: },"
            " 3 Insufficient nvidia.com/gpu. preemption: 0/4 nodes are available: 4 Preemption is not helpful.",
            4,
            [(3, "not enough nvidia.com/gpu"), (1, "untolerated taint {node-role.kubernetes.io/control-plane: }")],
        ),
        (
            "0/6 nodes are available: 2 Too many pods, 4 node(s) didn't match pod topology spread constraints.",
            6,
            [(4, "topology spread not satisfied"), (2, "at the limit of pods for a node")],
        ),
        (
            "0/2 nodes are available: 2 node(s) had volume node affinity conflict. preemption: 0/2 nodes.",
            2,
            [(2, "volume is bound to other nodes")],
        ),
        (
            "0/3 nodes are available: 3 node(s) had taint {a: b}, that the pod didn't tolerate.",
            3,
            [(3, "had taint {a: b}, that the pod didn't tolerate")],
        ),
        (
            "0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 Insufficient cpu. no new claims to"
            " deallocate, preemption: 0/4 nodes are available: 1 Preemption is not helpful for scheduling.",
            4,
            [(3, "not enough cpu"), (1, "untolerated taint")],
        ),
        ("no nodes available to schedule pods", 0, []),
        ("", 0, []),
    ],
)
def test_the_schedulers_count_is_read(message: str, total: int, counts: list[tuple[int, str]]) -> None:
    found_total, refusals = parse_refusals(message)

    assert found_total == total
    assert [(refusal.nodes, refusal.words) for refusal in refusals] == counts
