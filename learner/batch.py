"""Trajectories laid end to end: every per-token quantity of a batch is one flat vector.

N is the number of response tokens of the batch; trajectory i owns tokens
`starts[i]:starts[i] + lengths[i]`. There is no padding, so no reduction can count it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from stepcoder.learner.config import CreditConfig
from stepcoder.learner.masks import credit_mask
from stepcoder.rollout.trajectory import Trajectory


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What the loss needs of B trajectories with N response tokens in all.

    `generated`: tokens that the policy wrote, not what was put between turns. `rewards` are of whole trajectories; what
    of them came at the end of an earlier turn is in `turn_rewards`.
    """

    trajectories: tuple[Trajectory, ...]
    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    sampler_logprobs: Float[Tensor, " N"]
    credit: Bool[Tensor, " N"]
    generated: Bool[Tensor, " N"]
    thinking: Bool[Tensor, " N"]
    rewards: Float[Tensor, " B"]
    turn_rewards: Float[Tensor, " N"]

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    @property
    def written(self) -> tuple[int, ...]:
        """How many tokens of each trajectory the policy wrote."""
        return tuple(int(part.sum()) for part in self.per_sequence(self.generated))

    @property
    def earlier_rewards(self) -> Float[Tensor, " B"]:
        """What each trajectory got before its last turn ended."""
        return torch.tensor([float(part.sum()) for part in self.per_sequence(self.turn_rewards)], dtype=torch.float32)

    def per_sequence(self, flat: Tensor) -> list[Tensor]:
        """A flat [N] vector as one view a trajectory."""
        return [flat[s : s + n] for s, n in zip(self.starts, self.lengths, strict=True)]


def build_batch(trajectories: Sequence[Trajectory], rule: CreditConfig, *, step: int, seed: int) -> Batch:
    """Lay the trajectories out in the given order; `step` and `seed` make random credit reproducible."""

    def flat(field: Callable[[Trajectory], object], dtype: torch.dtype) -> Tensor:
        parts = [torch.as_tensor(field(t), dtype=dtype) for t in trajectories]
        return torch.cat(parts) if parts else torch.zeros(0, dtype=dtype)

    lengths = tuple(len(t.response_ids) for t in trajectories)
    starts, total = [], 0
    for n in lengths:
        starts.append(total)
        total += n
    return Batch(
        trajectories=tuple(trajectories),
        starts=tuple(starts),
        lengths=lengths,
        sampler_logprobs=flat(lambda t: t.logprobs, torch.float32),
        credit=flat(lambda t: credit_mask(t, rule, step=step, seed=seed), torch.bool),
        generated=flat(lambda t: t.sampled, torch.bool),
        thinking=flat(lambda t: t.thinking, torch.bool),
        turn_rewards=flat(lambda t: t.turn_rewards(), torch.float32),
        rewards=torch.tensor([t.reward for t in trajectories], dtype=torch.float32),
    )


def token_positions(batch: Batch, indices: Sequence[int]) -> Int[Tensor, " M"]:
    """Flat positions of all tokens of the given trajectories, in that order."""
    spans = [torch.arange(batch.starts[i], batch.starts[i] + batch.lengths[i]) for i in indices]
    return torch.cat(spans) if spans else torch.zeros(0, dtype=torch.long)
