"""Trajectories and learners for tests: tiny random models, made-up completions, real DeepSpeed."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from transformers import AutoModelForCausalLM

from stepcoder.executor.report import Verdict
from stepcoder.learner.config import (
    GAE,
    LearnerConfig,
    LoRAConfig,
    OptimizerConfig,
    ParallelConfig,
    RewardKL,
    SeparateCritic,
    SharedCritic,
)
from stepcoder.learner.networks.engine import TrainedModel
from stepcoder.learner.rank import LearnerRank
from stepcoder.learner.service import LearnerService
from stepcoder.rollout.trajectory import Trajectory
from tests.tools.ports import free_port

LORA = LoRAConfig(rank=4)
SHARED = GAE(critic=SharedCritic())


def make_groups(groups: int = 3, completions: int = 4, seed: int = 0, vocabulary: int = 300) -> list[list[Trajectory]]:
    """Groups of completions with uneven lengths, rewards of both signs and ragged execution masks."""
    draw = np.random.default_rng(seed)
    found = []
    for g in range(groups):
        prompt = draw.integers(3, vocabulary, size=int(draw.integers(4, 12))).astype(np.int32)
        members = []
        for k in range(completions):
            n = int(draw.integers(1, 14))
            members.append(
                Trajectory(
                    ticket=g,
                    sample=k,
                    problem_id=f"p{g}",
                    level="introductory",
                    stage=0,
                    prompt_ids=prompt,
                    response_ids=draw.integers(3, vocabulary, size=n).astype(np.int32),
                    logprobs=(-5 + draw.normal(size=n)).astype(np.float32),
                    executed=draw.random(n) < 0.7,
                    code=np.ones(n, bool),
                    token_lines=np.ones(n, np.int32),
                    error_line=None,
                    reward=float(draw.choice([1.0, -0.3, -0.6])),
                    verdict=Verdict.PASSED,
                    finish_reason="eos",
                    weight_version=0,
                    program="",
                )  # fmt: skip
            )
        found.append(members)
    return found


def with_critic(**changes: Any) -> GAE:
    """GAE with a critic of its own that moves visibly in a step too."""
    return GAE(**({"critic": SeparateCritic(optimizer=OptimizerConfig(lr=1e-2))} | changes))


def learner_config(**changes: object) -> LearnerConfig:
    """fp32, rates that move a tiny model visibly in a step."""
    fields: dict[str, object] = dict(
        precision="fp32", token_budget=256, policy=OptimizerConfig(lr=1e-2), advantage=with_critic(), kl=RewardKL()
    )  # fmt: skip
    return LearnerConfig(**(fields | changes))  # type: ignore[arg-type]


def make_rank(model: Path, config: LearnerConfig, seed: int = 0) -> LearnerRank:
    """One learner in this process (DeepSpeed keeps one process group a process: they share it)."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    rank = LearnerRank(0, 1, str(model), config, seed=seed, total_updates=100, temperature=1.0, cuda=False)
    rank.build("127.0.0.1", free_port())
    return rank


def train(
    model: Path, out: Path, config: LearnerConfig, steps: list[list[list[Trajectory]]]
) -> tuple[dict[str, float], list[dict[str, float]], dict[str, torch.Tensor]]:
    """Real learner processes over Ray, one step for each list of groups: what was built, metrics, policy weights."""

    async def run() -> tuple[dict[str, float], list[dict[str, float]]]:
        service = LearnerService(str(model), config, seed=0, total_updates=100, temperature=1.0)
        try:
            built = await service.build()
            found = []
            for step, groups in enumerate(steps, 1):
                sizes = [sum(len(t.response_ids) for t in group) for group in groups]
                found.append(await service.step(step, [ray.put(group) for group in groups], sizes))
            out.mkdir()
            await service.save(str(out))
            return built, found
        finally:
            service.close()

    built, metrics = asyncio.run(run())
    saved = AutoModelForCausalLM.from_pretrained(out / "policy", dtype=torch.float32)
    return built, metrics, {name: p.detach() for name, p in saved.named_parameters()}


def plain_ppo(logprobs, values, rewards, lengths, clip=0.2, gamma=1.0, lam=0.95):
    """Plain PPO's policy and value loss, token means, one update: no curriculum, no mask, no KL."""
    old, advantages, at = logprobs.detach(), [], 0
    for reward, n in zip(rewards, lengths, strict=True):
        v = values[at : at + n]
        nxt = torch.cat([v[1:], torch.zeros(1)])
        r = torch.zeros(n)
        r[-1] = reward
        delta = (r + gamma * nxt - v).tolist()
        a, running = [0.0] * n, 0.0
        for t in reversed(range(n)):
            running = delta[t] + gamma * lam * running
            a[t] = running
        advantages.append(torch.tensor(a))
        at += n
    adv = torch.cat(advantages)
    share = torch.full((len(adv),), 1.0 / len(adv))
    value_loss = ((values - (adv + values)).square() * share).sum()
    x = adv.double()
    mean = float(x.sum()) / len(x)
    std = max(float(x.square().sum()) / len(x) - mean * mean, 0.0) ** 0.5
    adv = ((x - mean) / (std + 1e-8)).float()
    ratio = torch.exp(logprobs - old)
    surrogate = torch.minimum(ratio * adv, torch.clamp(ratio, 1 - clip, 1 + clip) * adv)
    return -(surrogate * share).sum(), value_loss


def full_weights(rank: LearnerRank) -> dict[str, torch.Tensor]:
    """What the engines would be sent."""
    return {name: tensor.clone() for name, tensor in rank._full_weights()}


def loaded(folder: Path) -> dict[str, torch.Tensor]:
    saved = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return {name: p.detach() for name, p in saved.named_parameters()}


def partition_everything(settings: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """DeepSpeed leaves tensors of a tiny model's size whole under ZeRO 3, so that nothing would be gathered."""

    def partitioned(self: TrainedModel, config: ParallelConfig) -> dict[str, Any]:
        found = settings(self, config)
        found["zero_optimization"]["stage3_param_persistence_threshold"] = 0
        return found

    return partitioned
