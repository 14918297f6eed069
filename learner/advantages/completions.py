"""What an advantage estimator sees: whole groups of completions, before they are split into rows or minibatches."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Completions:
    """B completions with N tokens in all, laid end to end.

    `rewards` come at a completion's last token, `penalties` at every token: the KL penalty in the reward, else 0, and
    at the end of an earlier turn what that was paid. `groups[i]` names the subtask of completion i; a group is never
    spread over ranks, so that its statistics need no other rank. `values` are the critic's, if there is one.
    """

    rewards: Float[Tensor, " B"]
    penalties: Float[Tensor, " N"]
    values: Float[Tensor, " N"] | None
    lengths: tuple[int, ...]
    groups: tuple[int, ...]

    def spans(self) -> list[slice]:
        """The tokens of each completion."""
        found, at = [], 0
        for n in self.lengths:
            found.append(slice(at, at + n))
            at += n
        return found

    def scores(self) -> Float[Tensor, " B"]:
        """Reward and penalties of a whole completion, in double precision: equal rewards stay equal."""
        totals = [self.penalties[span].double().sum() for span in self.spans()]
        return self.rewards.double() + (torch.stack(totals) if totals else 0.0)

    def on_tokens(self, per_completion: Float[Tensor, " B"]) -> Float[Tensor, " N"]:
        """The same number at every token of a completion."""
        return per_completion.float().repeat_interleave(torch.tensor(self.lengths, dtype=torch.long))

    def members(self) -> Int[Tensor, " B"]:
        """The group of each completion, counted from 0."""
        return torch.unique(torch.tensor(self.groups, dtype=torch.long), return_inverse=True)[1]
