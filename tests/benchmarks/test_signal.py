"""The proxies: groups with a signal by stage, gradients under masks against ones worked out another way."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.signal import Gradients, Moments, advantages, read_groups, stages
from stepcoder.deploy.run.trajectories import write_trajectories
from stepcoder.learner.config import FGO
from stepcoder.learner.masks import credit_mask
from stepcoder.learner.networks.models import load_policy
from stepcoder.rollout.trajectory import Trajectory
from tests.tools.learner import make_groups


def stored(folder: Path) -> list[list[Trajectory]]:
    """Three groups of one step, at stages 0, 1 and 0; all completions of the last have the same reward."""
    made = make_groups(groups=3, seed=1)
    assert all(len({t.reward for t in group}) > 1 for group in made)
    found = [
        [replace(t, stage=number % 2, reward=-0.3 if number == 2 else t.reward) for t in group]
        for number, group in enumerate(made)
    ]
    write_trajectories(folder / "trajectories", 1, [t for group in found for t in group])
    return found


def test_stages_count_groups_whose_rewards_differ(tmp_path: Path) -> None:
    (tmp_path / "trajectories").mkdir()
    groups = stored(tmp_path)
    found = stages(read_groups(tmp_path))
    assert {stage: count.groups for stage, count in found.items()} == {0: 2, 1: 1}
    assert found[0].signal == 1 and found[1].signal == 1
    assert found[0].written == len(groups[0]) + len(groups[2])


def test_what_was_stored_is_read_as_the_learner_had_it(tmp_path: Path) -> None:
    (tmp_path / "trajectories").mkdir()
    groups = stored(tmp_path)
    for (_, read), group in zip(read_groups(tmp_path), groups, strict=True):
        for one, other in zip(read, group, strict=True):
            assert one.reward == pytest.approx(other.reward) and one.verdict == other.verdict
            assert np.array_equal(one.response_ids, other.response_ids)
            assert np.array_equal(credit_mask(one, FGO(), step=1, seed=0), credit_mask(other, FGO(), step=1, seed=0))


def test_advantages_leave_the_own_reward_out() -> None:
    assert advantages([1.0, 0.0, 0.0]) == pytest.approx([1.0, -0.5, -0.5])


def test_the_gradient_under_a_mask_is_that_of_the_masked_sum(model: Path) -> None:
    policy = load_policy(model, torch.float32, pieces=2)
    (group,) = make_groups(groups=1, seed=1)
    assert len({t.reward for t in group}) > 1
    gradients = Gradients(policy, 10**9)
    found = gradients.of(group, 1)["fgo"]
    loss = torch.zeros(())
    for t, weight in zip(group, advantages([t.reward for t in group]), strict=True):
        ids = torch.tensor([[*t.prompt_ids.tolist(), *t.response_ids.tolist()]])
        # Another way: transformers' own logits of one sequence at a time
        logits = policy.model(input_ids=ids, position_ids=torch.arange(ids.shape[1])[None], use_cache=False,
                              layout=whole(ids)).logits[0]  # fmt: skip
        scored = torch.log_softmax(logits, -1)[len(t.prompt_ids) - 1 : -1]
        own = scored[torch.arange(len(t.response_ids)), torch.tensor(t.response_ids).long()]
        loss = loss + weight * (own * torch.tensor(credit_mask(t, FGO(), step=1, seed=0))).sum()
    loss.backward()
    expected = np.concatenate(
        [
            (torch.zeros(p.numel()) if p.grad is None else p.grad.flatten())[places].numpy()
            for p, places in zip(gradients.parameters, gradients.places, strict=True)
        ]
    )
    assert np.abs(found).max() > 0 and found == pytest.approx(expected, rel=1e-3, abs=1e-5)


def whole(ids: torch.Tensor) -> tuple[object, ...]:
    from stepcoder.learner.networks.attention import Group

    return (Group(ids.shape[1]),)


def test_noise_and_cosines_of_gradients_that_are_known() -> None:
    """A signal of length 1 and independent noise of variance 4 (all) or 1 (fgo) in all."""
    moments, draw, dimensions = Moments(), np.random.default_rng(0), 400
    signal = np.eye(dimensions)[0]
    for step in range(20):
        for _ in range(50):
            noise = {name: draw.normal(0, 1 / dimensions**0.5, dimensions) for name in ("all", "fgo", "random")}
            moments.add(
                step, {"all": signal + 2 * noise["all"], "fgo": signal + noise["fgo"], "random": noise["random"]}
            )
    rows = moments.rows()
    assert rows["all"].noise == pytest.approx(4, rel=0.15) and rows["fgo"].noise == pytest.approx(1, rel=0.15)
    assert np.mean(rows["fgo"].cosines) > np.mean(rows["all"].cosines) > 0.9
    assert abs(np.mean(rows["random"].cosines)) < 0.1 and rows["fgo"].length == pytest.approx(1, abs=0.05)
