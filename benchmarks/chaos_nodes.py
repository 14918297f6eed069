"""The cluster that `benchmarks/chaos.py` strikes at, and which processes of it are what."""

import contextlib
import os
from collections.abc import Callable
from typing import Any

import psutil

from stepcoder.executor.sandbox.confinement.syscalls import prctl
from tests.tools.loop import alive, engine_processes

TITLES = {
    "executor": "ray::ExecutorWorker", "worker": "ray::RolloutWorker", "rank": "ray::LearnerRank",
    "curriculum": "ray::StoredCurriculumActor",
}  # fmt: skip
PR_SET_CHILD_SUBREAPER = 36
START_ATTEMPTS = 3


class Nodes:
    """A head and two more nodes of a Ray cluster, each with its processes on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        os.environ |= {"RAY_worker_niceness": "0", "RAY_AUTH_MODE": "disabled"}
        head = {"num_cpus": 2, "include_dashboard": False}
        make = lambda: Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=False)  # noqa: E731
        self._cluster: Any = started(make)
        self.address: str = self._cluster.address
        for _ in range(2):
            self.add()

    def add(self) -> None:
        started(lambda: self._cluster.add_node(num_cpus=2))

    def pids(self) -> list[int]:
        """The raylets of the nodes that can be lost."""
        return [node.all_processes["raylet"][0].process.pid for node in self._cluster.worker_nodes]

    def lose(self, raylet: int) -> None:
        (node,) = (n for n in self._cluster.worker_nodes if n.all_processes["raylet"][0].process.pid == raylet)
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()


def started(node: Callable[[], Any]) -> Any:
    """Ray gives a node's processes 30 s to find each other, which a busy machine may exceed: then once more."""
    for attempt in range(1, START_ATTEMPTS + 1):
        before = family()
        try:
            return node()
        except Exception:
            for process in (process for process in family() if process not in before):
                with contextlib.suppress(psutil.Error):
                    process.kill()
            if attempt == START_ATTEMPTS:
                raise


def family() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def titled(title: str) -> list[psutil.Process]:
    """Living processes of this benchmark with such a title, which are made already."""
    found = []
    for process in family():
        with contextlib.suppress(psutil.Error):
            said = " ".join(process.cmdline())
            if said.startswith(title) and "__init__" not in said and alive(process):
                found.append(process)
    return found


def engines() -> list[psutil.Process]:
    return [process for process in engine_processes(family()) if alive(process)]


def keep_orphans() -> None:
    """What loses its parent stays in the family."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
