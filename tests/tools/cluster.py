"""The Ray of the tests' own process."""

from pathlib import Path

import ray

ROOT = Path(__file__).resolve().parents[2]


def start_cluster() -> None:
    """Two processor cores, and workers that find the tests' modules."""
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )
