"""One PPO step on one rank's share of the trajectories: score, weigh, update.

Pure of Ray and of process groups: everything that ranks must agree on goes through `Reduce`. The loss of a
token is its weight times its term, with the weights normalised over all ranks, so that the result
does not depend on the split over micro-batches and ranks.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from learner.advantages import gae, moments, token_rewards, whiten, without_group_mean
from learner.batch import Batch, build_batch, token_positions
from learner.config import LearnerConfig
from learner.engine import TrainedModel
from learner.losses import Totals, loss_weights, ppo_clip, value_clip
from learner.masks import CreditRule
from learner.models import Policy
from learner.packing import Piece, Row, pack
from rollout.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class Reduce:
    """What ranks do together. `sum` adds a float64 vector over the ranks, `max` takes the largest integer."""

    world: int
    sum: Callable[[Tensor], Tensor]
    max: Callable[[int], int]


@dataclass(slots=True)
class Tally:
    """Means that are exact over ranks: sums and counts, reduced once at the end of a step."""

    sums: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, total: float | Tensor, count: float = 1.0) -> None:
        entry = self.sums.setdefault(name, [0.0, 0.0])
        entry[0] += float(total)
        entry[1] += count

    def means(self, reduce: Reduce) -> dict[str, float]:
        names = sorted(self.sums)
        total = reduce.sum(torch.tensor([self.sums[n] for n in names], dtype=torch.float64).flatten()).view(-1, 2)
        return {n: float(s / c) if c else 0.0 for n, (s, c) in zip(names, total.tolist(), strict=True)}


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What the losses compare with, fixed for all updates of a step. All [N]."""

    old_logprobs: Float[Tensor, " N"]
    old_values: Float[Tensor, " N"]
    advantages: Float[Tensor, " N"]
    returns: Float[Tensor, " N"]
    correction: Float[Tensor, " N"]


