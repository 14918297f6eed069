"""A real run whose curriculum actor is killed goes on without going back, and no outcome is lost or counted twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.tools.loop import ROOT, STEPS, step_lines, write_config
from tests.tools.patience import HANG_S


def curriculum_actor(driver: int) -> psutil.Process | None:
    """The actor's process, by the title that Ray gives it."""
    for process in psutil.Process(driver).children(recursive=True):
        try:
            if "CurriculumActor" in " ".join(process.cmdline()):
                return process
        except psutil.Error:
            continue
    return None


@pytest.mark.exhaustive
def test_a_run_goes_on_when_its_curriculum_is_killed(model: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, model, "run", eval={"at_start": False, "at_end": False})
    command = [sys.executable, "-m", "deploy.train", "--config", str(config)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    metrics, deadline = tmp_path / "run" / "metrics.jsonl", time.monotonic() + HANG_S
    while not metrics.is_file() or not metrics.read_text(encoding="utf-8").endswith("\n"):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.05)
    actor = curriculum_actor(process.pid)
    assert actor is not None
    os.kill(actor.pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, output
    assert "an actor died" not in output
    assert sorted(step_lines(tmp_path / "run")) == list(range(1, STEPS + 1))
    state = json.loads((tmp_path / "run" / "checkpoints" / f"step-{STEPS:08d}" / "state.json").read_text())
    curriculum = state["curriculum"]
    assert curriculum["ticket"] == sum(curriculum["moves"].values()) == 2 * STEPS
