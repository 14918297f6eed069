"""Is this run still learning? Pure checks of one step's numbers, for whoever runs the loop.

An update whose loss or gradient is not finite is refused by the learner itself (`learner.max_bad_steps`). What is
checked here is finite and wrong: a loss far above what it was, a policy far from the reference, an engine that does not
compute what the learner computes.

    guards = Guards(config.guards, earlier_steps)
    finding = guards.see(metrics)      # finding.metrics to log, finding.warnings to show, finding.stop to obey
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from stepcoder.learner.config import GuardsConfig
from stepcoder.words import plural

GAP, ALARM = "gap/logprob_abs_mean", "gap/alarm"
LOSSES = ("policy/loss", "value/loss")
WINDOW, FIRST = 20, 5  # steps that a loss is compared with, at most and at least
# The size of rewards and normalised advantages. A policy loss is often near 0, multiples of which say nothing.
LOSS_SIZE = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step's numbers say. `stop`: why the run must end and what to do, None to go on."""

    metrics: dict[str, float]
    warnings: tuple[str, ...] = ()
    stop: str | None = None


class Guards:
    """Remembers the last steps' losses and alarms; `history`: the metrics of steps before a resume, oldest first."""

    def __init__(self, config: GuardsConfig, history: Iterable[Mapping[str, Any]] = ()) -> None:
        self.config = config
        self._losses = {name: deque[float](maxlen=WINDOW) for name in LOSSES}
        self._alarms = 0
        for metrics in history:  # of its alarms nothing: the engines are new
            self._remember(metrics)

    def see(self, metrics: Mapping[str, Any]) -> Finding:
        """Check one step's metrics; those that are absent are not checked."""
        warnings, stops = [], []
        if stop := self._kl(metrics):
            stops.append(stop)
        stops += self._spikes(metrics)
        alarm = self._gap(metrics)
        if alarm:
            warnings.append(
                f"warning: {GAP} is {metrics[GAP]:.3g} nats, above learner.guards.max_gap {self.config.max_gap:g}: the "
                f"engines do not sample from the learner's policy (alarm {self._alarms} of {self.config.gap_alarms} in "
                "a row before the run stops)"
            )
        if self._alarms >= self.config.gap_alarms:
            stops.append(
                f"engine and learner disagreed by more than learner.guards.max_gap {self.config.max_gap:g} nats a "
                f"token in {plural(self._alarms, 'step')} in a row ({GAP} {metrics[GAP]:.3g}): what is learned from is "
                "not what the policy would write.\nThe weights in an engine may be damaged: the same command goes on "
                "from the checkpoint, with fresh engines. If it comes back, start a new run with max_staleness 0 or "
                "rollout.dtype float32, or raise the limit."
            )
        self._remember(metrics)
        measured = {ALARM: float(alarm)} if GAP in metrics else {}
        return Finding(measured, tuple(warnings), "\n".join(stops) or None)

    def _kl(self, metrics: Mapping[str, Any]) -> str | None:
        limit, kl = self.config.max_kl, metrics.get("kl/reference")
        if limit is None or kl is None or not kl > limit:
            return None
        return (
            f"the policy has left the reference: kl/reference is {kl:.3g} nats a token, above learner.guards.max_kl "
            f"{limit:g}.\nStart a new run from the exported checkpoint with a lower learner.policy.lr or a higher "
            "learner.kl.coef; or raise the limit and give the same command again."
        )

    def _spikes(self, metrics: Mapping[str, Any]) -> list[str]:
        factor, found = self.config.loss_spike, []
        for name, recent in self._losses.items():
            if factor is None or name not in metrics or len(recent) < FIRST:
                continue
            usual = max(LOSS_SIZE, median(recent))
            if abs(metrics[name]) > factor * usual:
                which = "policy" if name == "policy/loss" else "advantage.critic.optimizer"
                found.append(
                    f"{name} jumped to {metrics[name]:.3g}, more than learner.guards.loss_spike {factor:g} times its "
                    f"usual size of {usual:.3g}.\nStart a new run from the exported checkpoint with a lower "
                    f"learner.{which}.lr or max_grad_norm; or raise the limit and give the same command again."
                )
        return found

    def _gap(self, metrics: Mapping[str, Any]) -> bool:
        """Whether the gap is above its limit; counts how often in a row. A step without a gap changes nothing."""
        gap, limit = metrics.get(GAP), self.config.max_gap
        if gap is None or limit is None:
            return False
        alarm = not gap <= limit
        self._alarms = self._alarms + 1 if alarm else 0
        return alarm

    def _remember(self, metrics: Mapping[str, Any]) -> None:
        for name, recent in self._losses.items():
            value = float(metrics.get(name, math.nan))
            if math.isfinite(value):
                recent.append(abs(value))
