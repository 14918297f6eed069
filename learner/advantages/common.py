"""From rewards and values to advantages. Pure functions over flat vectors of one batch."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor


def token_rewards(penalties: Float[Tensor, " R"], reward: float | Tensor) -> Float[Tensor, " R"]:
    """The completion's reward on its last token, and a penalty on every token.

    r_t = -beta KL_t + [t = last] R   (Ziegler et al. 2019, eq. 2; StepCoder, section 3.1)
    """
    rewards = penalties.clone()
    rewards[-1] += reward
    return rewards


def group_mean(scores: Float[Tensor, " B"], members: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
    """The mean of each one's group; `members` are the groups' numbers, from 0."""
    size = int(members.max()) + 1 if len(members) else 0
    total = torch.zeros(size, dtype=scores.dtype).index_add_(0, members, scores)
    return (total / torch.bincount(members, minlength=size))[members]


def mean_of_others(rewards: Float[Tensor, " B"], groups: Sequence[int]) -> Float[Tensor, " B"]:
    """The mean of each one's group without itself, in double precision; 0 for a completion alone in its group.

    Of equal rewards it is exactly their value.
    """
    rewards = rewards.double()
    index = torch.unique(torch.tensor(groups), return_inverse=True)[1]
    size = int(index.max()) + 1 if len(groups) else 0
    count = torch.bincount(index, minlength=size).to(rewards.dtype)[index]
    total = torch.zeros(size, dtype=rewards.dtype).index_add_(0, index, rewards)[index]
    return torch.where(count > 1, (total - rewards) / (count - 1).clamp(min=1), torch.zeros_like(rewards))


def without_group_mean(rewards: Float[Tensor, " B"], groups: Sequence[int]) -> Float[Tensor, " B"]:
    """Each reward less the mean of the others of its group; a completion alone in its group keeps its reward.

    R_i - 1/(k-1) sum_{j != i} R_j   (RLOO; Ahmadian et al. 2024): unbiased, since R_i is not in its own baseline.
    """
    return (rewards.double() - mean_of_others(rewards, groups)).to(rewards.dtype)


def gae(rewards: Float[Tensor, " R"], values: Float[Tensor, " R"], gamma: float, lam: float) -> Float[Tensor, " R"]:
    """Generalised advantage estimation over one sequence that ends after its last token.

    delta_t = r_t + gamma V_{t+1} - V_t,  A_t = delta_t + gamma lambda A_{t+1}   (Schulman et al. 2016, eq. 16)
    """
    following = torch.cat([values[1:], values.new_zeros(1)])
    deltas = (rewards + gamma * following - values).tolist()
    running, out = 0.0, [0.0] * len(deltas)
    for t in range(len(deltas) - 1, -1, -1):
        running = deltas[t] + gamma * lam * running
        out[t] = running
    return torch.tensor(out, dtype=values.dtype)


def moments(vectors: Sequence[Tensor]) -> Float[Tensor, "3"]:
    """Count, sum and sum of squares: what ranks add up before they normalise."""
    x = torch.cat([v.double() for v in vectors]) if vectors else torch.zeros(0, dtype=torch.float64)
    return torch.stack([torch.tensor(float(x.numel()), dtype=torch.float64), x.sum(), x.square().sum()])


def whiten(advantages: Float[Tensor, " N"], total: Float[Tensor, "3"], eps: float = 1e-8) -> Float[Tensor, " N"]:
    """Shift and scale by the mean and deviation behind `total` (see `moments`); all zero when there is no spread."""
    count, s, ss = total.tolist()
    if count == 0:
        return advantages
    mean = s / count
    deviation = max(ss / count - mean * mean, 0.0) ** 0.5
    return ((advantages.double() - mean) / (deviation + eps)).to(advantages.dtype)


def scale(advantages: Float[Tensor, " N"], total: Float[Tensor, "3"], eps: float = 1e-8) -> Float[Tensor, " N"]:
    """Divide by the root mean square behind `total` (see `moments`); 0 stays 0 and every sign stays.

    For advantages that are centred by group. Their mean over *tokens* is not 0, since completions that fail are longer
    than those that pass: to subtract it would pay all completions of a group in which none is better.
    """
    count, _, squares = total.tolist()
    if count == 0:
        return advantages
    return (advantages.double() / ((squares / count) ** 0.5 + eps)).to(advantages.dtype)
