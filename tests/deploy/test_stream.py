"""Groups written ahead of training: strictness at 0, the bound above it, and what dies or lags in between.

The loop is the controller's own, on the real curriculum; engines and learner are those of `test_refill.py`, which says
why they are stand-ins.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stepcoder.curriculum.subtask import Subtask
from stepcoder.deploy.training.idle import Idle
from stepcoder.rollout.load import Load, together
from tests.deploy.test_refill import STEPS, WANTED, Engines, Learner, run

PLAIN = ("--learner.drop_equal_groups", "false")


class Watched(Engines):
    """Knows what is under way, and under which weights each ticket was written. Where it is told when training begins,
    the second step's groups are not there before."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.under_way = 0
        self.training: asyncio.Event | None = None
        self.written: list[tuple[int, int]] = []

    def weights(self, subtask: Subtask) -> int:
        self.written.append((subtask.ticket, self.version))
        return self.version

    async def write(self, subtask: Subtask) -> Any:
        self.under_way += 1
        try:
            if self.training is not None and WANTED <= subtask.ticket < 2 * WANTED:
                await self.training.wait()
            return await super().write(subtask)
        finally:
            self.under_way -= 1


def under_way_while_training(monkeypatch: pytest.MonkeyPatch, engines: Watched) -> list[int]:
    """How many subtasks are under way at the beginning of each of the learner's steps."""
    seen: list[int] = []
    step, engines.training = Learner.step, (training := asyncio.Event())

    async def watched(self: Learner, number: int, groups: Sequence[Any], tokens: Sequence[int]) -> dict[str, float]:
        await asyncio.sleep(0)  # what was sent last has begun
        seen.append(engines.under_way)
        training.set()
        return await step(self, number, groups, tokens)

    monkeypatch.setattr(Learner, "step", watched)
    return seen


def test_with_no_staleness_everything_happens_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = under_way_while_training(monkeypatch, engines := Watched())
    curriculum, learner, lines = run(tmp_path, STEPS, rounds=0, engines=engines, extra=PLAIN)
    tickets = [list(range(WANTED * k, WANTED * (k + 1))) for k in range(STEPS)]
    calls = [call for step in tickets for call in (["next", WANTED], ["report", *step])]
    assert curriculum.calls == calls
    assert learner.trained == {k + 1: step for k, step in enumerate(tickets)}
    assert engines.written == [(ticket, k) for k, step in enumerate(tickets) for ticket in step]
    assert seen == [0] * STEPS and all(line["staleness"] == line["queue/unfinished"] == 0 for line in lines.values())


@pytest.mark.parametrize("staleness", [1, 2, 5])
def test_later_steps_are_written_while_one_trains_and_none_gets_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleness: int
) -> None:
    seen = under_way_while_training(monkeypatch, engines := Watched())
    _, learner, lines = run(tmp_path, STEPS, staleness=staleness, rounds=0, engines=engines, extra=PLAIN)
    assert seen[0] >= WANTED and seen[-1] == 0  # after the last step nothing is written any more
    assert sorted(engines.written) == [(t, max(t // WANTED - staleness, 0)) for t in range(STEPS * WANTED)]
    assert [line["staleness"] for line in lines.values()] == [min(staleness, k) for k in range(STEPS)]
    assert [ticket for step in learner.trained.values() for ticket in step] == list(range(STEPS * WANTED))


class Lagging(Watched):
    """An engine that has missed an update or two writes one ticket's first group."""

    def __init__(self, ticket: int, updates: int) -> None:
        super().__init__()
        self.ticket, self.updates = ticket, updates

    def weights(self, subtask: Subtask) -> int:
        first = subtask.ticket not in {ticket for ticket, _ in self.written}
        return super().weights(subtask) - self.updates * (first and subtask.ticket == self.ticket)


@pytest.mark.parametrize(("staleness", "updates", "dropped"), [(0, 1, 1), (2, 1, 1), (2, 0, 0)])
def test_what_is_too_old_is_written_anew_and_counted_once(
    tmp_path: Path, staleness: int, updates: int, dropped: int
) -> None:
    engines = Lagging(4 * WANTED, updates)  # the first ticket of step 5
    curriculum, learner, lines = run(tmp_path, STEPS, staleness=staleness, rounds=0, engines=engines, extra=PLAIN)
    assert sum(line["groups/too_old"] for line in lines.values()) == dropped
    assert max(line["staleness"] for line in lines.values()) == staleness
    assert len(engines.written) == STEPS * WANTED + dropped
    told = [ticket for call in curriculum.calls if call[0] == "report" for ticket in call[1:]]
    assert told == [t for step in learner.trained.values() for t in step] == list(range(STEPS * WANTED))


def test_shares_of_the_time_by_hand() -> None:
    idle = Idle(Load(busy_s=3.0), 100.0)
    # of 10 s: two engines with requests for 15 s together, 4 slots that ran programs for 10 s, the learner for 4 s
    own = Load(10.0, 60.0, 20.0, engines=1), Load(8.0, 40.0, 10.0, engines=1)
    load = together([*own, Load(executing_s=10.0, slots=4, waiting=3)])
    found = idle.see(load, 110.0, 4.0)
    assert found == {
        "idle/engines": pytest.approx(0.25), "idle/executors": 0.75, "idle/learner": pytest.approx(0.6),
        "queue/requests": 5.0, "queue/judging": 3.0, "queue/waiting": 3,
    }  # fmt: skip
    anew = idle.see(Load(engines=2, slots=4), 120.0, 10.0)  # engines that were replaced count from nothing
    assert anew["idle/engines"] == 1 and anew["idle/learner"] == 0 and anew["queue/requests"] == 0
