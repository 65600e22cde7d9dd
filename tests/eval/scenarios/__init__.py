"""The faults, by what they are about."""

from __future__ import annotations

from tests.eval.app import Scenario
from tests.eval.scenarios import access, batch, containers, dependencies, network, nodes, policies, scheduling, storage

SCENARIOS: tuple[Scenario, ...] = tuple(
    member
    for module in (scheduling, storage, policies, network, containers, nodes, batch, access, dependencies)
    for member in vars(module).values()
    if isinstance(member, Scenario)
)
"""All of them, in the order of their files."""
