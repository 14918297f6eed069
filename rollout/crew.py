"""The rollout workers, each at its place: one that dies or hangs is replaced there, and no other is disturbed.

Life of a member: its actor loads the model; it is given the newest weights; it is usable; it is lost. Invariant: a lost
member is never used again. Its successor is another actor, so that no answer of the one is taken for the other's, and
it samples nothing before it has the weights of the others.

    crew = Crew(start, 2, HeartbeatConfig(), losses, deadline_s)
    await crew.ready()
    member = random.choice(crew.usable())
    try:
        await member.actor.run.remote(...)
    except Exception as error:
        if not is_loss(error):
            raise
        crew.lose(member, error)  # and once more, with another member or the successor
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import ray
from ray.exceptions import NodeDiedError, ObjectLostError, RayActorError, RayError, RayTaskError

from stepcoder.rollout.config import HeartbeatConfig
from stepcoder.rollout.engine import EngineDied
from stepcoder.rollout.names import free
from stepcoder.waiting import WaitedTooLong, within

log = logging.getLogger(__name__)


class Losses(Protocol):
    """Who hears of a lost member, and that its successor is in use."""

    def lost(self, who: str, cause: str) -> None:
        """Raises where there is to be no successor."""
        ...

    def back(self, *found: str) -> None: ...


@dataclass(eq=False, slots=True)
class Member:
    """One actor at place `index`. `version` names its weights; None: undefined, or not given yet."""

    index: int
    actor: Any
    version: int | None = None
    up: bool = False

    @property
    def name(self) -> str:
        return f"rollout-{self.index}"

    @property
    def usable(self) -> bool:
        return self.up and self.version is not None


class Crew:
    """`count` members. `start(index)` makes an actor named as its member; `deadline_s`: to load the model (seconds)."""

    def __init__(
        self, start: Callable[[int], Any], count: int, heartbeat: HeartbeatConfig, losses: Losses, deadline_s: float
    ) -> None:
        self._start, self._heartbeat, self._losses, self._deadline_s = start, heartbeat, losses, deadline_s
        self.members = [Member(index, start(index), version=0) for index in range(count)]
        self.updating = False
        """Whether members may be taking new weights."""
        self.joined: Callable[[], Coroutine[Any, Any, None]] | None = None
        """Gives every member the newest weights; without it a successor keeps those that it has loaded."""
        self.told: Callable[[], None] = lambda: None
        self._failure: Exception | None = None
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def ready(self) -> None:
        """Waits until all have loaded the model, and has an eye on them from then on."""
        await asyncio.gather(*(member.actor.ready.remote() for member in self.members))
        for member in self.members:
            member.up = True
        self._begin(self._watch())

    def up(self) -> list[Member]:
        """Those that can be given weights."""
        return [member for member in self.members if member.up]

    def given(self, members: list[Member], version: int | None) -> None:
        """They have these weights now; None: undefined ones."""
        for member in members:
            member.version = version if member.up else None
        self._tell()

    def usable(self) -> list[Member]:
        """Those that can write now; `told` is called when there are others. Raises what keeps a lost one from being
        replaced."""
        if self._failure is not None:
            raise self._failure
        return [member for member in self.members if member.usable]

    def lose(self, member: Member, error: BaseException) -> None:
        """It is gone, or to be given up: its successor is started. Of no effect where that is known."""
        if self.members[member.index] is not member or (not member.up and member.version is None):
            return
        self._give_up(member, error)

    def _give_up(self, member: Member, error: BaseException) -> None:
        member.up, member.version = False, None
        cause = next(iter(str(getattr(error, "cause", None) or error).splitlines()), "") or type(error).__name__
        log.warning("%s is lost and replaced: %s", member.name, cause)
        ray.kill(member.actor)
        self._tell()
        self._begin(self._replace(member, cause))

    async def _replace(self, lost: Member, cause: str) -> None:
        member = lost
        try:
            self._losses.lost(lost.name, cause)
            await within(self._deadline_s, f"{lost.name} to end", free(lost.name))
            member = Member(lost.index, self._start(lost.index))
            self.members[lost.index] = member
            await within(self._deadline_s, f"{lost.name} to load the model", member.actor.ready.remote())
            member.up = True
            if self.joined is None:
                self.given([member], 0)
            else:
                self._begin(self.joined())
            while member.up and not member.usable:
                await self._news.wait()
            if member.usable:
                self._losses.back(member.name)
        except Exception as error:
            if member is not lost and is_loss(error):
                self._give_up(member, error)
            else:
                self._failure = error
        finally:
            self._tell()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat.every_s)
            await asyncio.gather(*(self._beat(member) for member in self.up()))

    async def examine(self) -> None:
        """Waits until every member's engine has answered, or is found lost. To be used when none takes new weights."""

        async def answered(member: Member) -> None:
            while member.up and not await self._beat(member):
                pass

        await asyncio.gather(*(answered(member) for member in self.up()))

    async def _beat(self, member: Member) -> bool:
        """Whether its engine has answered. Asked twice, since it may be this process that had no time to hear."""
        for again in (False, True):
            beat = member.actor.beat.remote(self.updating)
            try:
                return await within(self._heartbeat.silent_s / 2, f"a heartbeat of {member.name}, twice", beat)
            except Exception as error:
                if again or not isinstance(error, WaitedTooLong):
                    self.lose(member, error)
                    break
        return False

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("of the rollout workers' keeper: %s", error)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
        self.told()

    async def close(self, patience_s: float) -> None:
        """End the engines' processes, then their actors."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        closing = asyncio.gather(*(_answer(one.actor.close.remote()) for one in self.members), return_exceptions=True)
        with contextlib.suppress(TimeoutError):  # a worker may still be starting, or be dead
            await asyncio.wait_for(closing, patience_s)
        for member in self.members:
            ray.kill(member.actor)


def is_loss(error: BaseException) -> bool:
    """Whether a member that fails so is lost, be it its engine, its process, its node or an answer that was there."""
    cause = getattr(error, "cause", None) if isinstance(error, RayTaskError) else error
    return isinstance(cause, EngineDied | WaitedTooLong | RayActorError | NodeDiedError | ObjectLostError)


async def _answer(ref: Any) -> None:
    """Waits for a call whose failure does not matter."""
    try:
        await ref
    except RayError:
        pass
