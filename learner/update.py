"""One step on one rank's share of the trajectories: score, weigh, update; the configuration chooses the algorithm.

Pure of Ray and of process groups: everything that ranks must agree on goes through `Reduce`. The loss of a
token is its weight times its term, with the weights normalised over all ranks, so that the result
does not depend on the split over micro-batches and ranks.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from stepcoder.learner.advantages import estimate
from stepcoder.learner.advantages.common import moments, scale, whiten, without_group_mean
from stepcoder.learner.advantages.completions import Completions
from stepcoder.learner.batch import Batch, build_batch, token_positions
from stepcoder.learner.config import (
    GAE,
    LearnerConfig,
    LearnerLogprobs,
    LossKL,
    MaskedTokens,
    Normalizer,
    Overlong,
    RewardKL,
)
from stepcoder.learner.config.advantage import Critic
from stepcoder.learner.config.kl import Penalty
from stepcoder.learner.kl import KL_ESTIMATORS, KLFactor
from stepcoder.learner.losses import policy_loss
from stepcoder.learner.losses.tokens import LossTokens, PolicyLoss
from stepcoder.learner.losses.weights import Totals, loss_weights, sampler_correction, value_clip
from stepcoder.learner.networks.networks import Networks, Scores
from stepcoder.learner.packing import Piece, Row
from stepcoder.learner.rewards import overlong_penalty
from stepcoder.learner.rows import level_rows, network_inputs
from stepcoder.learner.tally import Reduce, Tally
from stepcoder.learner.trained import Learned, trained
from stepcoder.rollout.trajectory import Trajectory


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


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Each token's weight in the three losses [N], zero outside the minibatch, normalised over all ranks."""

    policy: Float[Tensor, " N"]
    value: Float[Tensor, " N"]
    kl: Float[Tensor, " N"]


