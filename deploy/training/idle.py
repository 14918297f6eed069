"""What engines, executors and learner did between two steps, and what waits for them: as shares of the time."""

from stepcoder.rollout.load import Load


class Idle:
    """Since `now`, when the services had done `load`. Times are seconds."""

    def __init__(self, load: Load, now: float) -> None:
        self._load, self._at = load, now

    def see(self, load: Load, now: float, learner_s: float) -> dict[str, float]:
        """Metrics of the time since this was asked last. `learner_s`: of it, what the learner trained or sent weights.

        What a lost engine had done is missing from `load`: nothing is below 0 then.
        """
        before, span = self._load, max(now - self._at, 1e-9)
        self._load, self._at = load, now
        engines, slots = max(load.engines, 1), max(load.slots, 1)
        return {
            "idle/engines": _idle((load.busy_s - before.busy_s) / (span * engines)),
            "idle/executors": _idle((load.executing_s - before.executing_s) / (span * slots)),
            "idle/learner": _idle(learner_s / span),
            "queue/requests": max(load.requests_s - before.requests_s, 0.0) / (span * engines),
            "queue/judging": max(load.judging_s - before.judging_s, 0.0) / span,
            "queue/waiting": float(load.waiting),
        }


def _idle(busy: float) -> float:
    return min(max(1.0 - busy, 0.0), 1.0)
