"""Moves of start points, draws and saved state; the numbers are worked out by hand."""

import json
import random
from collections import Counter

import pytest

from stepcoder.curriculum.config import (
    Courses,
    CurriculumConfig,
    FullGeneration,
    Learnability,
    Levels,
    Linear,
    Mixed,
    SamplingConfig,
    ScheduleConfig,
    Threshold,
    Uniform,
)
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.service.curriculum import AHEAD, Curriculum
from stepcoder.curriculum.subtask import Outcome, Subtask
from stepcoder.executor.suite import Case, Suite

SUITE = Suite("stdin", (Case("1\n", "1\n"),))


def make(name: str, conditionals: int) -> Problem:
    body = "".join(f"if x > {i}:\n    print({i})\n" for i in range(conditionals))
    return Problem(name, "test", "introductory", f"Do {name}.", "", "x = int(input())\n" + body, SUITE)


PROBLEMS = [make("a", 0), make("b", 1), make("c", 4), make("d", 9)]  # 1, 2, 3 and 4 stages


def outcome(subtask: Subtask, passed: int, total: int = 4) -> Outcome:
    return Outcome(subtask.ticket, subtask.problem.id, subtask.stage, passed, total)


def only(name: str, alpha: float = 0.5, schedule: str = "threshold", **settings: object) -> Curriculum:
    config = CurriculumConfig.model_validate({"alpha": alpha, "schedule": {"type": schedule, **settings}})
    return Curriculum([p for p in PROBLEMS if p.id == name], config, seed=0)


def known(curriculum: Curriculum) -> dict[str, list[float]]:
    """Stage, rate and visits of the problems met."""
    return {id_: row[:3] for id_, row in curriculum.state()["problems"].items()}


def meet_all(curriculum: Curriculum) -> Curriculum:
    """After one epoch, all outcomes still to come."""
    curriculum.next(len(curriculum))
    return curriculum


def stages_seen(curriculum: Curriculum, passed: int, count: int) -> list[int]:
    seen = []
    for _ in range(count):
        (subtask,) = curriculum.next(1)
        seen.append(subtask.stage)
        curriculum.report([outcome(subtask, passed)])
    return seen


def test_a_policy_that_always_passes_needs_the_formulas_number_of_visits() -> None:
    # rate after k passes is 1 - 0.5^k: 0.5, 0.75, 0.875; the first above 0.8 is k = 3.
    assert stages_seen(only("c", rho=0.8, alpha=0.5), 4, 8) == [2, 2, 2, 1, 1, 1, 0, 0]


def test_the_rate_must_be_strictly_above_rho() -> None:
    assert stages_seen(only("b", rho=0.5, alpha=0.5, visit_cap=None), 4, 3) == [1, 1, 0]
    assert stages_seen(only("b", rho=0.5, alpha=1.0, visit_cap=None), 2, 4) == [1, 1, 1, 1]


def test_the_rate_is_the_moving_average_and_starts_again_after_a_move() -> None:
    curriculum = only("c", rho=0.7, alpha=0.25, visit_cap=None)
    for passed, rate in ((4, 0.25), (2, 0.3125), (0, 0.234375)):
        curriculum.report([outcome(curriculum.next(1)[0], passed)])
        assert curriculum.metrics()["curriculum/pass_rate"] == rate
    while curriculum.metrics()["curriculum/moves"] == 0:
        curriculum.report([outcome(curriculum.next(1)[0], 4)])
    assert known(curriculum) == {"c": [1, 0.0, 0]}


def test_a_policy_that_never_passes_gets_to_full_generation_by_the_cap() -> None:
    curriculum = only("c", visit_cap=2)
    assert stages_seen(curriculum, 0, 6) == [2, 2, 1, 1, 0, 0]
    assert curriculum.metrics()["curriculum/moves_by_cap"] == curriculum.metrics()["curriculum/moves"] == 2


VISITS = [(0.6, 0.5, 2), (0.5, 0.5, 2), (0.8, 0.5, 3), (0.0, 0.1, 1), (0.9, 1.0, 1), (0.9, 0.1, 22), (0.95, 0.3, 9)]


