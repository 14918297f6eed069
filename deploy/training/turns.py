"""Learner and engines in turns on the same GPUs: an engine sleeps while the learner trains.

    await turns.train(deadline)                  # engines free weights and cache; then the learner may train
    await turns.publish(exchange, version, ...)  # memory for weights, the weights, memory for the cache

Invariant: an engine that has slept is asked for nothing until it has new weights, since its own are lost.
"""

from dataclasses import dataclass

from stepcoder.deploy.training.exchange import Exchange
from stepcoder.rollout.service import RolloutService
from stepcoder.waiting import within


@dataclass(frozen=True, slots=True)
class Turns:
    """`rollout`: the engines that sleep; None where nobody has to. `why`: of the placement, for people."""

    rollout: RolloutService | None = None
    why: str = ""

    async def train(self, deadline_s: float) -> None:
        """Before a step of the learner."""
        if self.rollout is not None and not self.rollout.asleep:
            await within(deadline_s, "the engines to free their GPUs", self.rollout.sleep())

    async def publish(self, exchange: Exchange, version: int, deadline_s: float) -> None:
        """The learner's weights, as `version`, to engines that are awake after it. `deadline_s`: of waking."""
        rollout = self.rollout if self.rollout is not None and self.rollout.asleep else None
        if rollout is not None:
            await within(deadline_s, "the engines to take memory for their weights", rollout.wake("weights"))
        await exchange.publish(version)
        if rollout is not None:
            await within(deadline_s, "the engines to take memory for their caches", rollout.wake("kv_cache"))
