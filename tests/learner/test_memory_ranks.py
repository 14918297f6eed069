"""What keeps a large model within a GPU: every trained network recomputes, and no rank holds a whole frozen copy."""

import os
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path

import pytest
import torch

from stepcoder.learner.networks.engine import TrainedModel
from stepcoder.learner.networks.models import load_critic
from stepcoder.learner.rank import LearnerRank
from tests.tools.learner import learner_config, make_groups, partition_everything
from tests.tools.patience import HANG_S
from tests.tools.ports import free_port


def kept_for_the_gradient(model: Path, checkpointing: bool) -> int:
    """Numbers that a critic's forward pass keeps beside its weights."""
    from stepcoder.learner.networks.attention import Group

    critic = load_critic(model, torch.float32, None, checkpointing=checkpointing)
    weights, kept = {p.data_ptr() for p in critic.parameters()}, 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel() if tensor.data_ptr() not in weights else 0
        return tensor

    ids = torch.randint(3, 300, (1, 64))
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        values = critic(ids, torch.arange(64)[None], (Group(8, (56,)),), torch.arange(8, 64))
    values.sum().backward()
    return kept


def test_a_critic_recomputes_too(model: Path) -> None:
    assert kept_for_the_gradient(model, True) < kept_for_the_gradient(model, False) / 3


def build(rank: int, ranks: int, port: int, model: str, stage: int, precision: str, answers: "Queue[object]") -> None:
    """One rank: the numbers of the reference that it holds, and what one step says of it."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    torch.set_num_threads(1)
    import stepcoder.learner.networks.engine as engine

    TrainedModel._settings = partition_everything(TrainedModel._settings)
    plain = engine._zero
    engine._zero = lambda config: plain(config) | {"stage3_param_persistence_threshold": 0}
    config = learner_config(ranks=ranks, zero_stage=stage, gradient_checkpointing=True, precision=precision)
    learner = LearnerRank(rank, ranks, model, config, seed=0, total_updates=10, temperature=1.0, cuda=False)
    learner.build("127.0.0.1", port)
    module = getattr(learner.reference, "engine", learner.reference)
    held = sum(getattr(p, "ds_tensor", p).numel() for p in module.parameters())
    groups = make_groups()
    found = [learner.step(step, *groups[rank::ranks])["kl/reference"] for step in (1, 2)]
    answers.put((rank, held, found))


def run(model: Path, ranks: int, stage: int, precision: str) -> list[tuple[int, int, list[float]]]:
    context, port = get_context("spawn"), free_port()
    answers = context.Queue()
    processes = [
        context.Process(target=build, args=(rank, ranks, port, str(model), stage, precision, answers))
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    try:
        return sorted(answers.get(timeout=HANG_S) for _ in processes)
    finally:
        for process in processes:
            process.join(10)
            process.kill()


@pytest.mark.parametrize("precision", ["fp32", "autocast"])
def test_zero_3_splits_the_reference_and_changes_none_of_its_answers(model: Path, precision: str) -> None:
    ((_, whole, expected),) = run(model, 1, 0, precision)
    found = run(model, 2, 3, precision)
    assert sum(held for _, held, _ in found) <= 1.01 * whole
    assert max(held for _, held, _ in found) < 0.6 * whole
    for _, _, kl in found:
        assert kl == pytest.approx(expected, rel=2e-2 if precision == "autocast" else 2e-3, abs=1e-5)