@pytest.mark.parametrize(("rho", "alpha", "visits"), VISITS)
def test_visits_a_stage_for_a_policy_that_always_passes(rho: float, alpha: float, visits: int) -> None:
    # k passes give the rate 1 - (1 - alpha)^k, so k = floor(ln(1 - rho) / ln(1 - alpha)) + 1 is the first above rho.
    stages = stages_seen(only("d", rho=rho, alpha=alpha, visit_cap=None), 4, 3 * visits + 1)
    assert stages == [stage for stage in (3, 2, 1) for _ in range(visits)] + [0]


@pytest.mark.parametrize(("name", "stages"), [("a", 1), ("b", 2), ("c", 3), ("d", 4)])
@pytest.mark.parametrize("cap", [1, 4])
def test_visits_until_full_generation_for_a_policy_that_never_passes(name: str, stages: int, cap: int) -> None:
    seen = stages_seen(only(name, visit_cap=cap), 0, stages * cap)
    assert seen.index(0) == (stages - 1) * cap


def test_a_step_back_is_taken_once_a_stage_and_full_generation_is_still_reached() -> None:
    # d has stages 3, 2, 1, 0; nothing passes. Each stage below the first: 2 tries, back, 3 tries, and there 3 more.
    seen = stages_seen(only("d", visit_cap=3, step_back=2), 0, 40)
    runs = [(3, 3), (2, 2), (3, 3), (2, 3), (1, 2), (2, 3), (1, 3), (0, 2), (1, 3)]
    assert seen == [stage for stage, count in runs for _ in range(count)] + [0] * 16


def test_one_pass_is_enough_against_a_step_back() -> None:
    curriculum = only("b", visit_cap=5, step_back=3)
    passes = iter([0, 0, 0, 0, 0] + [0, 1] + [0] * 10)
    seen = []
    for count in passes:
        (subtask,) = curriculum.next(1)
        seen.append(subtask.stage)
        curriculum.report([outcome(subtask, count)])
    assert seen == [1] * 5 + [0] * 12
    assert curriculum.metrics()["curriculum/steps_back"] == 0


def test_one_pass_is_enough_where_only_the_newest_subtask_counts() -> None:
    # 2 of 4 pass once, which is not above rho; two stages, so 1 is the first, and 0 is left for it after two failures
    curriculum = only("b", alpha=1.0, rho=0.6, visit_cap=5, step_back=2)
    seen = []
    for passed in (4, 2, 0, 0, 0):
        (subtask,) = curriculum.next(1)
        seen.append(subtask.stage)
        curriculum.report([outcome(subtask, passed)])
    assert seen == [1, 0, 0, 0, 0] and curriculum.metrics()["curriculum/steps_back"] == 0
    assert curriculum.metrics()["curriculum/pass_rate"] == pytest.approx(0)


def test_a_step_back_that_the_cap_forestalls_is_refused() -> None:
    with pytest.raises(ValueError, match="step_back = 5 never happens"):
        Threshold(visit_cap=5, step_back=5)


def test_without_a_cap_it_stays() -> None:
    assert set(stages_seen(only("c", visit_cap=None), 0, 50)) == {2}


def test_outcomes_of_a_stage_that_was_left_change_nothing() -> None:
    curriculum = only("c", alpha=1.0, rho=0.5)
    first, second = curriculum.next(2)  # the same problem twice before its outcome came back
    assert (first.stage, second.stage) == (2, 2)
    curriculum.report([outcome(first, 4)])
    before = known(curriculum)
    curriculum.report([outcome(second, 4), Outcome(9, "unknown", 0, 1, 1)])
    assert known(curriculum) == before == {"c": [1, 0.0, 0]}
    assert curriculum.metrics()["curriculum/stale_outcomes"] == 2


def test_full_generation_is_the_last_stage() -> None:
    curriculum = only("a", alpha=1.0, visit_cap=1)
    assert stages_seen(curriculum, 4, 5) == [0] * 5
    assert curriculum.metrics()["curriculum/moves"] == 0


@pytest.mark.parametrize("bad", [(5, 4), (-1, 4), (0, 0)])
def test_impossible_outcomes_are_refused(bad: tuple[int, int]) -> None:
    curriculum = only("b")
    with pytest.raises(ValueError, match="passed"):
        curriculum.report([outcome(curriculum.next(1)[0], *bad)])


