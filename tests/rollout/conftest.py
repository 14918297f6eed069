"""What the engines' tests share."""

from pathlib import Path

import pytest

from tests.tools.tiny_model import build_tiny_model


@pytest.fixture(scope="package")
def models(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three of one shape, the shared one first."""
    others = (build_tiny_model(tmp_path_factory.mktemp(f"model{seed}"), seed) for seed in (1, 2))
    return [str(path) for path in (model, *others)]
