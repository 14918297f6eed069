"""The whole loop as a user starts it: real engines, DeepSpeed, Ray and sandbox on a tiny random model."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from tests.tools.loop import ROOT, STEPS, engine_processes, metrics, step_lines, write_config
from tests.tools.patience import HANG_S, until
from tests.whole.conftest import HOLDING


def start(config: Path, *settings: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "deploy.train", "--config", str(config), *settings]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env=os.environ | environment,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, output
    return output


def learner_state(run: Path) -> dict[str, object]:
    folder = run / "checkpoints" / f"step-{STEPS:08d}" / "learner"
    return {
        str(file.relative_to(folder)): torch.load(file, weights_only=False) for file in sorted(folder.rglob("*.pt"))
    }


def assert_same(a: object, b: object, where: str = "") -> None:
    """Equal through dictionaries and lists, tensors bit for bit; directories in DeepSpeed's notes do not count."""
    if isinstance(a, torch.Tensor):
        assert isinstance(b, torch.Tensor) and torch.equal(a, b), where
    elif isinstance(a, dict):
        assert isinstance(b, dict) and a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert isinstance(b, list | tuple) and len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}/{i}")
    else:
        assert a == b, where


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.mark.parametrize("engine", ["transformers", pytest.param("vllm", marks=pytest.mark.slow)])
def test_a_killed_run_leaves_nothing_behind_and_resumes_as_if_it_had_not_been_killed(
    engine: str, model: Path, tmp_path: Path, straight: Callable[[str], tuple[Path, str]]
):
    holding = (*HOLDING, "--rollout.engine", engine)
    undisturbed, output = straight(engine)
    assert "step 4/4" in output and "learning curve" in output
    assert (undisturbed / "learning_curve.png").stat().st_size > 10_000
    # in fp32 engine and learner agree on every sampled token, after every sync of the weights
    assert all(line["gap/logprob_abs_mean"] < 1e-4 for line in step_lines(undisturbed).values())
    assert len(list((undisturbed / "trajectories").glob("*.parquet"))) == STEPS

    killed = tmp_path / "killed"
    config = write_config(tmp_path, model, "killed")
    second = killed / "checkpoints" / "step-00000002"
    process = start(config, *holding, HOLD=str(second))
    until(lambda: second.is_dir() or process.poll() is not None, lambda: "no checkpoint of step 2")
    assert second.is_dir(), process.communicate()[0]
    family = descendants(process.pid)
    assert engine_processes(family)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(family, timeout=HANG_S)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE], alive

    output = finish(start(config, *holding))
    assert "going on from the checkpoint of step 2 of 4" in output
    assert metrics(killed) == metrics(undisturbed)
    states = [
        json.loads((run / "checkpoints" / f"step-{STEPS:08d}" / "state.json").read_text())
        for run in (undisturbed, killed)
    ]
    assert states[0] == states[1]
    assert_same(learner_state(undisturbed), learner_state(killed))


def test_a_run_that_is_asked_to_end_leaves_a_checkpoint_and_nothing_else(model: Path, tmp_path: Path):
    """Asked while the third step is written, of whose programs none is judged: the second is saved, and all goes."""
    run, hold = tmp_path / "asked", tmp_path / "asked" / "trajectories" / "step-00000002.parquet"
    config = write_config(tmp_path, model, "asked", eval={"at_start": False, "at_end": False})
    settings = ("--executor.reward", "tests.tools.loop:held", "--run.checkpoint_every", "100", "--run.grace_s", "500")
    process = start(config, *settings, HOLD=str(hold))
    until(lambda: hold.is_file() or process.poll() is not None, lambda: "no second step")
    family = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=HANG_S)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "the checkpoint of step 2 of 4 is written; the same command goes on from there" in output
    assert "Traceback" not in output
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["step-00000002"]
    _, alive = psutil.wait_procs(family, timeout=HANG_S)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE], alive
    output = finish(start(config, *settings))
    assert "going on from the checkpoint of step 2 of 4" in output and sorted(metrics(run)) == [1, 2, 3, 4]


def test_generation_may_run_a_step_ahead_of_training_and_equal_groups_are_replaced(model: Path, tmp_path: Path):
    config = write_config(tmp_path, model, "ahead", max_staleness=1, eval={"at_start": False, "at_end": False})
    refilling = "--learner.drop_equal_groups true --refill_rounds 12 --executor.reward tests.tools.loop:coin"
    finish(start(config, *refilling.split(), "--rollout.group_size", "2"))
    found = step_lines(tmp_path / "ahead")
    assert all(line["gap/logprob_abs_mean"] < 1e-4 for line in found.values() if line["staleness"] == 0)
    assert all(line["groups/generated"] == 2 + line["groups/dropped"] for line in found.values())
    assert all(
        line["updates/total"] == 1 and line["groups/refilled"] == line["groups/dropped"] for line in found.values()
    )
    assert sum(line["groups/refilled"] for line in found.values()) > 0
    assert sorted(found) == [1, 2, 3, 4]
    assert found[1]["staleness"] == 0
    assert max(found[s]["staleness"] for s in (2, 3, 4)) == 1
    state = json.loads((tmp_path / "ahead" / "checkpoints" / "step-00000002" / "state.json").read_text())
    assert len(state["issued"]) == 2
