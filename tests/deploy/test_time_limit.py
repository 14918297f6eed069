"""When a run with a limited time takes its last step, by hand; in the real controller: `test_resume.py`."""

import time

import pytest

from stepcoder.deploy.training.time_limit import CLOSING_S, UNSEEN_CHECKPOINT_S, StartTimes, TimeLimit, process_start


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock: what is in the list. A test of hours that waits for none of them."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


def test_a_step_is_taken_while_it_and_the_end_fit(now: list[float]) -> None:
    limit = TimeLimit(30)
    limit.evaluation, limit.checkpoint = 200.0, 12.0
    limit.steps.extend([50.0, 40.0, 45.0])
    end = 12 + 200 + CLOSING_S
    now[0] = 30 * 60 - end - 50
    assert limit.allows(1, evaluates=True) and not limit.allows(2, evaluates=True)
    now[0] += 0.5
    assert not limit.allows(1, evaluates=True)
    assert limit.allows(4, evaluates=False) and not limit.allows(5, evaluates=False)
    assert limit.left(evaluates=True) == 49.5


def test_evaluations_that_take_half_of_the_time_are_worth_a_word() -> None:
    limit = TimeLimit(30)
    for seconds, mostly in ((449.0, False), (450.0, True)):
        limit.evaluation = seconds
        assert limit.mostly_evaluates() == mostly
    assert not TimeLimit(None).mostly_evaluates()


def test_only_the_last_steps_count_and_the_longest_of_them(now: list[float]) -> None:
    limit = TimeLimit(10)
    limit.steps.extend([500.0, 40.0, 60.0, 50.0])
    now[0] = 10 * 60 - UNSEEN_CHECKPOINT_S - CLOSING_S - 60
    assert limit.allows(1, evaluates=True)


def test_what_comes_before_the_next_step_counts(now: list[float]) -> None:
    limit = TimeLimit(10)
    limit.evaluation, limit.checkpoint = 100.0, 20.0
    limit.steps.append(40.0)
    now[0] = 600 - 40 - (20 + 100 + CLOSING_S) - 120
    assert limit.between(True, True) == 120 and limit.between(True, False) == 20 and limit.between(False, False) == 0
    assert limit.allows(1, True, limit.between(True, True))
    now[0] += 0.5
    assert not limit.allows(1, True, limit.between(True, True))
    assert limit.allows(1, True, limit.between(True, False))


def test_without_a_limit_everything_fits(now: list[float]) -> None:
    limit = TimeLimit(None)
    now[0] = 1e9
    assert limit.allows(10**6, evaluates=True)


def test_what_earlier_commands_saw_counts(now: list[float]) -> None:
    limit = TimeLimit(10)
    limit.remember(
        [
            {"step": 0, "eval": {"train": {"n_samples": 300}, "heldout": {"n_samples": 100}}, "seconds/eval": 100.0},
            {"step": 1, "seconds/generate": 20.0, "seconds/train": 30.0, "seconds/learner_update": 25.0},
        ],
        completions=200,  # half as many as it drew then: eval.samples was lowered
    )
    assert (limit.evaluation, list(limit.steps)) == (50.0, [50.0])


def test_the_start_is_told_once_and_not_after_steps_have_begun() -> None:
    start, late = StartTimes(), StartTimes()
    start.mark("services")
    assert start.told().keys() == {"start_seconds/services", "start_seconds/total"} and start.told() == {}
    late.mark("services")
    late.over()
    late.mark("services")  # an actor died
    assert late.told() == {}


def test_a_command_is_as_old_as_its_process() -> None:
    assert 0 < time.monotonic() - process_start() < 7 * 24 * 3600
