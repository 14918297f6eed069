"""Which engine writes what: real rooms and a real dispatcher, with completions that end when the test says so."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepcoder.held import Held
from stepcoder.rollout.dispatch import Dispatch
from stepcoder.rollout.room import Room


class Engines:
    """Groups of completions in rooms of `places`; how many were under way at most, and which engine wrote what."""

    def __init__(self, engines: int, places: int) -> None:
        self.rooms = [Room(places) for _ in range(engines)]
        self.dispatch = Dispatch(lambda: range(engines), places, lambda engine, sent: self.rooms[engine].after(sent))
        self.under_way = [0] * engines
        self.most = [0] * engines
        self.wrote: list[list[int]] = [[] for _ in range(engines)]

    async def write(self, ticket: int, lengths: list[float]) -> None:
        engine = await self.dispatch.place(ticket, len(lengths))
        self.wrote[engine].append(ticket)
        self.under_way[engine] += len(lengths)
        self.most[engine] = max(self.most[engine], self.under_way[engine])

        async def one(length: float) -> None:
            await asyncio.sleep(length)
            self.under_way[engine] -= 1
            ended()

        with self.rooms[engine].group(len(lengths)) as ended:
            await asyncio.gather(*map(one, lengths))
        self.dispatch.came_back(engine, len(lengths))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5), st.integers(1, 25), st.randoms(use_true_random=False))
def test_every_subtask_is_written_once_by_an_engine_that_has_room(
    engines: int, places: int, size: int, count: int, rng: random.Random
) -> None:
    async def run() -> Engines:
        found = Engines(engines, places)
        lengths = [[rng.choice([0.0, 0.001, 0.004]) for _ in range(size)] for _ in range(count)]
        await asyncio.gather(*(found.write(ticket, each) for ticket, each in enumerate(lengths)))
        assert found.dispatch.waiting == 0 and not any(found.under_way)
        return found

    found = asyncio.run(run())
    assert sorted(ticket for wrote in found.wrote for ticket in wrote) == list(range(count))
    assert max(found.most) < places + size  # it had room for one when it took a group


def test_subtasks_are_spread_and_wait_in_the_order_of_their_tickets() -> None:
    async def run() -> None:
        there = [0, 1]
        dispatch = Dispatch(lambda: there, 4, lambda engine, sent: asyncio.Event().wait())  # never answers
        assert [await dispatch.place(ticket, 2) for ticket in range(4)] == [0, 1, 0, 1]
        late = {ticket: asyncio.ensure_future(dispatch.place(ticket, 2)) for ticket in (9, 4, 7)}
        await asyncio.sleep(0)
        assert dispatch.waiting == 3
        late[4].cancel()
        await asyncio.sleep(0)
        assert dispatch.waiting == 2
        dispatch.came_back(1, 2)
        assert await late[7] == 1 and not late[9].done()
        there[0] = 2  # the first is lost, another in its place
        dispatch.serve()
        assert await late[9] == 2
        dispatch.came_back(0, 2)  # what was lost with it

    asyncio.run(run())


def test_an_engine_with_the_long_tail_of_each_group_is_not_full() -> None:
    async def run() -> None:
        room = Room(4)
        dispatch = Dispatch(lambda: [0], 4, lambda engine, sent: room.after(sent))
        with room.group(4) as first:
            await dispatch.place(0, 4)
            second = asyncio.ensure_future(dispatch.place(1, 4))
            await asyncio.sleep(0.01)
            assert not second.done()
            first()
            assert await second == 0  # though three completions of the first group are under way
            third = asyncio.ensure_future(dispatch.place(2, 4))
            with room.group(4):  # fails before it has written any
                await asyncio.sleep(0.01)
                assert not third.done()
            assert await third == 0

    asyncio.run(run())


def test_where_no_engine_can_write_subtasks_wait_and_hear_why_none_will_come() -> None:
    async def run() -> None:
        there: list[int] | Exception = []

        def engines() -> list[int]:
            if isinstance(there, Exception):
                raise there
            return there

        async def broken(engine: int, sent: int) -> int:
            raise ValueError("a fault of ours")

        dispatch = Dispatch(engines, 1, broken)
        waits = [asyncio.ensure_future(dispatch.place(ticket, 1)) for ticket in (0, 1)]
        await asyncio.sleep(0)
        there = [7]
        dispatch.serve()
        assert await waits[0] == 7
        with pytest.raises(ValueError, match="a fault of ours"):  # as it is full, and is asked
            await waits[1]
        there = ConnectionError("lost 3 times within an hour")
        with pytest.raises(ConnectionError, match="3 times"):
            await dispatch.place(2, 1)

    asyncio.run(run())


def test_what_is_held_is_added_up_over_time_by_hand() -> None:
    now = [10.0]
    held = Held(lambda: now[0])
    now[0] = 11.0  # one second of nothing, two of one, one of two, half of one
    with held.one():
        now[0] = 13.0
        with held.one():
            now[0] = 14.0
        now[0] = 14.5
        assert (held.busy_s, held.together_s) == (3.5, 4.5)
    now[0] = 20.0
    assert (held.busy_s, held.together_s) == (3.5, 4.5)
