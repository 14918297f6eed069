"""How full an engine is: completions are counted as they end, not when their group does."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Room:
    """Of an engine that samples `places` completions at once."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._ended = 0
        self._changed = asyncio.Event()

    async def after(self, sent: int) -> int:
        """How many of the `sent` completions that were asked for have ended; answered once there is room for more."""
        while sent - self._ended >= self._places:
            self._changed.clear()
            await self._changed.wait()
        return self._ended

    @contextmanager
    def group(self, completions: int) -> Iterator[Callable[[], None]]:
        """Around a group that is written: call what it gives when one has ended; the others end with the block."""
        left = completions

        def ended() -> None:
            nonlocal left
            left -= 1
            self._end(1)

        try:
            yield ended
        finally:
            self._end(left)

    def _end(self, completions: int) -> None:
        self._ended += completions
        self._changed.set()
