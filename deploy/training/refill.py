"""Dynamic sampling: groups without variance are left out of a step and others generated in their place.

DAPO (Yu et al. 2025, section 3.2). What counts is the reward as the executor's report gave it, before the length
penalty and whatever else `learner.reward` does: where all completions pass, or all fail alike, none is the better
program, however long they are. The groups' summaries have it, so that no token is looked at here.

A round makes the step longer by exactly as many groups as it lacks (`window.py`), so that the sizes of steps do not
vary.
"""

from collections.abc import Sequence

from stepcoder.rollout.service import IssuedGroup


def with_spread(groups: Sequence[IssuedGroup]) -> list[IssuedGroup]:
    """Those whose completions do not all have the same reward, in order."""
    return [group for group in groups if group.summary.reward_spread > 0]


def lacking(groups: Sequence[IssuedGroup], wanted: int) -> int:
    """How many groups with spread are missing until there are `wanted`: the subtasks of the next round."""
    return max(wanted - len(with_spread(groups)), 0)


def group_metrics(groups: Sequence[IssuedGroup], refilled: int) -> dict[str, float]:
    """Groups that a step generated, those of them that it leaves out, and those that came in place of others."""
    dropped = len(groups) - len(with_spread(groups))
    return {
        "groups/generated": float(len(groups)),
        "groups/dropped": float(dropped),
        "groups/refilled": float(refilled),
    }
