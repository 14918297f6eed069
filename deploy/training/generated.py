"""One step's groups, and what the driver can say of them without touching a token."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stepcoder.deploy.training.unjudged import parted
from stepcoder.deploy.training.window import Written
from stepcoder.rollout.service import IssuedGroup
from stepcoder.rollout.trajectory import Unjudged


@dataclass(frozen=True, slots=True)
class Generated:
    """Groups in the order of their tickets, seconds that they took, groups that could not be judged.

    `stream`: what is under way beside them, as metrics.
    """

    groups: list[IssuedGroup]
    seconds: float
    lost: Sequence[Unjudged] = ()
    stream: Mapping[str, float] = field(default_factory=dict)

    @property
    def tried(self) -> int:
        """Subtasks that were written for."""
        return len(self.groups) + len(self.lost)


def generated(written: Sequence[Written], last: float, now: float, stream: Mapping[str, int]) -> Generated:
    """`last`: when the step before was taken. A step takes the time since then, or since its first subtask was sent."""
    groups, lost = parted([item.group for item in written])
    since = max(last, min(item.sent for item in written))
    age = sum(now - item.came for item in written) / len(written)
    counts = {name: float(count) for name, count in stream.items()}
    return Generated(groups, now - since, lost, counts | {"age/finished_s": age})


def rollout_metrics(groups: Sequence[IssuedGroup], step: int, seconds: float) -> dict[str, float]:
    """What the driver can say of a step's completions without touching a token."""
    summaries = [g.summary for g in groups]
    total = sum(s.outcome.total for s in summaries)
    generated = sum(s.generated for s in summaries)
    full = [s.outcome for s in summaries if s.outcome.stage == 0]
    verdicts = sum((Counter(s.verdicts) for s in summaries), Counter())
    metrics = {
        "reward/mean": sum(s.reward_sum for s in summaries) / total,
        "pass_rate": sum(s.outcome.passed for s in summaries) / total,
        "tokens/generated": float(generated),
        "tokens/mean_response": generated / total,
        "tokens_per_s/generate": generated / seconds,
        "seconds/generate": seconds,
        "staleness": float(max(step - 1 - s.oldest_version for s in summaries)),
        "staleness/mean": step - 1 - sum(s.version_sum for s in summaries) / generated,
    }
    if full:
        metrics["pass_rate/full"] = sum(o.passed for o in full) / sum(o.total for o in full)
    if told := [(s.fails_hidden, s.outcome.total) for s in summaries if s.fails_hidden is not None]:
        metrics["hidden/passes_shown_fails_hidden"] = sum(n for n, _ in told) / sum(total for _, total in told)
    return metrics | {f"verdict/{name}": count / total for name, count in sorted(verdicts.items())}
