"""LoRA adapters and a shared trunk over two processes that each hold half of every tensor, against one process."""

import os
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path

import pytest
import torch

from stepcoder.learner.config import OffloadConfig
from stepcoder.learner.networks.engine import TrainedModel
from stepcoder.learner.rank import LearnerRank
from stepcoder.learner.service import deal
from tests.tools.learner import LORA, SHARED, free_port, learner_config, make_groups, make_rank, partition_everything
from tests.tools.patience import HANG_S

ADAPTERS: dict[str, object] = dict(lora=LORA, advantage=SHARED)
ASIDE: dict[str, object] = dict(offload=OffloadConfig(optimizer=True, parameters=True))
RANKS = 2


def partitioned(
    rank: int, port: int, model: str, fields: dict[str, object], checkpoint: str, answers: "Queue[object]"
) -> None:
    """One rank under ZeRO 3: a step, a checkpoint, and the second step from each of the two."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    torch.set_num_threads(1)
    TrainedModel._settings = partition_everything(TrainedModel._settings)

    def build() -> LearnerRank:
        config = learner_config(ranks=RANKS, zero_stage=3, **fields)
        built = LearnerRank(rank, RANKS, model, config, seed=0, total_updates=100, temperature=1.0, cuda=False)
        built.build("127.0.0.1", port)
        return built

    def step(learner: LearnerRank, number: int) -> dict[str, float]:
        groups = make_groups(seed=number)
        shares = deal([sum(len(t.response_ids) for t in group) for group in groups], RANKS)
        return learner.step(number, *(groups[i] for i in shares[rank]))

    straight = build()
    metrics = [step(straight, 1)]
    straight.save(checkpoint)
    resumed = build()
    resumed.load(checkpoint)
    metrics.append(step(straight, 2))
    step(resumed, 2)
    weights, again = (
        {name: tensor.clone().numpy() for name, tensor in learner._full_weights()} for learner in (straight, resumed)
    )
    assert all((again[name] == tensor).all() for name, tensor in weights.items())
    if rank == 0:
        answers.put((metrics, weights))


@pytest.mark.parametrize(
    ("fields", "offload"),
    [(ADAPTERS, {}), (ADAPTERS, ASIDE), ({}, ASIDE)],
    ids=["adapters", "adapters, aside", "two networks, aside"],
)
def test_two_ranks_with_half_of_every_tensor_equal_one(
    model: Path, tmp_path: Path, fields: dict[str, object], offload: dict[str, object]
):
    (tmp_path / "checkpoint" / "learner").mkdir(parents=True)
    context = get_context("spawn")
    answers, port = context.Queue(), free_port()
    ranks = [
        context.Process(
            target=partitioned, args=(rank, port, str(model), fields | offload, str(tmp_path / "checkpoint"), answers)
        )
        for rank in range(RANKS)
    ]
    for process in ranks:
        process.start()
    whole = make_rank(model, learner_config(**fields))
    start = {name: tensor.clone() for name, tensor in whole._full_weights()}
    expected = [whole.step(number, *make_groups(seed=number)) for number in (1, 2)]
    metrics, weights = answers.get(timeout=HANG_S)
    for process in ranks:
        process.join(timeout=HANG_S)
        assert process.exitcode == 0
    for ours, theirs in zip(metrics, expected, strict=True):
        for key in ("policy/loss", "value/loss", "kl/reference", "value/error", "policy/entropy", "grad_norm/policy"):
            assert ours[key] == pytest.approx(theirs[key], rel=2e-3, abs=1e-5), key
    for name, tensor in whole._full_weights():
        # Adam divides by the gradient's size: where that is near zero, rounding moves a weight by up to a step
        moved = (tensor - start[name]).norm()
        assert (torch.from_numpy(weights[name]) - tensor).norm() <= 0.02 * moved, name
