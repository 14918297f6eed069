"""Which problems a curriculum can help with, by pass rates worked out by hand."""

import pytest

from stepcoder.curriculum.data.select import Bounds, Rates, StageRow, keeps, selected, stage_rows
from stepcoder.curriculum.problems.load import load_problems

BOUNDS = Bounds(full=0.25, last=0.5)


@pytest.mark.parametrize(
    ("rates", "kept"),
    [
        ({0: (0, 4), 2: (2, 4)}, True),
        ({0: (1, 4), 1: (3, 4), 2: (2, 4)}, True),
        ({0: (2, 4), 2: (4, 4)}, False),  # solved in full too often
        ({0: (0, 4), 1: (4, 4), 2: (1, 4)}, False),  # the last course is out of reach
        ({0: (0, 4)}, False),  # no course
        ({2: (4, 4)}, False),  # full generation could not be judged
        ({}, False),
    ],
)
def test_kept_are_problems_that_are_hard_in_full_and_within_reach_from_the_end(rates: Rates, kept: bool) -> None:
    assert keeps(rates, BOUNDS) is kept


def test_selected_problems_keep_their_order() -> None:
    problems = load_problems("starter:train")[:3]
    rates: dict[str, Rates] = {problem.id: {0: (0, 4), 1: (4, 4)} for problem in reversed(problems)}
    rates[problems[1].id] = {0: (4, 4), 1: (4, 4)}
    assert selected(problems, rates, BOUNDS) == [problems[0], problems[2]]


def test_the_table_says_what_a_prefix_unlocks() -> None:
    rates: dict[str, Rates] = {
        "never": {0: (0, 4), 1: (0, 4), 2: (0, 4)},
        "unlocked": {0: (0, 4), 1: (0, 4), 2: (3, 4)},
        "at times": {0: (1, 4), 1: (2, 4)},
    }
    assert stage_rows(rates) == [
        StageRow(0, 3, 1, 12, 2, 0), StageRow(1, 3, 2, 12, 2, 0), StageRow(2, 2, 3, 8, 2, 1),
    ]  # fmt: skip
