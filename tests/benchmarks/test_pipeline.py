"""What the simulated cluster claims of itself: lengths, balance, and a clock that is never ahead."""

import asyncio
import time
from statistics import mean, median, quantiles

import pytest

from benchmarks.simulated_cluster import (
    EMPTY,
    ENGINES,
    GROUP,
    LONGEST,
    MEDIAN,
    PLACES,
    SUBTASKS,
    Pace,
    TimedEngine,
    length,
)


def test_lengths_are_long_tailed() -> None:
    lengths = [length(ticket, sample) for ticket in range(1000) for sample in range(GROUP)]
    assert median(lengths) == pytest.approx(MEDIAN, rel=0.03)
    assert quantiles(lengths, n=100)[98] == pytest.approx(10 * MEDIAN, rel=0.08)
    assert max(lengths) == LONGEST * MEDIAN
    assert length(7, 3) == length(7, 3) != length(7, 4)


def test_at_full_load_engines_learner_and_executors_take_the_same_time_for_a_step() -> None:
    pace = Pace.balanced(6.0)
    tokens = mean(length(-1, sample) for sample in range(20_000)) * SUBTASKS * GROUP
    assert tokens * pace.learner_s == pytest.approx(6.0)
    assert tokens / (ENGINES * PLACES) * pace.token_s == pytest.approx(6.0)
    assert SUBTASKS * GROUP * 0.3 / pace.slots == pytest.approx(6.0, rel=0.01)


def test_an_engine_takes_its_time_and_stops_while_it_is_frozen() -> None:
    pace = Pace(token_s=0.002, learner_s=0.0, slots=1, publish_s=0.0)

    async def run() -> None:
        engine = TimedEngine(pace)
        begun = time.monotonic()
        short, long = asyncio.ensure_future(engine.write(5)), asyncio.ensure_future(engine.write(40))
        await short
        assert time.monotonic() - begun >= 5 * 0.002 * EMPTY and not long.done()
        engine.freeze(True)
        await asyncio.sleep(0.2)
        assert not long.done()
        engine.freeze(False)
        await long
        assert time.monotonic() - begun >= 0.2 + 40 * 0.002 * EMPTY
        assert engine.busy.busy_s >= 0.2 and engine.sampled.together_s >= engine.busy.busy_s

    asyncio.run(run())
