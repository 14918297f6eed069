"""What engines, executors and learner did between two steps, and what waits for them: as shares of the time."""

from collections.abc import Mapping

from stepcoder.rollout.load import Load


class Idle:
    """`slots`: programs that the executors run at once. Times are seconds."""

    def __init__(self, engines: int, slots: int, load: Load, now: float) -> None:
        self._engines, self._slots = engines, slots
        self._load, self._at = load, now

    def see(self, load: Load, now: float, learner_s: float) -> Mapping[str, float]:
        """Metrics of the time since this was asked last. `learner_s`: of it, what the learner trained or sent weights.

        Of services that were started anew in between the time before is missing: nothing is then below 0.
        """
        before, span = self._load, max(now - self._at, 1e-9)
        self._load, self._at = load, now
        return {
            "idle/engines": _idle((load.busy_s - before.busy_s) / (span * self._engines)),
            "idle/executors": _idle((load.executing_s - before.executing_s) / (span * self._slots)),
            "idle/learner": _idle(learner_s / span),
            "queue/requests": max(load.requests_s - before.requests_s, 0.0) / (span * self._engines),
            "queue/judging": max(load.judging_s - before.judging_s, 0.0) / span,
            "queue/waiting": load.waiting,
        }


def _idle(busy: float) -> float:
    return min(max(1.0 - busy, 0.0), 1.0)
