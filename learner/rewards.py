"""What is done to rewards before advantages are computed, and what of them comes at the end of each turn."""

import torch
from jaxtyping import Float
from torch import Tensor

from stepcoder.learner.advantages.common import mean_of_others, moments, whiten
from stepcoder.learner.batch import Batch
from stepcoder.learner.config import Overlong, RewardConfig
from stepcoder.learner.tally import Reduce


def overlong_penalty(lengths: Tensor, rule: Overlong) -> Float[Tensor, " T"]:
    """0 up to `rule.start` tokens, -`rule.penalty` from `rule.end` tokens on, linear in between.

    R_length(y) = (start - |y|) / (end - start)   (DAPO, Yu et al. 2025, eq. 13, with start = L_max - L_cache and
    end = L_max)
    """
    start, end = rule.start, rule.end
    assert start is not None and end is not None, "the overlong penalty needs its lengths"
    over = (lengths.float() - start) / (end - start)
    return -rule.penalty * over.clamp(0, 1)


def turn_rewards(batch: Batch, rule: RewardConfig, reduce: Reduce, *, by_group: bool) -> Float[Tensor, " T"]:
    """The reward that comes at the last token of each turn; of a completion with one turn, its reward.

    Everything is done to what each program is worth, w_1, w_2, ..., with the length penalties up to it. The mean and
    deviation of `rule.normalize` and, `by_group`, the baseline b (the mean of the group's others) are those of last
    programs. A turn is paid for what it gained over the one before: w_1 - b, w_2 - w_1, ... . So the baseline counts
    once, in the first turn that is paid, and a turn that repairs nothing gains nothing.
    """
    turns = batch.turns
    worths, owners, last = turns.worths, turns.owners, turns.last
    if isinstance(rule.overlong, Overlong):
        worths = worths + _so_far(overlong_penalty(turns.ends - turns.starts, rule.overlong), last)
    if rule.normalize:
        worths = whiten(worths, reduce.sum(moments([worths[last]])))
    if rule.clip is not None:
        worths = worths.clamp(-rule.clip, rule.clip)
    if by_group:
        others = mean_of_others(worths[last], [t.ticket for t in batch.trajectories])
        worths = (worths.double() - others[owners]).float()
    found, paid = torch.zeros_like(worths), ~worths.isnan()
    gained, owner = worths[paid], owners[paid]
    gained[1:] -= torch.where(owner[1:] == owner[:-1], worths[paid][:-1], 0.0)
    found[paid] = gained
    return found


def _so_far(penalties: Float[Tensor, " T"], last: Tensor) -> Float[Tensor, " T"]:
    """The sum of a trajectory's penalties up to each turn."""
    sums, total = [], 0.0
    for penalty, ends in zip(penalties.tolist(), last.tolist(), strict=True):
        sums.append(total + penalty)
        total = 0.0 if ends else sums[-1]
    return torch.tensor(sums, dtype=penalties.dtype)
