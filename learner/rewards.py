"""What is done to a completion's reward before advantages are computed, and which groups are worth the time."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rollout.trajectory import Trajectory


def overlong_penalty(lengths: Sequence[int], start: int, end: int, size: float) -> Float[Tensor, " B"]:
    """0 up to `start` tokens, -size from `end` tokens on, linear in between.

    R_length(y) = (start - |y|) / (end - start)   (DAPO, Yu et al. 2025, eq. 13, with start = L_max - L_cache and
    end = L_max)
    """
    over = (torch.tensor(lengths, dtype=torch.float32) - start) / (end - start)
    return -size * over.clamp(0, 1)


def with_spread(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """Those of groups whose rewards are not all the same (DAPO, section 3.2): the others have no group-relative
    advantage and would only count in the normaliser."""
    rewards: dict[int, set[float]] = {}
    for t in trajectories:
        rewards.setdefault(t.ticket, set()).add(t.reward)
    return [t for t in trajectories if len(rewards[t.ticket]) > 1]
