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


PRECISIONS = ("fp32", "autocast")


def ask(rank: int, ranks: int, port: int, model: str, stage: int, precision: str) -> tuple[int, list[float]]:
    """The numbers of the reference that a rank holds, and what it says of it in two steps."""
    config = learner_config(ranks=ranks, zero_stage=stage, gradient_checkpointing=True, precision=precision)
    learner = LearnerRank(rank, ranks, model, config, seed=0, total_updates=10, temperature=1.0, cuda=False)
    learner.build("127.0.0.1", port)
    module = getattr(learner.reference, "engine", learner.reference)
    held = sum(getattr(p, "ds_tensor", p).numel() for p in module.parameters())
    groups = make_groups()
    return held, [learner.step(step, *groups[rank::ranks])["kl/reference"] for step in (1, 2)]


def sit(rank: int, port: int, model: str, answers: "Queue[object]") -> None:
    """One of two ranks under ZeRO 3, a precision after the other."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    torch.set_num_threads(1)
    import stepcoder.learner.networks.engine as engine

    TrainedModel._settings = partition_everything(TrainedModel._settings)
    plain = engine._zero
    engine._zero = lambda config: plain(config) | {"stage3_param_persistence_threshold": 0}
    answers.put([ask(rank, 2, port, model, 3, precision) for precision in PRECISIONS])


@pytest.fixture(scope="module")
def split(model: Path) -> dict[str, list[tuple[int, list[float]]]]:
    """What both ranks say, by precision."""
    context, port = get_context("spawn"), free_port()
    answers = context.Queue()
    processes = [context.Process(target=sit, args=(rank, port, str(model), answers)) for rank in range(2)]
    for process in processes:
        process.start()
    try:
        one, other = (answers.get(timeout=HANG_S) for _ in processes)
    finally:
        for process in processes:
            process.join(10)
            process.kill()
    return {precision: [one[n], other[n]] for n, precision in enumerate(PRECISIONS)}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_zero_3_splits_the_reference_and_changes_none_of_its_answers(
    model: Path, split: dict[str, list[tuple[int, list[float]]]], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    whole, expected = ask(0, 1, free_port(), str(model), 0, precision)
    found = split[precision]
    assert sum(held for held, _ in found) <= 1.01 * whole
    assert max(held for held, _ in found) < 0.6 * whole
    for _, kl in found:
        assert kl == pytest.approx(expected, rel=2e-2 if precision == "autocast" else 2e-3, abs=1e-5)
