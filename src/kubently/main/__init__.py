"""The program ``kubently``: the client's commands, and the three that serve (up, api, executor)."""

from __future__ import annotations

import sys

from kubently.cli.app import root
from kubently.main.errors import named_errors
from kubently.main.traced import traced
from kubently.settings import TracingSettings, process_environ

root.lazy = {
    "up": ("kubently.main.up:up", "Run everything on this machine and diagnose it."),
    **root.lazy,
    "snapshot": ("kubently.main.snapshot:snapshot", "Keep a cluster's picture as an archive."),
    "analyzers": ("kubently.main.analyzers:analyzers_group", "Write and try analyzers of your own."),
    "api": ("kubently.main.servers:api", "Run the control plane."),
    "executor": ("kubently.main.servers:executor", "Run the executor of one cluster."),
}


def main() -> None:
    """Entry point."""
    with named_errors(), traced(sys.argv[1:], TracingSettings.from_env(process_environ())):
        root(prog_name="kubently")
