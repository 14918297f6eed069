"""A real study of two arms on a tiny model, killed in the middle: it goes on to the table of an undisturbed one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from stepcoder.deploy.study.results import read
from stepcoder.deploy.study.text import as_text
from tests.tools.loop import ROOT, write_config
from tests.tools.patience import HANG_S, until

ARMS = {
    "ppo": {"curriculum": {"schedule": "none"}, "learner": {"credit": "all"}},
    "both": {"learner": {"credit": "fgo"}},
}


def study_file(folder: Path, model: Path) -> Path:
    write_config(folder, model, "shared")
    file = folder / "study.yaml"
    settings = {
        "executor": {"reward": "tests.tools.loop:held"},
        "rollout": {"engine": "transformers"},
        "run": {"steps": 50, "checkpoint_every": 1},
    }
    study = {
        "config": "shared.yaml", "directory": str(folder / "study"), "seeds": [3], "budget": {"tokens": 250},
        "settings": settings, "arms": ARMS,
    }  # fmt: skip
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    return file


def start(file: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", "study", str(file)], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True, env=os.environ | environment,
    )  # fmt: skip


@pytest.mark.exhaustive
def test_a_killed_study_goes_on_and_ends_with_the_same_table(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    straight, _ = (process := start(study_file(tmp_path / "a", model))).communicate(timeout=HANG_S)
    assert process.returncode == 0, straight
    (tmp_path / "b").mkdir()
    file = study_file(tmp_path / "b", model)
    second = tmp_path / "b" / "study" / "runs" / "both" / "seed-3"
    hold = second / "checkpoints" / "step-00000001"
    process = start(file, HOLD=str(hold))
    until(lambda: hold.is_dir() or process.poll() is not None, lambda: "no checkpoint in the second run")
    assert hold.is_dir(), process.communicate()[0]
    family = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(family, timeout=HANG_S)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE], alive
    output, _ = (process := start(file)).communicate(timeout=HANG_S)
    assert process.returncode == 0, output
    assert "2 runs, 1 done" in output and "both, seed 3, on from step 1" in output
    assert as_text(read(tmp_path / "a" / "study")) == as_text(read(tmp_path / "b" / "study"))
    assert as_text(read(tmp_path / "a" / "study")).splitlines()[2].startswith("arm") and "ppo" in straight
    tokens = [sum(t for t, _ in arm.runs[0].rewards[-1:]) for arm in read(tmp_path / "b" / "study").arms]
    assert all(count >= 250 for count in tokens)
