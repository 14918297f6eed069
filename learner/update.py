"""One step on one rank's share of the trajectories: score, weigh, update; the configuration chooses the algorithm.

Pure of Ray and of process groups: everything that ranks must agree on goes through `Reduce`. The loss of a
token is its weight times its term, with the weights normalised over all ranks, so that the result
does not depend on the split over micro-batches and ranks.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from stepcoder.learner.batch import Batch, build_batch, token_positions
from stepcoder.learner.config import LossKL, MaskedTokens, Normalizer
from stepcoder.learner.config.advantage import Critic
from stepcoder.learner.config.kl import Penalty
from stepcoder.learner.kl import KL_ESTIMATORS
from stepcoder.learner.losses import policy_loss
from stepcoder.learner.losses.tokens import LossTokens, PolicyLoss
from stepcoder.learner.losses.weights import Totals, loss_weights, value_clip
from stepcoder.learner.packing import Row
from stepcoder.learner.tally import Tally
from stepcoder.learner.targets import Scoring, Targets
from stepcoder.learner.trained import Learned, trained
from stepcoder.rollout.trajectory import Trajectory


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Each token's weight in the three losses [N], zero outside the minibatch, normalised over all ranks."""

    policy: Float[Tensor, " N"]
    value: Float[Tensor, " N"]
    kl: Float[Tensor, " N"]


