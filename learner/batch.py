"""Trajectories laid end to end: every per-token quantity of a batch is one flat vector.

N is the number of response tokens of the batch; trajectory i owns tokens
`starts[i]:starts[i] + lengths[i]`. There is no padding, so no reduction can count it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from stepcoder.learner.config import CreditConfig
from stepcoder.learner.masks import credit_mask
from stepcoder.rollout.trajectory import Trajectory


@dataclass(frozen=True, slots=True, eq=False)
class Turns:
    """T turns of B trajectories, in order; most trajectories have one.

    `owners`: whose they are. A turn owns the tokens `starts` to `ends` (excluded). `worths`: of their programs; NaN
    where nothing is paid at the turn's end.
    """

    owners: Int[Tensor, " T"]
    starts: Int[Tensor, " T"]
    ends: Int[Tensor, " T"]
    worths: Float[Tensor, " T"]

    @property
    def last(self) -> Bool[Tensor, " T"]:
        """Those with which a trajectory ends."""
        return self.owners != torch.cat([self.owners[1:], self.owners.new_full((1,), -1)])[: len(self.owners)]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What the loss needs of B trajectories with N response tokens in all.

    `generated`: tokens that the policy wrote, not what was put between turns. `rewards` are of whole trajectories.
    """

    trajectories: tuple[Trajectory, ...]
    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    sampler_logprobs: Float[Tensor, " N"]
    credit: Bool[Tensor, " N"]
    generated: Bool[Tensor, " N"]
    thinking: Bool[Tensor, " N"]
    rewards: Float[Tensor, " B"]
    turns: Turns

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    @property
    def written(self) -> tuple[int, ...]:
        """How many tokens of each trajectory the policy wrote."""
        return tuple(int(part.sum()) for part in self.per_sequence(self.generated))

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
        turns=_turns(trajectories, starts),
        rewards=torch.tensor([t.reward for t in trajectories], dtype=torch.float32),
    )


def _turns(trajectories: Sequence[Trajectory], starts: Sequence[int]) -> Turns:
    found = [
        (i, start + a, start + b, math.nan if worth is None else worth)
        for i, (t, start) in enumerate(zip(trajectories, starts, strict=True))
        for a, b, worth in [(u.start, u.end, u.worth) for u in t.turns] or [(0, len(t.response_ids), t.reward)]
    ]
    owners, begins, ends, worths = zip(*found, strict=True) if found else [()] * 4
    owners, begins, ends = (torch.tensor(column, dtype=torch.long) for column in (owners, begins, ends))
    return Turns(owners, begins, ends, torch.tensor(worths, dtype=torch.float32))


def token_positions(batch: Batch, indices: Sequence[int]) -> Int[Tensor, " M"]:
    """Flat positions of all tokens of the given trajectories, in that order."""
    spans = [torch.arange(batch.starts[i], batch.starts[i] + batch.lengths[i]) for i in indices]
    return torch.cat(spans) if spans else torch.zeros(0, dtype=torch.long)
