"""Every wait for another process has a deadline and a name, and its end counts as the loss of a service."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from ray.exceptions import (
    GetTimeoutError,
    NodeDiedError,
    ObjectLostError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

T = TypeVar("T")


class WaitedTooLong(TimeoutError):
    """A service did not answer within its deadline; the message says what was waited for."""


# What ends one life of the services and not the run: a process, a node, or an object on one is gone, or one hangs.
LOSSES = (RayActorError, WorkerCrashedError, NodeDiedError, ObjectLostError, WaitedTooLong, GetTimeoutError)


async def within(seconds: float, what: str, awaited: Awaitable[T]) -> T:
    """The answer of `awaited`. Raises WaitedTooLong after so many seconds; its call is then given up."""
    task = asyncio.ensure_future(awaited)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
        if not done:
            raise WaitedTooLong(f"waited {seconds:g} s for {what}, without an answer")
        return task.result()
    finally:
        task.cancel()  # of no effect on one that is done


def is_loss(error: BaseException) -> bool:
    """Whether services that start anew may help: not where a service's own code has failed at its start."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, TimeoutError) or isinstance(error, LOSSES):
        return "creation task" not in str(error)
    return False
