"""The whole loop as a user starts it: real engines, DeepSpeed, Ray and sandbox on a tiny random model."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas
import psutil
import pyarrow.parquet as pq
import pytest
import torch

from stepcoder.deploy.run.trajectories import trajectory_file
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


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["transformers", pytest.param("vllm", marks=pytest.mark.exhaustive)])
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


@pytest.mark.slow
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


def assert_evaluated(run: Path, step: int) -> None:
    """Each set, greedy and sampled, and every program; the two sets are the same and were sampled apart."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (result,) = [line["eval"] for line in lines if line["step"] == step and "eval" in line]
    assert list(result) == ["train", "first", "second"]
    assert [found["n_samples"] for found in result.values()] == [2, 3, 3]
    assert result["first"]["greedy"]["per_problem"] == result["second"]["greedy"]["per_problem"]
    assert result["first"]["pass_at_k"] == {"1": result["first"]["pass_rate"]}
    file = run / "evaluations" / f"step-{step:08d}.jsonl"
    programs = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(programs) == 2 * (2 + 3 + 3)
    sampled = [[p["program"] for p in programs if p["set"] == name and not p["greedy"]] for name in ("first", "second")]
    assert sampled[0] != sampled[1]


def test_every_other_way_to_learn_goes_through_the_loop(model: Path, tmp_path: Path):
    """Repair in turns, relatives and details that are off by default, and an evaluation of several sets."""
    settings = {
        "subtasks_per_step": 4,
        "curriculum": {"schedule": "bread", "prompt": {"max_prompt_tokens": 640}},
        "learner": {
            "precision": "fp32", "token_budget": 512, "kl": {"type": "reward", "reset_every": 1},
            "policy": {"lr": 1e-3, "schedule": "cosine"}, "credit": {"type": "divergence", "truncated": True},
            "advantage": {"critic": {"layers": 1, "warmup_steps": 1}}, "loss": {"entropy_bonus": 0.01},
            "old_logprobs": {"sequence_mask_low": 0.5, "sequence_mask_high": 2.0},
        },
        "eval": {"at_start": False, "samples": 1, "greedy": True, "train_limit": 2},
        "data": {"limit": 3, "heldout": {"first": "starter:heldout", "second": "starter:heldout"}},
    }  # fmt: skip
    config = write_config(tmp_path, model, "ways", **settings)
    repairing = "--rollout.repair turns --rollout.repair.turns 2 --rollout.repair.reward turn --rollout.repair.chars 40"
    more = "--run.steps 2 --executor.reward verpo --rollout.engine transformers --data.levels introductory"
    finish(start(config, *repairing.split(), *more.split()))
    found = step_lines(tmp_path / "ways")
    # what was told between turns is none of the sampled tokens: these agree with the learner's
    assert all(line["gap/logprob_abs_mean"] < 1e-4 for line in found.values())
    assert all(1 < line["repair/turns"] <= 2 for line in found.values())
    assert "grad_norm/policy" not in found[1] and found[2]["grad_norm/policy"] > 0  # the critic alone, then both
    assert found[2]["kl/reference"] == 0  # reset a moment before
    rows = pandas.concat(map(pandas.read_parquet, (tmp_path / "ways" / "trajectories").glob("*.parquet")))
    between = [row for row in rows.itertuples() if not all(row.sampled)]
    assert between and all(not any(row.credit[~row.sampled.astype(bool)]) for row in between)
    assert all((row.advantages[~row.sampled.astype(bool)] == 0).all() for row in between)
    assert_evaluated(tmp_path / "ways", 2)


@pytest.mark.slow
def test_generation_may_run_ahead_of_training_and_equal_groups_are_replaced(model: Path, tmp_path: Path):
    config = write_config(tmp_path, model, "ahead", max_staleness=2, eval={"at_start": False, "at_end": False})
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
    assert found[1]["staleness"] == 0 < max(found[s]["staleness"] for s in (2, 3, 4)) <= 2
    state = json.loads((tmp_path / "ahead" / "checkpoints" / "step-00000002" / "state.json").read_text())
    assert len(state["issued"]) == 2 * 2
    for step in found:
        rows = pq.read_table(trajectory_file(tmp_path / "ahead" / "trajectories", step)).to_pylist()
        assert all(len(row["versions"]) == len(row["response_ids"]) for row in rows)
        written = [version for row in rows for version in row["versions"]]
        assert step - 3 <= min(written) and max(written) <= step - 1
        assert found[step]["staleness/mean"] == pytest.approx(step - 1 - sum(written) / len(written))
        assert all(0 <= found[step][f"idle/{who}"] <= 1 for who in ("engines", "executors", "learner"))
    assert all(line["groups/too_old"] == 0 for line in found.values())
