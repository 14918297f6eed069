"""What the tests of whole runs and jobs share."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tools.head import Head, started
from tests.tools.loop import ROOT, write_config
from tests.tools.patience import HANG_S

HOLDING = ("--executor.reward", "tests.tools.loop:held")


@pytest.fixture(scope="session")
def straight(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, str]]:
    """The directory of a run that nobody disturbed, by an engine's name, and what it printed; for reading only."""
    made: dict[str, tuple[Path, str]] = {}

    def run(engine: str) -> tuple[Path, str]:
        if engine not in made:
            folder = tmp_path_factory.mktemp("whole")
            config = write_config(folder, model, "straight")
            command = [
                sys.executable,
                "-m",
                "deploy.train",
                "--config",
                str(config),
                *HOLDING,
                "--rollout.engine",
                engine,
            ]
            done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=HANG_S, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            made[engine] = folder / "straight", done.stdout + done.stderr
        return made[engine]

    return run


@pytest.fixture(scope="package")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A cluster for one job after the other: a test ends its own."""
    with started(tmp_path_factory.mktemp("head") / "home") as found:
        yield found
