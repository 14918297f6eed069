"""Every wait for another process has a deadline and a name."""

import asyncio
from collections.abc import Awaitable
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class WaitedTooLong(TimeoutError):
    """A service did not answer within its deadline; the message says what was waited for."""


def within(seconds: float, what: str, awaited: Awaitable[T]) -> "asyncio.Future[T]":
    """The answer of `awaited`. Raises WaitedTooLong after so many seconds; its call is then given up.

    The call is made at once: what ends before it has been waited for, as by Ctrl-C, leaves no coroutine behind.
    """
    call = asyncio.ensure_future(awaited)
    answer = asyncio.ensure_future(_answer(seconds, what, call))
    answer.add_done_callback(lambda _: _give_up(call))
    return answer


async def _answer(seconds: float, what: str, call: "asyncio.Future[T]") -> T:
    done, _ = await asyncio.wait([call], timeout=seconds)
    if not done:
        raise WaitedTooLong(f"waited {seconds:g} s for {what}, without an answer")
    return call.result()


def _give_up(call: "asyncio.Future[Any]") -> None:
    if not call.done():
        call.add_done_callback(_heard)
        call.cancel()


def _heard(task: "asyncio.Future[Any]") -> None:
    """What was given up may end as it likes: asyncio would tell a person of it."""
    if not task.cancelled():
        task.exception()


async def watched(work: Awaitable[T], watch: Awaitable[NoReturn]) -> T:
    """The answer of `work`, given up where `watch` ends: with the error of that."""
    tasks = asyncio.ensure_future(work), asyncio.ensure_future(watch)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].result() if tasks[0].done() else tasks[1].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