@dataclass(frozen=True, slots=True, eq=False)
class PPOUpdate:
    """Policy, critic and reference with the settings that bind them."""

    policy: TrainedModel
    critic: TrainedModel
    reference: Policy | None
    config: LearnerConfig
    reduce: Reduce
    device: torch.device
    seed: int

    def step(self, step: int, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """All updates of one step; metrics are equal on every rank."""
        tally, seconds = Tally(), {}
        rule = CreditRule(self.config.credit.tokens, self.config.credit.compile_error)
        batch = build_batch(trajectories, rule, step=step, seed=self.seed)
        rows = self._rows(batch, range(len(batch.lengths)))
        with _timed(seconds, "score"):
            targets = self._targets(batch, rows, tally)
        updates = refused = 0
        with _timed(seconds, "update"):
            for epoch in range(self.config.ppo.epochs):
                for part in self._minibatches(batch, step, epoch):
                    refused += not self._update(batch, targets, part, tally, first=updates == 0)
                    updates += 1
        metrics = tally.means(self.reduce) | {f"seconds/learner_{k}": v for k, v in seconds.items()}
        computed = self.reduce.sum(torch.tensor([sum(r.input_ids.numel() for r in rows)], dtype=torch.float64))
        metrics["tokens/trained"] = float(computed)
        metrics["tokens_per_s/train"] = float(computed) / (sum(seconds.values()) or 1.0)
        metrics |= {"lr/policy": self.policy.lr(), "updates/refused": float(refused), "updates/total": float(updates)}
        return metrics

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
        rows = pack(pieces, self.config.token_budget)
        return rows + [_idle_row()] * (self.reduce.max(len(rows)) - len(rows))

    def _minibatches(self, batch: Batch, step: int, epoch: int) -> Iterator[list[int]]:
        """A random split of the groups, the same whenever (seed, step, epoch) is the same.

        Whole groups, so that a prompt is computed once in an epoch.
        """
        groups: dict[int, list[int]] = {}
        for i, t in enumerate(batch.trajectories):
            groups.setdefault(t.ticket, []).append(i)
        count, members = self.config.ppo.minibatches, list(groups.values())
        order = np.arange(len(members))
        if count > 1:
            np.random.default_rng([self.seed, step, epoch]).shuffle(order)
        for part in np.array_split(order, count):
            yield sorted(i for g in part for i in members[g])

    def _inputs(self, row: Row) -> tuple[Tensor, ...]:
        tensors = (row.input_ids, row.position_ids, row.attention_mask(), row.select)
        return tuple(t.to(self.device) for t in tensors)

    @torch.no_grad()
    def _score(
        self, network: Callable[..., Tensor | tuple[Tensor, ...]], rows: Sequence[Row], size: int, *, tokens: bool
    ) -> Tensor:
        """One number a response token, [N], without gradients."""
        out = torch.zeros(size)
        for row in rows:
            answer = network(*self._inputs(row), *((row.targets.to(self.device),) if tokens else ()))
            out[row.flat] = (answer[0] if isinstance(answer, tuple) else answer).float().cpu()
        return out

    def _targets(self, batch: Batch, rows: Sequence[Row], tally: Tally) -> Targets:
        c = self.config
        old = batch.sampler_logprobs
        if c.ppo.old_logprobs == "learner":
            old = self._score(self.policy, rows, batch.tokens, tokens=True)
        values = self._score(self.critic, rows, batch.tokens, tokens=False)
        reference = None if self.reference is None else self._score(self.reference, rows, batch.tokens, tokens=True)
        advantages = torch.zeros(batch.tokens)
        episode = batch.rewards
        if c.ppo.reward_baseline == "group":
            episode = without_group_mean(episode, [t.ticket for t in batch.trajectories])
        for s, n, reward in zip(batch.starts, batch.lengths, episode, strict=True):
            span = slice(s, s + n)
            rewards = token_rewards(old[span], None if reference is None else reference[span], reward, c.kl.coef)
            advantages[span] = gae(rewards, values[span], c.ppo.gamma, c.ppo.lam)
        returns = advantages + values
        if c.ppo.normalize_advantage:
            total = self.reduce.sum(moments([advantages[batch.credit]]))
            advantages = whiten(advantages, total)
        if c.ppo.advantage_clip is not None:
            advantages = advantages.clamp(-c.ppo.advantage_clip, c.ppo.advantage_clip)
        if reference is not None:
            tally.add("kl/reference", (old - reference).sum(), batch.tokens)
        tally.add("value/error", (values - returns).abs().sum(), batch.tokens)
        tally.add("value/mean", values.sum(), batch.tokens)
        tally.add("executed_share", float(batch.credit.sum()), batch.tokens)
        return Targets(
            old, values, advantages, returns, sampler_correction(old, batch.sampler_logprobs, c.ppo.importance_cap)
        )

    def _update(self, batch: Batch, targets: Targets, part: Sequence[int], tally: Tally, *, first: bool) -> bool:
        """Gradients of one minibatch over its rows, then one update of both networks; False when one was refused."""
        c = self.config
        policy_weights, value_weights = self._weights(batch, part)
        for row in self._rows(batch, part):
            inputs = self._inputs(row)
            at = row.flat
            logprobs, entropy = self.policy(*inputs, row.targets.to(self.device))
            loss, clipped = ppo_clip(
                logprobs,
                targets.old_logprobs[at].to(self.device),
                targets.advantages[at].to(self.device),
                (policy_weights * targets.correction)[at].to(self.device),
                c.ppo.clip_low,
                c.ppo.clip_high,
            )
            self.policy.backward(loss * self.reduce.world)
            values = self.critic(*inputs)
            value_loss = value_clip(
                values,
                targets.old_values[at].to(self.device),
                targets.returns[at].to(self.device),
                value_weights[at].to(self.device),
                c.critic.value_clip,
            )
            self.critic.backward(value_loss * c.critic.loss_weight * self.reduce.world)
            tally.add("policy/loss", loss.detach() * self.reduce.world, 0.0)
            tally.add("value/loss", value_loss.detach() * self.reduce.world, 0.0)
            tally.add(
                "policy/clip_share",
                clipped[policy_weights[at] > 0].float().sum(),
                float((policy_weights[at] > 0).sum()),
            )
            tally.add("policy/entropy", entropy.sum(), len(at))
            if first:
                tally.add(
                    "gap/logprob_abs_mean", (logprobs.detach().cpu() - batch.sampler_logprobs[at]).abs().sum(), len(at)
                )
        policy_norm, policy_applied = self.policy.update()
        critic_norm, critic_applied = self.critic.update()
        for name in ("policy/loss", "value/loss"):
            tally.add(name, 0.0, 1.0)
        tally.add("grad_norm/policy", policy_norm)
        tally.add("grad_norm/critic", critic_norm)
        return policy_applied and critic_applied

    def _weights(self, batch: Batch, part: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Loss weights [N] of policy and critic, zero outside `part`, normalised over all ranks."""
        c = self.config
        sequence = torch.cat(
            [torch.full((batch.lengths[i],), k) for k, i in enumerate(part)] or [torch.zeros(0).long()]
        )
        at = token_positions(batch, part)
        credit = batch.credit[at]
        values_mask = credit if c.critic.mask == "executed" else torch.ones_like(credit)
        weights = []
        for mask, normalizer in ((credit, c.ppo.normalizer), (values_mask, "masked_tokens")):
            occupied = len(torch.unique(sequence[mask]))
            counts = self.reduce.sum(torch.tensor([mask.sum(), len(mask), occupied], dtype=torch.float64)).tolist()
            flat = torch.zeros(batch.tokens)
            flat[at] = loss_weights(mask, sequence, normalizer, Totals(*counts))
            weights.append(flat)
        return weights[0], weights[1]


def sampler_correction(
    old: Float[Tensor, " N"], sampler: Float[Tensor, " N"], cap: float | None
) -> Float[Tensor, " N"]:
    """Truncated importance weights min(pi_old / pi_sampler, cap): what was sampled came from the engine's numbers,
    which are those of another kernel and, with max_staleness 1, of older weights."""
    return torch.ones_like(old) if cap is None else torch.exp(old - sampler).clamp(max=cap)


def _idle_row() -> Row:
    """A row that scores nothing, for a rank that has run out while others compute."""
    one, none = torch.zeros(1, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    return Row(one[None], one[None], one, one, none, none, none)


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
