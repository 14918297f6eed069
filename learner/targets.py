"""What an update compares with, settled before its first gradient: old log-probabilities, values, advantages, returns.

Everything here is of the whole batch of this rank; what ranks must agree on goes through `Reduce`. Tokens that were put
between the turns of a completion are no choice of the policy: they are in no mean, and no estimator sees them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from stepcoder.learner.advantages import estimate
from stepcoder.learner.advantages.common import moments, scale, whiten
from stepcoder.learner.advantages.completions import Completions
from stepcoder.learner.batch import Batch
from stepcoder.learner.config import GAE, LearnerConfig, LearnerLogprobs, RewardKL
from stepcoder.learner.kl import KL_ESTIMATORS, KLFactor
from stepcoder.learner.losses.weights import sampler_correction, whole_completions
from stepcoder.learner.networks.networks import Networks, Scores
from stepcoder.learner.packing import Piece, Row
from stepcoder.learner.rewards import turn_rewards
from stepcoder.learner.rows import level_rows, network_inputs
from stepcoder.learner.tally import Reduce, Tally


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What the losses compare with, fixed for all updates of a step. All [N]; None where there is no such network."""

    old_logprobs: Float[Tensor, " N"]
    old_values: Float[Tensor, " N"] | None
    reference: Float[Tensor, " N"] | None
    advantages: Float[Tensor, " N"]
    returns: Float[Tensor, " N"] | None
    correction: Float[Tensor, " N"]
    completion: Int[Tensor, " N"]
    seen: Float[Tensor, " N"]  # the learner's log-probability when a token met the loss first; NaN before
    generated: Bool[Tensor, " N"]


