"""Every wait for another process has a deadline and a name."""

import asyncio
from collections.abc import Awaitable
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class WaitedTooLong(TimeoutError):
    """A service did not answer within its deadline; the message says what was waited for."""


async def within(seconds: float, what: str, awaited: Awaitable[T]) -> T:
    """The answer of `awaited`. Raises WaitedTooLong after so many seconds; its call is then given up."""
    task = asyncio.ensure_future(awaited)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
        if not done:
            raise WaitedTooLong(f"waited {seconds:g} s for {what}, without an answer")
        return task.result()
    finally:
        if not task.done():
            task.add_done_callback(_heard)
            task.cancel()


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
