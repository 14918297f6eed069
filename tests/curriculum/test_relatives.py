"""Schedules that are relatives of the method: BREAD's trigger, AdaBack, POPE; the numbers are worked out by hand."""

import json
from collections import Counter

import pytest

from stepcoder.curriculum.config import CurriculumConfig
from stepcoder.curriculum.service.curriculum import Curriculum
from stepcoder.curriculum.subtask import Outcome
from tests.curriculum.test_schedule import PROBLEMS, only, outcome, stages_seen


def stages_by(curriculum: Curriculum, passed: list[int]) -> list[int]:
    """The stage of each subtask, whose outcome comes before the next is drawn."""
    return [stages_seen(curriculum, count, 1)[0] for count in passed]


def test_bread_gives_a_start_point_only_where_all_own_samples_failed() -> None:
    # full generation; nearer the end after each failure, to the last course; one pass, and it is full generation again
    assert stages_by(only("d", schedule="bread"), [0, 0, 0, 0, 0, 1, 2, 0, 0]) == [0, 1, 2, 3, 3, 3, 0, 0, 1]
    assert stages_by(only("a", schedule="bread"), [0, 0, 4]) == [0, 0, 0]  # no course to go to


def test_bread_drops_an_outcome_of_a_stage_that_was_left() -> None:
    curriculum = only("d", schedule="bread")
    first, second = curriculum.next(1)[0], curriculum.next(1)[0]
    curriculum.report([outcome(first, 0), outcome(second, 0)])
    assert curriculum.next(1)[0].stage == 1 and curriculum.metrics()["curriculum/stale_outcomes"] == 1


def test_adaback_searches_for_the_least_help_that_suffices() -> None:
    """Reward below tau: lower bound = stage. At least tau: upper bound = stage, lower bound = 0."""
    curriculum = only("d", schedule="adaback", tau=0.5, full=0)

    def bounds_after(stage: int, passed: int) -> tuple[int, int]:
        curriculum.report([Outcome(0, "d", stage, passed, 4)])
        high, _, _, _, low = curriculum.state()["problems"]["d"]
        return low, high

    assert bounds_after(0, 0) == (0, 3)  # nothing is learnt from the least help
    assert bounds_after(1, 0) == (1, 3)
    drawn = Counter(subtask.stage for subtask in curriculum.next(300))
    assert set(drawn) == {1, 2, 3} and all(70 < count < 130 for count in drawn.values())
    assert bounds_after(2, 2) == (0, 2)  # half pass: less help
    assert bounds_after(1, 1) == (1, 2)  # fewer: more, but never more than once was enough
    assert bounds_after(2, 0) == (2, 2)
    assert bounds_after(2, 4) == (0, 2)
    assert bounds_after(3, 0) == (2, 2)  # of an earlier stage: no help within the bounds is less
    assert bounds_after(3, 4) == (0, 2)
    assert bounds_after(1, 4) == (0, 1)
    assert bounds_after(0, 4) == (0, 0)  # full generation, from now on
    assert bounds_after(0, 0) == (0, 0)


def test_adaback_writes_some_programs_whole_whatever_the_bounds() -> None:
    curriculum = only("d", schedule="adaback", full=0.25)
    curriculum.report([Outcome(0, "d", 2, 0, 4)])  # bounds 2 and 3
    drawn = Counter(subtask.stage for subtask in curriculum.next(400))
    assert set(drawn) == {0, 2, 3} and 70 < drawn[0] < 130 and all(120 < drawn[stage] < 180 for stage in (2, 3))
    curriculum.report([Outcome(0, "d", 0, 0, 4)])  # tells nothing of the bounds
    assert set(Counter(subtask.stage for subtask in curriculum.next(100))) == {0, 2, 3}


def test_pope_mixes_full_generation_with_the_first_guide_that_passes() -> None:
    curriculum = only("d", schedule="pope", guided=0.25)
    drawn = Counter(subtask.stage for subtask in curriculum.next(400))
    assert set(drawn) == {0, 1} and 70 < drawn[1] < 130
    curriculum.report([Outcome(0, "d", 0, 0, 4)])  # an unguided failure moves nothing
    assert {subtask.stage for subtask in curriculum.next(40)} == {0, 1}
    curriculum.report([Outcome(0, "d", 1, 0, 4), Outcome(0, "d", 1, 0, 4)])  # the second is of a guide that was left
    assert {subtask.stage for subtask in curriculum.next(40)} == {0, 2}
    curriculum.report([Outcome(0, "d", 2, 1, 4), Outcome(0, "d", 2, 0, 4), Outcome(0, "d", 3, 0, 4)])
    assert {subtask.stage for subtask in curriculum.next(40)} == {0, 2}  # one pass, and it stays
    assert {subtask.stage for subtask in only("a", schedule="pope").next(40)} == {0}


def test_pope_knows_how_often_full_generation_passes_wherever_the_guide_is() -> None:
    curriculum = only("d", schedule="pope", alpha=0.5)
    curriculum.report([Outcome(0, "d", 0, 2, 4), Outcome(0, "d", 1, 0, 4), Outcome(0, "d", 2, 3, 4)])
    stage, rate, visits, *_ = curriculum.state()["problems"]["d"]
    assert (stage, rate, visits) == (2, 0.25, 1)


@pytest.mark.parametrize("schedule", ["bread", "adaback", "pope"])
def test_the_relatives_go_on_from_their_state(schedule: str) -> None:
    def curriculum() -> Curriculum:
        return Curriculum(PROBLEMS, CurriculumConfig.model_validate({"schedule": {"type": schedule}}), seed=1)

    one, other = curriculum(), curriculum()
    for passed in (0, 0, 4, 1, 0, 3):
        one.report([outcome(subtask, passed) for subtask in one.next(4)])
    other.load(json.loads(json.dumps(one.state())))
    assert [(s.ticket, s.problem.id, s.stage) for s in other.next(12)] == [
        (s.ticket, s.problem.id, s.stage) for s in one.next(12)
    ]
