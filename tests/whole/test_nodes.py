"""One node and three that have nothing in common but the run directory: the same numbers."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.islands import Islands, can_be_made
from tests.tools.loop import ROOT, metrics, write_config
from tests.tools.patience import HANG_S

SETTINGS = (
    "--rollout.engine transformers --rollout.engines 2 --learner.ranks 2 --run.steps 3 --executor.actors 3".split()
)


@pytest.fixture
def places(model: Path, tmp_path: Path) -> tuple[Path, Path]:
    """What the nodes share, and what each has a copy of: the model."""
    shared, given = tmp_path / "shared", tmp_path / "given"
    shared.mkdir()
    shutil.copytree(model, given / "model")
    return shared, given


@pytest.fixture
def islands(places: tuple[Path, Path]) -> Iterator[Islands]:
    if not can_be_made():
        pytest.skip("needs the right to make mount namespaces (run as root)")
    nodes = Islands(*places)
    try:
        nodes.start(3)
        yield nodes
    finally:
        nodes.close()


def train(config: Path) -> list[str]:
    return [sys.executable, "-m", "deploy.train", "--config", str(config), *SETTINGS]


@pytest.mark.exhaustive
def test_three_nodes_without_a_common_disk_give_the_numbers_of_one(places: tuple[Path, Path], islands: Islands) -> None:
    shared, given = places
    one, three = (write_config(shared, given / "model", name) for name in ("one", "three"))
    alone = subprocess.run(train(one), cwd=ROOT, text=True, capture_output=True, timeout=HANG_S, check=False)
    assert alone.returncode == 0, alone.stdout + alone.stderr
    status, printed, actors = islands.run(*train(three), "--ray.address", islands.address)
    assert status == 0, printed
    held = [titles for titles in actors if any("Rank" in title or "Worker" in title for title in titles)]
    assert len(held) > 1, actors
    assert metrics(shared / "three") == metrics(shared / "one")