@dataclass(frozen=True, slots=True, eq=False)
class PolicyUpdate(Scoring):
    """All updates of a step on one rank's share of the trajectories."""

    def step(self, step: int, trajectories: Sequence[Trajectory]) -> Learned:
        """All updates of one step."""
        tally, seconds, warming = Tally(), {}, step <= self.config.critic_warmup
        if (every := self.config.reference_reset) and step > 1 and (step - 1) % every == 0:
            self.networks.reset_reference()
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
                    refused += not self._update(batch, targets, part, shown, tally, Pass(updates == 0, not warming))
                    updates += 1
        metrics = tally.means(self.reduce) | {f"seconds/learner_{k}": v for k, v in seconds.items()}
        computed = self.reduce.sum(torch.tensor([sum(r.input_ids.numel() for r in rows)], dtype=torch.float64))
        metrics["tokens/trained"] = float(computed)
        metrics["tokens_per_s/train"] = float(computed) / (sum(seconds.values()) or 1.0)
        if (kl := self.config.penalty) is not None and kl.target is not None:
            metrics["kl/coef"] = kl.coef * self.kl_factor.value
            if updates and not warming:
                self.kl_factor.follow(metrics["kl/reference"], kl.target, kl.gain)
        metrics["lr/policy"] = 0.0 if warming else self.networks.policy.lr()
        metrics |= {"updates/refused": float(refused), "updates/total": float(updates)}
        used = trained(batch, targets.advantages, targets.seen, targets.reference, targets.old_values)
        return Learned(metrics, used)

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

    def _update(
        self, batch: Batch, targets: Targets, part: Sequence[int], rows: Sequence[Row], tally: Tally, this: "Pass"
    ) -> bool:
        """Gradients of one minibatch over its rows, then one update of each network; False when one was refused."""
        weights, finite = self._weights(batch, part), True
        for row in rows:
            finite = self._backward(batch, targets, weights, row, tally, this) and finite
        return self._apply(tally, this, refuse=self.reduce.max(int(not finite)) > 0)

    def _backward(self, batch: Batch, targets: Targets, weights: Weights, row: Row, tally: Tally, this: "Pass") -> bool:
        """Gradients of one row; whether its losses were finite."""
        at, world, finite = row.flat, self.reduce.world, []
        written = batch.generated[at]

        def policy_loss(logprobs: Tensor, entropy: Tensor) -> Tensor:
            found = self._policy_loss(logprobs, targets, weights, at)
            loss, clipped = found.loss, found.clipped
            tally.add("policy/loss", loss.detach() * world, 0.0)
            if targets.reference is not None and isinstance(kl := self.config.kl, LossKL):
                kl_loss = self._kl_loss(kl, logprobs, targets.reference, weights, at)
                tally.add("kl/loss", kl_loss.detach() * world, 0.0)
                loss = loss + kl_loss
            if (bonus := self.config.loss.entropy_bonus) > 0:
                loss = loss - bonus * (entropy * weights.policy[at].to(self.device)).sum()
            targets.seen[at] = torch.where(targets.seen[at].isnan(), logprobs.detach().cpu(), targets.seen[at])
            counted = weights.policy[at] > 0
            tally.add("policy/clip_share", clipped[counted.to(clipped.device)].float().sum(), float(counted.sum()))
            count = float(written.sum())
            tally.add("policy/entropy", entropy.detach().cpu()[written].sum(), count)
            if this.first:
                gap = (logprobs.detach().cpu() - batch.sampler_logprobs[at]).abs()
                tally.add("gap/logprob_abs_mean", gap[written].sum(), count)
            finite.append(loss.isfinite())
            return loss * world

        def value_loss(values: Tensor) -> Tensor:
            critic = self.config.critic
            assert critic is not None
            loss = self._value_loss(critic.value_clip, values, targets, weights, at)
            tally.add("value/loss", loss.detach() * world, 0.0)
            finite.append(loss.isfinite())
            return loss * critic.loss_weight * world

        self.networks.backward(self._inputs(row), policy_loss, value_loss, trains_policy=this.policy)
        return all(finite)

    def _apply(self, tally: Tally, this: "Pass", refuse: bool) -> bool:
        """One update of each network with what `backward` has gathered; none where a loss was not finite."""
        for name in ("policy/loss", "kl/loss", "value/loss"):
            if name in tally.sums:
                tally.add(name, 0.0, 1.0)
        norms, applied = self.networks.update(refuse, trains_policy=this.policy)
        for name, norm in norms.items():
            tally.add(f"grad_norm/{name}", norm)
        return applied

    def _policy_loss(
        self, logprobs: Float[Tensor, " M"], targets: Targets, weights: Weights, at: Int[Tensor, " M"]
    ) -> PolicyLoss:
        """Of the tokens that the policy wrote: no ratio of a completion sees what was put between its turns."""
        written = targets.generated[at]
        chosen = at[written]
        tokens = LossTokens(
            logprobs[written.to(self.device)],
            targets.old_logprobs[chosen].to(self.device),
            targets.advantages[chosen].to(self.device),
            (weights.policy * targets.correction)[chosen].to(self.device),
            targets.completion[chosen].to(self.device),
        )
        found = policy_loss(self.config.loss, tokens)
        clipped = torch.zeros(len(at), dtype=torch.bool, device=found.clipped.device)
        clipped[written.to(clipped.device)] = found.clipped
        return PolicyLoss(found.loss, clipped)

    def _kl_loss(
        self,
        kl: LossKL,
        logprobs: Float[Tensor, " M"],
        reference: Float[Tensor, " N"],
        weights: Weights,
        at: Int[Tensor, " M"],
    ) -> Tensor:
        """Of the tokens with weight: of what was told between turns an exponential may be infinite."""
        counted = weights.kl[at] > 0
        chosen = at[counted]
        per_token = KL_ESTIMATORS[kl.estimator](logprobs[counted.to(self.device)], reference[chosen].to(self.device))
        return kl.coef * self.kl_factor.value * (per_token * weights.kl[chosen].to(self.device)).sum()

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
        credit, everything = batch.credit[at], batch.generated[at]

        def over(mask: Tensor, normalizer: Normalizer) -> Tensor:
            occupied = len(torch.unique(sequence[mask]))
            counts = torch.tensor([mask.sum(), everything.sum(), occupied, len(part)], dtype=torch.float64)
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


@dataclass(frozen=True, slots=True)
class Pass:
    """Over one minibatch: whether it is the step's first, and whether the policy learns from it."""

    first: bool = True
    policy: bool = True


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