def test_no_schedule_is_full_generation_throughout() -> None:
    curriculum = Curriculum(PROBLEMS, CurriculumConfig(schedule=FullGeneration()), seed=0)
    subtasks = curriculum.next(8)
    assert {(s.stage, s.prefix) for s in subtasks} == {(0, "")}
    curriculum.report([outcome(s, 4) for s in subtasks])
    assert curriculum.histogram() == {0: 4}


def test_linear_gives_each_stage_an_even_share_and_ends_at_full_generation() -> None:
    curriculum = only("c", schedule="linear", subtasks=9)
    assert [s.stage for s in curriculum.next(11)] == [2, 2, 2, 2, 1, 1, 1, 0, 0, 0, 0]


def test_mixed_draws_all_stages_evenly_and_repeats_itself() -> None:
    counts = Counter(s.stage for s in only("c", schedule="mixed").next(900))
    assert set(counts) == {0, 1, 2}
    assert all(abs(count - 300) < 5 * (900 * 2 / 9) ** 0.5 for count in counts.values())
    assert only("c", schedule="mixed").next(50) == only("c", schedule="mixed").next(50)


def test_paper_reading_gives_one_conditional_no_curriculum() -> None:
    assert meet_all(Curriculum(PROBLEMS, CurriculumConfig(reading="paper"), 0)).histogram() == {0: 2, 1: 1, 2: 1}
    assert meet_all(Curriculum(PROBLEMS, CurriculumConfig(), 0)).histogram() == {0: 1, 1: 1, 2: 1, 3: 1}


def test_metrics_by_hand() -> None:
    curriculum = Curriculum(PROBLEMS, CurriculumConfig(alpha=1.0, schedule=Threshold(rho=0.5)), seed=0)
    assert set(curriculum.metrics().values()) == {0.0} and curriculum.histogram() == {}  # nothing is met
    meet_all(curriculum)
    metrics = curriculum.metrics()
    assert metrics["curriculum/problems_met"] == 4
    assert metrics["curriculum/stage_fraction"] == 0.75  # a has no stage but full generation
    assert metrics["curriculum/full_generation_share"] == 0.25
    curriculum.report([Outcome(0, "c", 2, 4, 4), Outcome(1, "b", 1, 4, 4), Outcome(2, "d", 3, 1, 4)])
    metrics = curriculum.metrics()
    assert metrics["curriculum/stage_fraction"] == (0 + 0 + 0.5 + 1) / 4
    assert metrics["curriculum/full_generation_share"] == 0.5
    assert metrics["curriculum/pass_rate"] == 0.25 / 4
    assert curriculum.histogram() == {0: 2, 1: 1, 3: 1}


def test_order_depends_on_the_seed_and_not_on_the_order_of_the_file() -> None:
    problems = [make(f"p{i:02}", 1) for i in range(20)]
    shuffled = random.Random(0).sample(problems, 20)
    first = [s.problem.id for s in Curriculum(problems, CurriculumConfig(), 0).next(20)]
    assert [s.problem.id for s in Curriculum(shuffled, CurriculumConfig(), 0).next(20)] == first
    assert [s.problem.id for s in Curriculum(problems, CurriculumConfig(), 1).next(20)] != first


def play(curriculum: Curriculum, rng: random.Random, rounds: int) -> list[Subtask]:
    handed = []
    for _ in range(rounds):
        subtasks = curriculum.next(3)
        handed += subtasks
        curriculum.report([outcome(s, rng.randint(0, 4)) for s in subtasks])
    return handed


SCHEDULES = (Threshold(step_back=2), Linear(subtasks=60), Mixed(), FullGeneration())
SAMPLINGS = (Uniform(), Courses(), Levels(introductory=1.5), Learnability())


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.type)
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=lambda sampling: sampling.type)
def test_a_resumed_run_goes_on_exactly(schedule: ScheduleConfig, sampling: SamplingConfig) -> None:
    config = CurriculumConfig(schedule=schedule, sampling=sampling)
    problems = [make(f"p{i}", i) for i in range(7)]
    whole = Curriculum(problems, config, seed=5)
    play(whole, random.Random(1), 10)
    resumed = Curriculum(problems[::-1], config, seed=5)
    resumed.load(json.loads(json.dumps(whole.state())))
    assert resumed.state() == whole.state()
    assert resumed.metrics() == whole.metrics()
    assert play(resumed, random.Random(2), 20) == play(whole, random.Random(2), 20)
    assert resumed.state() == whole.state()


