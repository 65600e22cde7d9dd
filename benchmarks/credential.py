"""What kubectl pays for each command: the credential plugin with a cached token against a bare interpreter."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLUGIN = Path(sys.executable).with_name("kubently-credential")


def run(count: int) -> None:
    """Print the CPU time of both, interleaved."""
    with tempfile.TemporaryDirectory() as folder:
        cached = Path(folder, "kubently", "credentials", "_environment", "bench.json")
        cached.parent.mkdir(parents=True)
        cached.write_text(f'{time.time() + 3600}\n{{"kind": "ExecCredential"}}')
        environ = {"XDG_CACHE_HOME": folder, "HOME": folder, "PATH": ""}
        bare, plugin = [], []
        for _ in range(count):
            bare.append(_cpu([sys.executable, "-c", "pass"], environ))
            plugin.append(_cpu([str(PLUGIN), "--cluster", "bench"], environ))
    interpreter, ours = statistics.median(bare), statistics.median(plugin)
    print(
        f"credential plugin with a cached token: {ours * 1000:.1f} ms CPU, a bare interpreter {interpreter * 1000:.1f}:"
    )
    print(f"  ratio {ours / interpreter:.2f} (bar 1.5)")


def _cpu(argv: list[str], environ: dict[str, str]) -> float:
    """CPU seconds of a child. Raises RuntimeError when it fails."""
    child = subprocess.Popen(argv, env=environ, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{argv[0]} ended with {child.returncode}")
    return usage.ru_utime + usage.ru_stime