@dataclass(frozen=True, slots=True, eq=False)
class PolicyUpdate:
    """The networks with the settings that bind them."""

    networks: Networks
    config: LearnerConfig
    reduce: Reduce
    device: torch.device
    seed: int
    kl_factor: KLFactor = field(default_factory=KLFactor)

    def step(self, step: int, trajectories: Sequence[Trajectory]) -> Learned:
        """All updates of one step."""
        tally, seconds = Tally(), {}
        batch = build_batch(trajectories, self.config.credit, step=step, seed=self.seed)
        rows = self._rows(batch, range(len(batch.lengths)))
        with _timed(seconds, "score"):
            targets = self._targets(batch, rows, tally)
        updates = refused = 0
        with _timed(seconds, "update"):
            for epoch in range(self.config.epochs):
                for part in self._minibatches(batch, step, epoch):
                    shown = self._rows(batch, part)
                    if not shown:
                        continue  # no rank has a group for it
                    refused += not self._update(batch, targets, part, shown, tally, first=updates == 0)
                    updates += 1
        metrics = tally.means(self.reduce) | {f"seconds/learner_{k}": v for k, v in seconds.items()}
        computed = self.reduce.sum(torch.tensor([sum(r.input_ids.numel() for r in rows)], dtype=torch.float64))
        metrics["tokens/trained"] = float(computed)
        metrics["tokens_per_s/train"] = float(computed) / (sum(seconds.values()) or 1.0)
        if (kl := self.config.penalty) is not None and kl.target is not None:
            metrics["kl/coef"] = kl.coef * self.kl_factor.value
            if updates:
                self.kl_factor.follow(metrics["kl/reference"], kl.target, kl.gain)
        metrics["lr/policy"] = self.networks.policy.lr()
        metrics |= {"updates/refused": float(refused), "updates/total": float(updates)}
        used = trained(batch, targets.advantages, targets.seen, targets.reference, targets.old_values)
        return Learned(metrics, used)

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

    def _minibatches(self, batch: Batch, step: int, epoch: int) -> Iterator[list[int]]:
        """A random split of the groups, the same whenever (seed, step, epoch) is the same.

        Whole groups, so that a prompt is computed once in an epoch.
        """
        groups: dict[int, list[int]] = {}
        for i, t in enumerate(batch.trajectories):
            groups.setdefault(t.ticket, []).append(i)
        count, members = self.config.minibatches, list(groups.values())
        order = np.arange(len(members))
        if count > 1:
            np.random.default_rng([self.seed, step, epoch]).shuffle(order)
        for part in np.array_split(order, count):
            yield sorted(i for g in part for i in members[g])

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
        groups = tuple(t.ticket for t in batch.trajectories)
        penalties = self._penalties(batch, old, reference)
        advantages = estimate(c.advantage, Completions(self._rewards(batch), penalties, values, batch.lengths, groups))
        returns = None if values is None else advantages + values
        if c.advantage.normalize == "batch":
            total = self.reduce.sum(moments([advantages[batch.credit]]))
            advantages = (scale if c.advantage.centred else whiten)(advantages, total)
        if c.advantage.clip is not None:
            advantages = advantages.clamp(-c.advantage.clip, c.advantage.clip)
        if reference is not None:
            tally.add("kl/reference", (old - reference).sum(), batch.tokens)
        if values is not None and returns is not None:
            tally.add("value/error", (values - returns).abs().sum(), batch.tokens)
            tally.add("value/mean", values.sum(), batch.tokens)
        tally.add("executed_share", float(batch.credit.sum()), batch.tokens)
        untrusted = sum(not t.coverage_trusted for t in batch.trajectories)
        tally.add("coverage/untrusted_share", untrusted, len(batch.trajectories))
        completion = torch.arange(len(batch.lengths)).repeat_interleave(torch.tensor(batch.lengths, dtype=torch.long))
        correction = self._correction(batch, old, tally)
        seen = torch.full_like(old, torch.nan) if scores.logprobs is None else scores.logprobs.clone()
        return Targets(old, values, reference, advantages, returns, correction, completion, seen)

    def _rewards(self, batch: Batch) -> Float[Tensor, " B"]:
        """The completions' rewards with what `learner.reward` does to them, and less the group's if so configured."""
        r, rewards, advantage = self.config.reward, batch.rewards, self.config.advantage
        if isinstance(r.overlong, Overlong):
            rewards = rewards + overlong_penalty(batch.lengths, r.overlong)
        if r.normalize:
            rewards = whiten(rewards, self.reduce.sum(moments([rewards])))
        if r.clip is not None:
            rewards = rewards.clamp(-r.clip, r.clip)
        if isinstance(advantage, GAE) and advantage.reward_baseline == "group":
            rewards = without_group_mean(rewards, [t.ticket for t in batch.trajectories])
        return rewards

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
        correction = sampler_correction(
            old, batch.sampler_logprobs, c.importance_cap, c.importance_mask_low, c.importance_mask_high
        )
        if c.importance_cap is not None:
            tally.add("correction/capped_share", (correction >= c.importance_cap).sum(), batch.tokens)
        if c.importance_mask_low is not None or c.importance_mask_high is not None:
            tally.add("correction/masked_share", (correction == 0).sum(), batch.tokens)
        return correction

    def _update(
        self, batch: Batch, targets: Targets, part: Sequence[int], rows: Sequence[Row], tally: Tally, *, first: bool
    ) -> bool:
        """Gradients of one minibatch over its rows, then one update of each network; False when one was refused."""
        weights, finite = self._weights(batch, part), True
        for row in rows:
            finite = self._backward(batch, targets, weights, row, tally, first=first) and finite
        return self._apply(tally, refuse=self.reduce.max(int(not finite)) > 0)

    def _backward(
        self, batch: Batch, targets: Targets, weights: Weights, row: Row, tally: Tally, *, first: bool
    ) -> bool:
        """Gradients of one row; whether its losses were finite."""
        at, world, finite = row.flat, self.reduce.world, []

        def policy_loss(logprobs: Tensor, entropy: Tensor) -> Tensor:
            found = self._policy_loss(logprobs, targets, weights, at)
            loss, clipped = found.loss, found.clipped
            tally.add("policy/loss", loss.detach() * world, 0.0)
            if targets.reference is not None and isinstance(kl := self.config.kl, LossKL):
                kl_loss = self._kl_loss(kl, logprobs, targets.reference, weights, at)
                tally.add("kl/loss", kl_loss.detach() * world, 0.0)
                loss = loss + kl_loss
            targets.seen[at] = torch.where(targets.seen[at].isnan(), logprobs.detach().cpu(), targets.seen[at])
            counted = weights.policy[at] > 0
            tally.add("policy/clip_share", clipped[counted.to(clipped.device)].float().sum(), float(counted.sum()))
            tally.add("policy/entropy", entropy.sum(), len(at))
            if first:
                gap = (logprobs.detach().cpu() - batch.sampler_logprobs[at]).abs().sum()
                tally.add("gap/logprob_abs_mean", gap, len(at))
            finite.append(loss.isfinite())
            return loss * world

        def value_loss(values: Tensor) -> Tensor:
            critic = self.config.critic
            assert critic is not None
            loss = self._value_loss(critic.value_clip, values, targets, weights, at)
            tally.add("value/loss", loss.detach() * world, 0.0)
            finite.append(loss.isfinite())
            return loss * critic.loss_weight * world

        self.networks.backward(self._inputs(row), policy_loss, value_loss)
        return all(finite)

    def _apply(self, tally: Tally, refuse: bool) -> bool:
        """One update of each network with what `backward` has gathered; none where a loss was not finite."""
        for name in ("policy/loss", "kl/loss", "value/loss"):
            if name in tally.sums:
                tally.add(name, 0.0, 1.0)
        norms, applied = self.networks.update(refuse)
        for name, norm in norms.items():
            tally.add(f"grad_norm/{name}", norm)
        return applied

    def _policy_loss(
        self, logprobs: Float[Tensor, " M"], targets: Targets, weights: Weights, at: Int[Tensor, " M"]
    ) -> PolicyLoss:
        tokens = LossTokens(
            logprobs,
            targets.old_logprobs[at].to(self.device),
            targets.advantages[at].to(self.device),
            (weights.policy * targets.correction)[at].to(self.device),
            targets.completion[at].to(self.device),
        )
        return policy_loss(self.config.loss, tokens)

    def _kl_loss(
        self,
        kl: LossKL,
        logprobs: Float[Tensor, " M"],
        reference: Float[Tensor, " N"],
        weights: Weights,
        at: Int[Tensor, " M"],
    ) -> Tensor:
        per_token = KL_ESTIMATORS[kl.estimator](logprobs, reference[at].to(self.device))
        return kl.coef * self.kl_factor.value * (per_token * weights.kl[at].to(self.device)).sum()

    def _value_loss(
        self,
        clip: float | None,
        values: Float[Tensor, " M"],
        targets: Targets,
        weights: Weights,
        at: Int[Tensor, " M"],
    ) -> Tensor:
        assert targets.old_values is not None and targets.returns is not None
        return value_clip(
            values,
            targets.old_values[at].to(self.device),
            targets.returns[at].to(self.device),
            weights.value[at].to(self.device),
            clip,
        )

    def _weights(self, batch: Batch, part: Sequence[int]) -> Weights:
        c = self.config
        sequence = torch.cat(
            [torch.full((batch.lengths[i],), k) for k, i in enumerate(part)] or [torch.zeros(0).long()]
        )
        at = token_positions(batch, part)
        credit = batch.credit[at]
        everything = torch.ones_like(credit)

        def over(mask: Tensor, normalizer: Normalizer) -> Tensor:
            occupied = len(torch.unique(sequence[mask]))
            counts = torch.tensor([mask.sum(), len(mask), occupied, len(part)], dtype=torch.float64)
            totals = Totals(*self.reduce.sum(counts).tolist())
            flat = torch.zeros(batch.tokens)
            flat[at] = loss_weights(mask, sequence, normalizer, totals)
            return flat

        def choice(part: Critic | Penalty | None) -> Tensor:
            return credit if part is not None and part.mask == "executed" else everything

        return Weights(
            policy=over(credit, c.loss.normalizer),
            value=over(choice(c.critic), MaskedTokens()),
            kl=over(choice(c.penalty), c.loss.normalizer),
        )


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
