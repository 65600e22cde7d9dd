"""The program ``kubently``: the client's commands, and the three that serve (up, api, executor)."""

from __future__ import annotations

from kubently.cli.app import root
from kubently.main.errors import named_errors

root.lazy = {
    "up": ("kubently.main.up:up", "Run everything on this machine and diagnose it."),
    **root.lazy,
    "api": ("kubently.main.servers:api", "Run the control plane."),
    "executor": ("kubently.main.servers:executor", "Run the executor of one cluster."),
}


def main() -> None:
    """Entry point."""
    with named_errors():
        root(prog_name="kubently")
