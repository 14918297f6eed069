"""A run that was stopped after any step ends bit for bit as one that was not."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from stepcoder.errors import UserError
from stepcoder.learner.networks import state
from tests.tools.one_process import ALGORITHMS, STEPS, SUBTASKS, UNSTABLE, Steps, checkpoint, configured, go


def assert_same_end(ours: Path, theirs: Path, step: int = STEPS) -> None:
    """Weights, optimisers, schedules, random state, curriculum, next batch, KL coefficient, every step's numbers."""
    for name in ("state.json", "learner/kl.json"):
        assert (checkpoint(ours, step) / name).read_bytes() == (checkpoint(theirs, step) / name).read_bytes()
    for network in sorted(p.name for p in (checkpoint(theirs, step) / "learner").iterdir() if p.is_dir()):
        (mine, schedule), (other, their_schedule) = (
            state.read(checkpoint(run, step) / "learner" / network) for run in (ours, theirs)
        )
        assert schedule == their_schedule and mine.keys() == other.keys()
        for name in other:
            assert mine[name].keys() == other[name].keys()
            assert all(torch.equal(mine[name][key], other[name][key]) for key in other[name]), (network, name)
    random = [torch.load(checkpoint(run, step) / "learner" / "random-0.pt") for run in (ours, theirs)]
    assert torch.equal(*random)
    lines = [
        [
            {k: v for k, v in json.loads(line).items() if not k.startswith(UNSTABLE)}
            for line in (run / "metrics.jsonl").read_text().splitlines()
        ]
        for run in (ours, theirs)
    ]
    assert lines[0] == lines[1] and len(lines[0]) == step


@pytest.mark.parametrize("staleness", [0, 1, 3])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_run_goes_on_from_every_step_as_if_it_had_not_been_stopped(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str, staleness: int
) -> None:
    straight, _ = go(configured(tmp_path / "straight", model, algorithm, staleness), model, monkeypatch)
    states = [json.loads((checkpoint(straight, n) / "state.json").read_text()) for n in range(1, STEPS + 1)]
    assert [bool(s["issued"]) for s in states] == [bool(staleness)] * STEPS
    places = [(s["curriculum"]["epoch"], s["curriculum"]["position"]) for s in states]
    assert places == [(0, 2), (1, 1), (1, 3), (2, 2), (3, 1), (3, 3), (4, 2)][staleness : STEPS + staleness]
    assert [len(s["issued"]) for s in states] == [staleness * SUBTASKS] * STEPS
    dropped = [json.loads(line).get("groups/dropped") for line in open(straight / "metrics.jsonl")]
    assert any(dropped) == (algorithm != "ppo")
    for stop in range(1, STEPS):
        # what a run leaves that is killed when its checkpoint of this step is written
        left = tmp_path / f"stopped-{stop}"
        shutil.copytree(straight, left)
        for later in range(stop + 1, STEPS + 1):
            shutil.rmtree(checkpoint(left, later))
        resumed, said = go(configured(left, model, algorithm, staleness), model, monkeypatch)
        assert f"going on from the checkpoint of step {stop} of {STEPS}" in said
        assert_same_end(resumed, straight)
    # stopped by its length, and made longer
    short = configured(tmp_path / "longer", model, algorithm, staleness, steps=3)
    go(short, model, monkeypatch)
    longer, said = go(configured(tmp_path / "longer", model, algorithm, staleness), model, monkeypatch)
    assert f"going on from the checkpoint of step 3 of {STEPS}" in said
    assert_same_end(longer, straight)


def test_what_is_being_written_when_a_run_dies_is_what_it_goes_on_from(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, _ = go(configured(tmp_path / "straight", model, "ppo", 0), model, monkeypatch)
    config = configured(tmp_path / "died", model, "ppo", 0)
    died, _ = go(config, model, monkeypatch, dies_at=3)
    assert sorted(p.name for p in (died / "checkpoints").iterdir()) == [f"step-{n:08d}" for n in (1, 2)]
    go(config, model, monkeypatch)
    assert_same_end(died, straight)


def test_without_a_copy_training_waits_for_the_writer(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, _ = go(configured(tmp_path / "straight", model, "ppo", 1), model, monkeypatch)
    waiting, _ = go(configured(tmp_path / "waiting", model, "ppo", 1), model, monkeypatch, writes_beside=False)
    for step in range(1, STEPS):
        for file in sorted(checkpoint(straight, step).rglob("part-*.pt")):
            other = checkpoint(waiting, step) / file.relative_to(checkpoint(straight, step))
            assert other.read_bytes() == file.read_bytes()
    assert_same_end(waiting, straight)


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    straight, _ = go(configured(tmp_path / "straight", model, "ppo", 0), model, monkeypatch)
    left = tmp_path / "damaged"
    shutil.copytree(straight, left)
    part = next((checkpoint(left, STEPS) / "learner" / "policy").glob("part-*"))
    part.write_bytes(part.read_bytes()[:-1])
    resumed, said = go(configured(left, model, "ppo", 0), model, monkeypatch)
    assert f"going on from the checkpoint of step {STEPS - 1} of {STEPS}" in said
    assert f"checkpoint of step {STEPS} is passed over" in caplog.text
    assert_same_end(resumed, straight)
    for n in range(1, STEPS + 1):
        (checkpoint(left, n) / "state.json").unlink()
    with pytest.raises(UserError, match="no checkpoint in .* is complete; step 4: .*state.json is missing"):
        go(configured(left, model, "ppo", 0), model, monkeypatch)


@pytest.mark.parametrize("staleness", [0, 1])
def test_a_run_whose_time_is_over_has_a_checkpoint_and_goes_on_as_if_it_had_not_been_stopped(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleness: int
) -> None:
    straight, _ = go(configured(tmp_path / "straight", model, "ppo", staleness), model, monkeypatch)
    limited = configured(tmp_path / "limited", model, "ppo", staleness, checkpoint_every=STEPS, max_minutes=1)
    run, _ = go(limited, model, monkeypatch, limit=Steps(2))
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["step-00000002"]
    _, said = go(limited, model, monkeypatch, limit=Steps(1))
    assert f"going on from the checkpoint of step 2 of {STEPS}" in said
    unlimited = configured(tmp_path / "limited", model, "ppo", staleness)
    _, said = go(unlimited, model, monkeypatch)
    assert f"going on from the checkpoint of step 3 of {STEPS}" in said
    assert_same_end(run, straight)
