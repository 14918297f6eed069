"""One step's groups, and what the driver can say of them without touching a token."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from stepcoder.deploy.training.unjudged import parted
from stepcoder.deploy.training.window import Written
from stepcoder.rollout.service import IssuedGroup
from stepcoder.rollout.trajectory import Unjudged


@dataclass(frozen=True, slots=True)
class Generated:
    """Groups in the order of their tickets; groups that could not be judged.

    `waited`: seconds in which nothing else was done; `seconds`: those since the step before was generated, or since the
    first subtask of this one was sent. `stream`: what is under way beside them, as metrics.
    """

    groups: list[IssuedGroup]
    lost: Sequence[Unjudged]
    waited: float
    seconds: float
    stream: dict[str, float]

    @property
    def tried(self) -> int:
        """Subtasks that were written for."""
        return len(self.groups) + len(self.lost)

    @classmethod
    def of(cls, written: Sequence[Written], last: float, begun: float, now: float, counts: Mapping[str, int]) -> Self:
        """`last`: when the step before was taken; `begun`: since when this one was waited for."""
        groups, lost = parted([item.group for item in written])
        since = max(last, min(item.sent for item in written))
        stream = {name: float(count) for name, count in counts.items()}
        stream["age/finished_s"] = sum(now - item.came for item in written) / len(written)
        return cls(groups, lost, now - begun, now - since, stream)

    @property
    def tokens(self) -> int:
        """Tokens that were generated for the groups."""
        return sum(group.summary.generated for group in self.groups)


def group_columns(groups: list[IssuedGroup]) -> dict[str, list[Any]]:
    """How each group ended, for groups.jsonl: a list a column, an entry a group."""
    found = [(g.summary, g.summary.outcome) for g in groups]
    return {
        "ticket": [outcome.ticket for _, outcome in found],
        "problem": [outcome.problem_id for _, outcome in found],
        "stage": [outcome.stage for _, outcome in found],
        "passed": [outcome.passed for _, outcome in found],
        "total": [outcome.total for _, outcome in found],
        "reward": [round(summary.reward_sum / outcome.total, 6) for summary, outcome in found],
    }


def drawn(groups: Sequence[IssuedGroup], most: int | None) -> list[IssuedGroup]:
    """At most `most` of them, in their order; which, the tickets alone decide."""

    def chance(group: IssuedGroup) -> bytes:
        return hashlib.blake2b(str(group.summary.outcome.ticket).encode(), digest_size=8).digest()

    chosen = {id(group) for group in sorted(groups, key=chance)[:most]}
    return [group for group in groups if id(group) in chosen]


def rollout_metrics(found: Generated, step: int) -> dict[str, float]:
    """What the driver can say of a step's completions without touching a token."""
    summaries = [g.summary for g in found.groups]
    total = sum(s.outcome.total for s in summaries)
    generated = sum(s.generated for s in summaries)
    full = [s.outcome for s in summaries if s.outcome.stage == 0]
    verdicts = sum((Counter(s.verdicts) for s in summaries), Counter())
    metrics = {
        "reward/mean": sum(s.reward_sum for s in summaries) / total,
        "pass_rate": sum(s.outcome.passed for s in summaries) / total,
        "tokens/generated": float(generated),
        "tokens/mean_response": generated / total,
        "tokens_per_s/generate": generated / found.seconds,
        "seconds/generate": found.waited,
        "staleness": float(max(step - 1 - s.oldest_version for s in summaries)),
        "staleness/mean": step - 1 - sum(s.version_sum for s in summaries) / generated,
    }
    if full:
        metrics["pass_rate/full"] = sum(o.passed for o in full) / sum(o.total for o in full)
    if (turns := sum(s.turns for s in summaries)) > total:
        metrics["repair/turns"] = turns / total
        metrics["repair/repaired"] = sum(s.repaired for s in summaries) / total
    if told := [(s.fails_hidden, s.outcome.total) for s in summaries if s.fails_hidden is not None]:
        metrics["hidden/passes_shown_fails_hidden"] = sum(n for n, _ in told) / sum(total for _, total in told)
    return metrics | {f"verdict/{name}": count / total for name, count in sorted(verdicts.items())}
