"""Several learner processes over gloo against one: the same step, whatever the split."""

import asyncio
from pathlib import Path

import pytest
import ray
import torch
from transformers import AutoModelForCausalLM

from learner.service import LearnerService
from tests.learner_tools import learner_config, make_groups
from tests.tiny_model import build_tiny_model


@pytest.fixture(scope="module")
def cluster():
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def three_steps(
    model: Path, out: Path, ranks: int, zero_stage: int
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    async def run() -> list[dict[str, float]]:
        config = learner_config(ranks=ranks, zero_stage=zero_stage)
        service = LearnerService(str(model), config, seed=0, total_updates=10, temperature=1.0)
        try:
            await service.build()
            found = []
            for step in (1, 2, 3):
                groups = make_groups(seed=step)  # three groups: two ranks get uneven shares
                sizes = [sum(len(t.response_ids) for t in group) for group in groups]
                found.append(await service.step(step, [ray.put(group) for group in groups], sizes))
            out.mkdir()
            await service.save(str(out))
            return found
        finally:
            service.close()

    metrics = asyncio.run(run())
    saved = AutoModelForCausalLM.from_pretrained(out / "policy", dtype=torch.float32)
    return metrics, {name: p.detach() for name, p in saved.named_parameters()}


def test_two_ranks_and_every_zero_stage_equal_one_rank(cluster, tmp_path: Path):
    model = build_tiny_model(tmp_path / "model")
    start = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).state_dict()
    expected, weights = three_steps(model, tmp_path / "one", ranks=1, zero_stage=0)
    assert any(not torch.equal(start[name], p) for name, p in weights.items())
    for stage in (0, 2, 3):
        metrics, found = three_steps(model, tmp_path / f"two-{stage}", ranks=2, zero_stage=stage)
        for ours, theirs in zip(metrics, expected, strict=True):
            for key in ("policy/loss", "value/loss", "kl/reference", "executed_share", "policy/entropy", "value/error"):
                assert ours[key] == pytest.approx(theirs[key], rel=2e-3, abs=1e-5), (stage, key)
            assert ours["grad_norm/policy"] == pytest.approx(theirs["grad_norm/policy"], rel=2e-3), stage
        for name, p in found.items():
            # Adam divides by the gradient's size: where that is near zero, rounding moves a weight by up to a step
            moved = (weights[name] - start[name]).norm()
            assert (p - weights[name]).norm() <= 0.02 * moved, (stage, name)
