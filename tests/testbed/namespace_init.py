"""The first process of a node's namespaces: gives it folders of its own, then reaps what is orphaned, for ever.

Run by path, as pid 1 in new mount, network and pid namespaces; the argument is the node's folder.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

# kubelet wants these, which are the whole machine's: it sees what it wants, and the machine keeps its own.
WANTED = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
# For containerd: what it unpacks of the images here is a quarter of it.
PLENTY = 2 * 1024**3


def mount(*args: str) -> None:
    """Run mount; an error ends this process, and with it the namespaces."""
    subprocess.run(["mount", *args], check=True)


def prepare(folder: Path) -> None:
    """Private folders for containerd, kubelet and CNI: two nodes on one machine would share them."""
    mount("--make-rshared", "/")
    (folder / "containerd").mkdir()
    if memory_available() > 4 * PLENTY:
        # Unpacking images and removing them again is most of the disk's work, and takes seconds there.
        mount("-t", "tmpfs", "-o", f"size={PLENTY}", "tmpfs", str(folder / "containerd"))
    for target in ("/var/lib", "/var/log"):
        own = folder / target.strip("/").replace("/", "-")
        own.mkdir()
        mount("--bind", str(own), target)
    mount("-t", "tmpfs", "tmpfs", "/run")
    for needed in ("/run/netns", "/var/lib/kubelet", "/var/log/pods", "/var/log/containers"):
        os.makedirs(needed)
    mount("--bind", "/var/lib/kubelet", "/var/lib/kubelet")
    mount("--make-rshared", "/var/lib/kubelet")
    for name, value in WANTED.items():
        wanted = folder / f"sysctl-{name.replace('/', '-')}"
        wanted.write_text(f"{value}\n")
        mount("--bind", str(wanted), f"/proc/sys/{name}")


def memory_available() -> int:
    """Bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def reap() -> None:
    """Wait for children of the dead."""
    while True:
        signal.sigwait({signal.SIGCHLD})
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    prepare(Path(sys.argv[1]))
    Path(sys.argv[1], "ready").touch()
    reap()
