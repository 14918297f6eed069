"""The Ray of the tests' own process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

ROOT = Path(__file__).resolve().parents[2]


def start_cluster(gpus: int = 0) -> None:
    """Two processor cores, and workers that find the tests' modules. `gpus`: how many Ray is told of."""
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=gpus or None,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )


@contextmanager
def cluster_with_gpus(gpus: int) -> Iterator[None]:
    """A cluster that says it has GPUs, for a while in the place of the session's: what is placed is for Ray alone."""
    if others := ray.is_initialized():
        ray.shutdown()
    start_cluster(gpus)
    try:
        yield
    finally:
        ray.shutdown()
        if others:
            start_cluster()
