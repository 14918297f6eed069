"""What the engines' tests share: one Ray, tiny models."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from tests.tools.tiny_model import build_tiny_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="package")
def cluster() -> Iterator[None]:
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}},
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="package")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three of one shape."""
    return [str(build_tiny_model(tmp_path_factory.mktemp(f"model{seed}"), seed)) for seed in range(3)]


@pytest.fixture(scope="package")
def model(models: list[str]) -> str:
    return models[0]