def test_adding_and_removing_problems_keeps_what_is_known_of_the_others() -> None:
    config = CurriculumConfig(alpha=1.0, schedule=Threshold(rho=0.5))
    before = Curriculum(PROBLEMS, config, seed=0)
    before.next(6)
    before.report([Outcome(0, "c", 2, 4, 4), Outcome(1, "d", 3, 1, 4), Outcome(2, "b", 1, 4, 4)])
    after = Curriculum([make("0new", 4), *PROBLEMS[1:3], make("z", 1)], config, seed=0)
    after.load(before.state())
    state = after.state()
    assert known(after) == {"b": [0, 0.0, 0], "c": [1, 0.0, 0]}
    assert (state["epoch"], state["position"], state["ticket"]) == (2, 0, 6)
    assert sorted(s.problem.id for s in after.next(4)) == ["0new", "b", "c", "z"]
    assert after.histogram() == {0: 1, 1: 2, 2: 1}


def test_a_solution_that_lost_courses_is_taken_from_its_first_one() -> None:
    config = CurriculumConfig()
    before = Curriculum([make("p", 9)], config, seed=0)
    before.report([Outcome(0, "p", 3, 0, 4)])
    after = Curriculum([make("p", 1)], config, seed=0)
    after.load(before.state())
    assert after.next(1)[0].stage == 1


def test_state_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format"):
        only("a").load({"format": 99})


def test_a_subtask_can_be_issued_again_from_its_numbers() -> None:
    curriculum = Curriculum(PROBLEMS, CurriculumConfig(), seed=0)
    for subtask in curriculum.next(8):
        assert curriculum.subtask(subtask.ticket, subtask.problem.id, subtask.stage) == subtask


def test_problems_that_never_fit_are_not_drawn() -> None:
    curriculum = Curriculum(PROBLEMS, CurriculumConfig(), 0, fits=lambda p, prefix: p.id != "b" and len(prefix) < 60)
    assert sorted({s.problem.id for s in curriculum.next(30)}) == ["a", "c", "d"]
    assert all(len(s.prefix) < 60 for s in curriculum.next(30))
    assert curriculum.metrics()["curriculum/too_long_problems"] == 1
    with pytest.raises(ValueError, match="max_prompt_tokens"):
        Curriculum(PROBLEMS, CurriculumConfig(), 0, fits=lambda p, prefix: False).next(1)


def test_unparsable_solutions_are_counted() -> None:
    broken = Problem("old", "test", "interview", "Do it.", "", "if x:\n    print 'old'\n", SUITE)
    curriculum = meet_all(Curriculum([*PROBLEMS, broken], CurriculumConfig(), 0))
    assert curriculum.metrics()["curriculum/unparsable_solutions"] == 1


def test_problem_ids_must_be_there_and_unique() -> None:
    with pytest.raises(ValueError, match="'b' occurs more than once"):
        Curriculum([*PROBLEMS, make("b", 3)], CurriculumConfig(), 0)
    with pytest.raises(ValueError, match="at least one"):
        Curriculum([], CurriculumConfig(), 0)


def test_courses_are_worked_out_before_they_are_waited_for_and_only_of_what_is_drawn_soon() -> None:
    asked: list[str] = []

    def fits(problem: Problem, prefix: str) -> bool:
        asked.append(problem.id)
        return True

    curriculum = Curriculum([make(f"p{i:04}", 3) for i in range(4000)], CurriculumConfig(), 0, fits)
    assert len(set(asked)) == AHEAD
    subtasks = curriculum.next(1000)
    assert len(set(asked)) == AHEAD  # nothing was left to work out
    state = curriculum.state()
    curriculum.prepare(2000)
    assert len(set(asked)) == 3000
    assert curriculum.state() == state
    curriculum.next(2000)
    assert len(set(asked)) == 3000
    asked.clear()
    resumed = Curriculum([s.problem for s in subtasks], CurriculumConfig(), 0, fits)
    resumed.load(resumed.state())
    assert len(asked) == len(set(asked)) == 1000  # once each
