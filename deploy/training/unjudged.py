"""Groups with a program that the sandbox could not judge: left out of a step, counted, and told.

Such a group has no outcome: the learner and the curriculum never hear of it. One program that always fails so costs its
group; a sandbox that is broken costs most groups of a step, and then the run stops with its text.
"""

from collections.abc import Sequence
from typing import Any

from stepcoder.rollout.service import IssuedGroup
from stepcoder.rollout.trajectory import Unjudged
from stepcoder.words import plural


def parted(found: Sequence[IssuedGroup | Unjudged]) -> tuple[list[IssuedGroup], list[Unjudged]]:
    """Judged and unjudged groups, each in order."""
    lost = [group for group in found if isinstance(group, Unjudged)]
    return [group for group in found if not isinstance(group, Unjudged)], lost


def unjudged_metrics(lost: Sequence[Unjudged]) -> dict[str, Any]:
    """How many; where there are some, the sandbox's text by problem too, for the metrics file alone."""
    count: dict[str, Any] = {"groups/unjudged": float(len(lost))}
    return count | ({"unjudged": {group.problem_id: group.error for group in lost}} if lost else {})


def told(group: Unjudged) -> str:
    return f"{group.problem_id} is left out, the sandbox could not judge one of its programs: {group.error}"


def too_many(lost: Sequence[Unjudged], judged: int, limit: float) -> str | None:
    """Why the run must stop, if more than `limit` of all groups are unjudged."""
    total = len(lost) + judged
    if not lost or len(lost) <= limit * total:
        return None
    return (
        f"the sandbox could not judge {len(lost)} of {plural(total, 'group')}, more than max_unjudged_share {limit:g}."
        f" The first, {lost[0].problem_id}: {lost[0].error}\n"
        "'stepcoder doctor' tries the sandbox. If it is sound, raise max_unjudged_share or executor.infra_retries."
    )
