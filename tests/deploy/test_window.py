"""The buffer between generation and training: how old a group can be, and that order does not depend on speed."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.subtask import Outcome, Subtask
from stepcoder.deploy.training.window import Window, Written
from stepcoder.executor.suite import Case, Suite
from stepcoder.rollout.service import IssuedGroup
from stepcoder.rollout.trajectory import GroupSummary, Unjudged

PROBLEM = Problem("p", "test", "introductory", "Do it.", "", "pass\n", Suite("stdin", (Case("1\n", "1\n"),)))


def group(ticket: int, version: int, spread: bool = True) -> IssuedGroup:
    outcome = Outcome(ticket, "p", 0, 1, 2)
    return IssuedGroup(GroupSummary(outcome, "introductory", 9, 7, 0, spread, {}, version), ticket)


@dataclass
class Simulated:
    """A run's bookkeeping with engines that finish groups in any order. `lag`: how far behind an engine was with a
    ticket's first group; `spread`: by ticket, whether its group has any; None could not be judged."""

    window: Window
    spread: dict[int, bool | None]
    lag: dict[int, int]
    speed: random.Random
    drawn: int = 0
    sent: list[int] = field(default_factory=list)
    writing: list[tuple[Subtask, int]] = field(default_factory=list)
    taken: list[list[int]] = field(default_factory=list)
    drawn_by_step: list[int] = field(default_factory=list)
    draws: list[int] = field(default_factory=list)
    ages: list[int] = field(default_factory=list)
    too_old: int = 0

    def send(self, subtasks: list[Subtask], version: int) -> None:
        for subtask in subtasks:
            late = 0 if subtask.ticket in self.sent else self.lag.get(subtask.ticket, 0)
            self.sent.append(subtask.ticket)
            self.writing.append((subtask, version - late))

    def arrives(self, now: int) -> None:
        subtask, version = self.writing.pop(self.speed.randrange(len(self.writing)))
        spread = self.spread.get(subtask.ticket, True)
        found = Unjudged(subtask.ticket, "p", "") if spread is None else group(subtask.ticket, version, spread)
        if not self.window.put(Written(subtask, found)):
            self.send([subtask], now)

    def step(self, version: int, ahead: int) -> None:
        window = self.window
        self.send(window.begin(version), version)
        for _ in range(self.speed.randrange(len(self.writing) + 1)):  # what came while the last step trained
            self.arrives(version)
        while True:
            self.draw(version, ahead)
            while not window.there:
                self.arrives(version)
            if not window.extend():
                break
        self.too_old += window.too_old
        taken = window.take()
        self.taken.append([item.subtask.ticket for item in taken])
        self.ages += [version - w.group.summary.oldest_version for w in taken if isinstance(w.group, IssuedGroup)]
        self.drawn_by_step.append(self.drawn)

    def draw(self, version: int, ahead: int) -> None:
        while missing := self.window.missing:
            count = min(missing, self.window.wanted)
            self.draws.append(count)
            self.window.add(Subtask(self.drawn + i, PROBLEM, 0, "") for i in range(count))
            self.drawn += count
        self.send(self.window.to_send(ahead), version)


def simulated(wanted: int, staleness: int, rounds: int, seed: int, speed: int, steps: int = 6) -> Simulated:
    rng = random.Random(seed)
    spread = {ticket: rng.choice([True, True, False, None]) for ticket in range(400)} if rounds else {}
    lag = {ticket: rng.choice([0, 0, 0, 1, 2, 5]) for ticket in range(400)}
    run = Simulated(Window(wanted, staleness, rounds), spread, lag, random.Random(speed))
    for version in range(steps):
        run.step(version, min(staleness, steps - 1 - version))
    return run


@settings(deadline=None)
@given(
    st.integers(1, 5), st.integers(0, 4), st.integers(0, 3), st.integers(0, 10**6), st.integers(0, 99),
    st.integers(0, 99),
)  # fmt: skip
def test_whatever_is_faster_a_run_takes_the_same_and_nothing_too_old(
    wanted: int, staleness: int, rounds: int, seed: int, fast: int, slow: int
) -> None:
    run, other = (simulated(wanted, staleness, rounds, seed, speed) for speed in (fast, slow))
    assert max(run.ages, default=0) <= staleness
    assert run.taken == other.taken and run.drawn_by_step == other.drawn_by_step and run.draws == other.draws
    everything = [ticket for step in run.taken for ticket in step]
    assert everything == list(range(len(everything)))  # in order, each once
    assert all(len(step) >= wanted for step in run.taken) and (rounds or all(len(s) == wanted for s in run.taken))
    taken = 0
    for step, drawn in zip(run.taken, run.drawn_by_step, strict=True):
        taken += len(step)
        assert drawn == taken + staleness * wanted
    # every group that was too old was written once more, and counted once
    assert len(run.sent) == len(set(run.sent)) + run.too_old
    assert run.drawn - len(run.window.under_way) == len(everything)


def test_a_group_that_is_too_old_is_forgotten_counted_and_sent_again_by_hand() -> None:
    window = Window(1, 1, 0)
    assert window.begin(0) == [] and window.missing == 2
    first, second, third = (Subtask(ticket, PROBLEM, 0, "") for ticket in range(3))
    window.add([first, second])
    assert window.to_send(1) == [first, second] and window.to_send(1) == []
    assert window.put(Written(second, group(1, 0))) and not window.there
    assert window.put(Written(first, group(0, 0))) and window.there and not window.extend() and window.too_old == 0
    assert [w.subtask.ticket for w in window.take()] == [0] and window.under_way == [second]
    # of weights 0, at version 2 it is one update older than it may be; so is what comes then
    assert window.begin(2) == [second] and window.too_old == 1 and not window.there
    window.add([third])
    assert window.missing == 0 and window.to_send(0) == []
    assert not window.put(Written(second, group(1, 0))) and window.too_old == 2
    assert window.put(Written(second, group(1, 1))) and window.there
    assert [w.subtask.ticket for w in window.take()] == [1]
    assert window.begin(3) == [] and window.too_old == 0


@pytest.mark.parametrize("kept", [0, 3, 8])
def test_what_a_checkpoint_kept_comes_before_what_is_drawn(kept: int) -> None:
    before = [Subtask(ticket, PROBLEM, 0, "") for ticket in range(kept)]
    window = Window(2, 1, 0, before)
    window.begin(5)
    assert window.missing == max(4 - kept, 0)
    window.add(Subtask(100 + i, PROBLEM, 0, "") for i in range(window.missing))
    assert window.to_send(1) == window.under_way[:4] and window.under_way[:kept] == before
