"""Completions are counted while they are generated, for a person to see how far they are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

from ray.exceptions import RayError

from stepcoder.deploy.shown.progress import Count, RunProgress

LOOK_EVERY_S = 1.0


class Counter(Protocol):
    """Who knows how many completions have ended, and their tokens; `rollout.service.RolloutService` in a run."""

    async def finished(self) -> tuple[int, int]: ...


@contextlib.asynccontextmanager
async def counted(progress: RunProgress, kind: str, total: int, counter: Counter) -> AsyncIterator[None]:
    """Show how far `total` completions are that are generated inside the block, and nothing else beside them."""
    count = progress.count(kind, total)
    watch = asyncio.create_task(_watch(count, counter))
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        count.close()


async def _watch(count: Count, counter: Counter) -> None:
    """Ends with the first call that fails: whoever waits for the completions hears why."""
    with contextlib.suppress(RayError):
        done, tokens = await counter.finished()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now, so_far = await counter.finished()
            count.see(now - done, so_far - tokens)
