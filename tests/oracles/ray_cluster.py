"""A simulated ray cluster of two nodes on this machine, for the tests: prints its address, then obeys `kill` (the second node)."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    return [pid, *(each for child in parents.get(pid, []) for each in family(child))]


def kill(node: Any) -> None:
    """End a node as a power cut would: its raylet and every worker of it, with SIGKILL."""
    for info in (info for infos in node.all_processes.values() for info in infos):
        for pid in family(info.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def main() -> None:
    """Start the head with one core, a second node with one more; then serve standard input until it ends."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    sys.stdout.write(cluster.address + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        if line.strip() == "kill":
            kill(second)
    cluster.shutdown()


if __name__ == "__main__":
    main()