@dataclass(frozen=True, slots=True, eq=False)
class Scoring:
    """The networks with the settings that bind them, and what they say before an update."""

    networks: Networks
    config: LearnerConfig
    reduce: Reduce
    device: torch.device
    seed: int
    kl_factor: KLFactor = field(default_factory=KLFactor)

    def _rows(self, batch: Batch, indices: Sequence[int]) -> list[Row]:
        """Rows of the given trajectories, as many on every rank."""
        groups: dict[tuple[int, int], list[int]] = {}
        for i in indices:
            t = batch.trajectories[i]
            groups.setdefault((t.ticket, t.weight_version), []).append(i)
        pieces = [
            Piece(
                batch.trajectories[members[0]].prompt_ids,
                tuple((batch.trajectories[i].response_ids, batch.starts[i]) for i in members),
            )
            for members in groups.values()
        ]
        return level_rows(pieces, self.config.token_budget, self.reduce)

    def _inputs(self, row: Row) -> tuple[Any, ...]:
        return network_inputs(row, self.device)

    @torch.no_grad()
    def _score(self, rows: Sequence[Row], size: int) -> Scores:
        """What the networks say of each response token before the update."""
        found: dict[str, Tensor] = {}
        for names, network in self.networks.passes(logprobs=not self.config.samples_are_old):
            found |= {name: torch.zeros(size) for name in names}
            for row in rows:
                for name, answer in zip(names, network(*self._inputs(row)), strict=False):
                    found[name][row.flat] = answer.float().cpu()
        return Scores(**found)

    def _targets(self, batch: Batch, rows: Sequence[Row], tally: Tally) -> Targets:
        c = self.config
        scores = self._score(rows, batch.tokens)
        values, reference = scores.values, scores.reference
        old = batch.sampler_logprobs if c.samples_are_old else scores.logprobs
        assert old is not None
        written, count = batch.generated, sum(batch.written)
        groups = tuple(t.ticket for t in batch.trajectories)
        penalties, rewards, last = self._penalties(batch, old, reference), self._rewards(batch), batch.turns.last
        penalties[batch.turns.ends[~last] - 1] += rewards[~last]
        completions = Completions(
            rewards[last],
            penalties[written],
            None if values is None else values[written],
            batch.written,
            groups,
        )
        advantages = torch.zeros(batch.tokens)
        advantages[written] = estimate(c.advantage, completions)
        returns = None if values is None else advantages + values
        if c.credit.thinking == "program":
            advantages = by_program(batch, advantages)
        if c.advantage.normalize == "batch":
            total = self.reduce.sum(moments([advantages[batch.credit]]))
            advantages = (scale if c.advantage.centred else whiten)(advantages, total)
        if c.advantage.clip is not None:
            advantages = advantages.clamp(-c.advantage.clip, c.advantage.clip)
        advantages = torch.where(written, advantages, torch.zeros_like(advantages))
        if reference is not None:
            tally.add("kl/reference", (old - reference)[written].sum(), count)
        if values is not None and returns is not None:
            tally.add("value/error", (values - returns).abs()[written].sum(), count)
            tally.add("value/mean", values[written].sum(), count)
        tally.add("executed_share", float(batch.credit.sum()), count)
        untrusted = sum(not t.coverage_trusted for t in batch.trajectories)
        tally.add("coverage/untrusted_share", untrusted, len(batch.trajectories))
        completion = torch.arange(len(batch.lengths)).repeat_interleave(torch.tensor(batch.lengths, dtype=torch.long))
        correction = self._correction(batch, old, tally)
        seen = torch.full_like(old, torch.nan) if scores.logprobs is None else scores.logprobs.clone()
        return Targets(old, values, reference, advantages, returns, correction, completion, seen, written)

    def _rewards(self, batch: Batch) -> Float[Tensor, " T"]:
        """What comes of the rewards at the end of each turn, less the group's if so configured."""
        advantage = self.config.advantage
        by_group = isinstance(advantage, GAE) and advantage.reward_baseline == "group"
        return turn_rewards(batch, self.config.reward, self.reduce, by_group=by_group)

    def _penalties(
        self, batch: Batch, old: Float[Tensor, " N"], reference: Float[Tensor, " N"] | None
    ) -> Float[Tensor, " N"]:
        """The KL penalty in each token's reward; zero if it is in the loss, or nowhere."""
        kl = self.config.kl
        if reference is None or not isinstance(kl, RewardKL):
            return torch.zeros(batch.tokens)
        penalties = -(kl.coef * self.kl_factor.value) * KL_ESTIMATORS[kl.estimator](old, reference)
        return penalties if kl.mask == "all" else torch.where(batch.credit, penalties, torch.zeros_like(penalties))

    def _correction(self, batch: Batch, old: Float[Tensor, " N"], tally: Tally) -> Float[Tensor, " N"]:
        """Weights for the gap between the engine's numbers and the learner's, and how many tokens they touch."""
        c = self.config.old_logprobs
        if not isinstance(c, LearnerLogprobs):
            return torch.ones_like(old)
        sampler = torch.where(batch.generated, batch.sampler_logprobs, old)  # of what it did not sample it says nothing
        correction = sampler_correction(old, sampler, c.importance_cap, c.importance_mask_low, c.importance_mask_high)
        count = sum(batch.written)
        if c.importance_cap is not None:
            tally.add("correction/capped_share", (correction >= c.importance_cap)[batch.generated].sum(), count)
        if c.importance_mask_low is not None or c.importance_mask_high is not None:
            tally.add("correction/masked_share", (correction == 0)[batch.generated].sum(), count)
        if c.sequence_mask_low is not None or c.sequence_mask_high is not None:
            gaps = [gap.sum() for gap in batch.per_sequence(old - sampler)]
            kept = whole_completions(gaps, batch.written, c.sequence_mask_low, c.sequence_mask_high)
            tally.add("correction/sequences_masked", (~kept).sum(), len(kept))
            correction = correction * kept.repeat_interleave(torch.tensor(batch.lengths, dtype=torch.long))
        return correction


def by_program(batch: Batch, advantages: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Thinking tokens get the mean advantage of their turn's program: of its other tokens in the credit mask, or where
    there are none, of all its other tokens."""
    found, answer = advantages.clone(), batch.generated & ~batch.thinking
    for start, end in zip(batch.turns.starts.tolist(), batch.turns.ends.tolist(), strict=True):
        own = slice(start, end)
        chosen = answer[own] & batch.credit[own]
        chosen = chosen if chosen.any() else answer[own]
        if chosen.any():
            found[own][batch.thinking[own]] = advantages[own][chosen].mean()
    return found
