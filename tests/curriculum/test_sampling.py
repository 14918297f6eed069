"""How often and in which order problems are drawn."""

from collections import Counter

import numpy as np
import pytest

from stepcoder.curriculum.config import Courses, CurriculumConfig, Learnability, Levels
from stepcoder.curriculum.problems.problem import Level, Problem
from stepcoder.curriculum.service.curriculum import Curriculum
from stepcoder.curriculum.stages.sampling import epoch_order, hashed, learnability
from stepcoder.curriculum.subtask import Outcome
from stepcoder.executor.suite import Case, Suite

SUITE = Suite("stdin", (Case("1\n", "1\n"),))


def make(name: str, conditionals: int, level: Level = "introductory") -> Problem:
    body = "".join(f"if x > {i}:\n    print({i})\n" for i in range(conditionals))
    return Problem(name, "test", level, f"Do {name}.", "", "x = int(input())\n" + body, SUITE)


PROBLEMS = [make("a", 0), make("b", 1), make("c", 4), make("d", 9)]  # 1, 2, 3 and 4 stages


def drawn(curriculum: Curriculum, count: int) -> Counter[str]:
    return Counter(subtask.problem.id for subtask in curriculum.next(count))


def test_an_epoch_draws_each_problem_once_in_an_order_of_its_own() -> None:
    problems = [make(f"p{i:02}", i % 3) for i in range(30)]
    curriculum = Curriculum(problems, CurriculumConfig(), seed=3)
    epochs = [[s.problem.id for s in curriculum.next(30)] for _ in range(4)]
    assert all(sorted(epoch) == [p.id for p in problems] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert [s.ticket for s in curriculum.next(3)] == [120, 121, 122]


def test_sampling_by_courses_draws_a_problem_once_for_each_of_its_stages() -> None:
    curriculum = Curriculum(PROBLEMS, CurriculumConfig(sampling=Courses()), seed=0)
    for _ in range(3):
        assert Counter(s.problem.id for s in curriculum.next(10)) == {"a": 1, "b": 2, "c": 3, "d": 4}


def test_an_epoch_is_a_function_of_seed_and_number() -> None:
    ones = np.ones(50)
    assert (epoch_order(1, 2, ones) == epoch_order(1, 2, ones)).all()
    assert sorted(epoch_order(1, 2, ones)) == list(range(50))
    assert (epoch_order(1, 2, ones) != epoch_order(1, 3, ones)).any()
    assert (epoch_order(1, 2, ones) != epoch_order(2, 2, ones)).any()


def test_fractions_are_rounded_by_chance_to_the_right_mean() -> None:
    expected = np.array([0.0, 0.25, 1.0, 2.5])
    counts = np.array([np.bincount(epoch_order(0, epoch, expected), minlength=4) for epoch in range(2000)])
    assert set(counts[:, 0]) == {0} and set(counts[:, 2]) == {1}
    assert set(counts[:, 1]) == {0, 1} and set(counts[:, 3]) == {2, 3}
    assert abs(counts[:, 1].mean() - 0.25) < 5 * (0.25 * 0.75 / 2000) ** 0.5
    assert abs(counts[:, 3].mean() - 2.5) < 5 * (0.25 / 2000) ** 0.5


def test_levels_occur_by_their_weights() -> None:
    problems = [make("i", 1), make("j", 1, "interview"), make("k", 1, "competition")]
    levels = Levels(introductory=0, interview=1, competition=2)
    curriculum = Curriculum(problems, CurriculumConfig(sampling=levels), seed=0)
    assert drawn(curriculum, 30) == {"j": 10, "k": 20}


def test_weights_that_leave_no_problem_are_refused() -> None:
    config = CurriculumConfig(sampling=Levels(introductory=0))
    with pytest.raises(ValueError, match="weights are 0"):
        Curriculum(PROBLEMS, config, seed=0)


def test_learnability_by_hand() -> None:
    # p is 1/2 where nothing is known; after one subtask with alpha = 1/2 it is half 1/2 and half that subtask's share.
    rate, visits = np.array([0.0, 0.5, 0.0, 1.0]), np.array([0, 1, 1, 50], np.int32)
    weight = np.array([1.0, 0.1 + 0.9 * 0.75, 0.1 + 0.9 * 0.75, 0.1])  # p = 1/2, 3/4, 1/4, 1
    assert learnability(rate, visits, alpha=0.5, floor=0.1) == pytest.approx(weight / weight.mean())


def test_learnability_draws_what_passes_sometimes_more_often() -> None:
    problems = [make(name, 0) for name in ("always", "never", "sometimes")]
    curriculum = Curriculum(problems, CurriculumConfig(sampling=Learnability()), seed=0)
    assert drawn(curriculum, 3) == {"always": 1, "never": 1, "sometimes": 1}
    passes = {"always": 4, "never": 0, "sometimes": 2}
    counts: Counter[str] = Counter()
    for _ in range(900):
        (subtask,) = curriculum.next(1)
        counts[subtask.problem.id] += 1
        name = subtask.problem.id
        curriculum.report([Outcome(subtask.ticket, name, subtask.stage, passes[name], 4)])
    # Weights go to 0.1, 0.1 and 1: one in twelve, one in twelve, ten in twelve.
    assert abs(counts["sometimes"] - 750) < 60
    assert counts["always"] > 30 and counts["never"] > 30


def test_a_run_resumed_within_an_epoch_of_learnability_keeps_that_epochs_order() -> None:
    problems = [make(f"p{i}", 2) for i in range(8)]
    config = CurriculumConfig(sampling=Learnability(), alpha=0.9)
    whole = Curriculum(problems, config, seed=1)
    whole.next(11)  # within the second epoch
    whole.report([Outcome(i, f"p{i}", 2, i % 3, 2) for i in range(3)])  # would change the weights
    resumed = Curriculum(problems, config, seed=1)
    resumed.load(whole.state())
    assert resumed.next(40) == whole.next(40)


def test_hashed_numbers_are_even_and_depend_on_every_part() -> None:
    draws = hashed(3, 7, np.arange(60_000), 1) % np.uint64(6)
    counts = np.bincount(draws.astype(int), minlength=6)
    assert (abs(counts - 10_000) < 5 * (60_000 * 5 / 36) ** 0.5).all()
    assert len({int(hashed(*parts)[0]) for parts in [(0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1), (0, 0, 0)]}) == 5
