"""The learner as the controller sees it: a group of ranks that act as one.

Every call goes to all ranks. Groups of completions are dealt by their number of tokens, heaviest first to the
lightest rank, so that the split depends on the groups alone.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

import ray
from ray.exceptions import RayTaskError

from stepcoder.learner.config import LearnerConfig
from stepcoder.learner.rank import HeldGPU, LearnerRank, learner_environment
from stepcoder.paths import Located
from stepcoder.waiting import WaitedTooLong, within

T = TypeVar("T")
SIGN_S = 30.0  # for a rank that is there to say so, when another has failed


class RankHangs(RuntimeError):
    """A rank's process is there and gives no sign of life, not even beside what it computes."""


class LearnerService:
    """`config.ranks` processes with `gpu_share` of a GPU each; 0 is on CPUs."""

    rank_class: type[LearnerRank] = LearnerRank

    def __init__(
        self,
        model: str | Located,
        config: LearnerConfig,
        *,
        seed: int,
        total_updates: int,
        temperature: float,
        gpu_share: float = 0.0,
        options: Callable[[int], dict[str, Any]] = lambda rank: {},
    ) -> None:
        """`options` are those of each rank's actor, such as where it is placed."""
        cuda = gpu_share > 0
        # Where the state is in main memory already, a copy beside it is what the machine has least of.
        self.writes_beside = cuda
        self.version = 0
        """Of the policy's weights: the step that made them."""
        self.turn = asyncio.Lock()
        """Held by a step, and by whoever sends weights in between."""
        groups = {"files": 1, "signs": 1}
        actor: Any = ray.remote(concurrency_groups=groups)(self.rank_class)  # pyright: ignore[reportCallIssue]
        environment = {"env_vars": learner_environment(cuda=cuda, ranks=config.ranks)}
        self.ranks: list[Any] = [
            actor.options(
                name=f"learner-{rank}", num_cpus=0, num_gpus=gpu_share, runtime_env=environment, **options(rank)
            ).remote(
                rank,
                config.ranks,
                model,
                config,
                seed=seed,
                total_updates=total_updates,
                temperature=temperature,
                cuda=cuda,
            )
            for rank in range(config.ranks)
        ]

    async def build(self) -> dict[str, float]:
        address, port = await self.ranks[0].address.remote()
        return (await self._all("build", address, port))[0]

    async def nodes(self) -> list[str]:
        """Where each rank is, also while it builds its networks: ids of Ray's."""
        return await asyncio.gather(*(rank.node.options(concurrency_group="files").remote() for rank in self.ranks))

    async def watch(self, every_s: float, silent_s: float) -> NoReturn:
        """Ends with the error of the first rank that is gone, or RankHangs."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self._signs(silent_s)
            except WaitedTooLong as error:
                raise RankHangs(str(error)) from None

    async def _signs(self, silent_s: float) -> None:
        """Raises the error of the first rank that is gone, WaitedTooLong where one says nothing."""
        signs = asyncio.gather(*(rank.node.options(concurrency_group="signs").remote() for rank in self.ranks))
        await within(silent_s, "a sign of life of every learner rank", signs)

    async def gpus(self) -> list[HeldGPU]:
        """The GPU of each rank, in their order."""
        return await self._all("gpu")

    async def connect_engines(
        self, workers: Sequence[Any], backend: str, dtype: str, ranks: int, deadline_s: float
    ) -> None:
        await self._all("connect_engines", list(workers), backend, dtype, ranks, deadline_s)

    async def step(self, step: int, groups: Sequence[Any], tokens: Sequence[int]) -> dict[str, float]:
        """One step. `groups`: references to groups of trajectories; `tokens`: their sizes."""
        shares = deal(tokens, len(self.ranks))
        async with self.turn:
            steps = [
                rank.step.remote(step, *(groups[i] for i in share))
                for rank, share in zip(self.ranks, shares, strict=True)
            ]
            metrics = (await self._together(steps))[0]
            self.version = step
        return metrics

    def trained(self) -> list[Any]:
        """References to what each rank's loss used in the last step."""
        return [rank.trained.remote() for rank in self.ranks]

    async def publish(self, version: int) -> None:
        await self._all("publish", version)

    async def save(self, directory: str) -> dict[str, int]:
        """`capture` and `write` in one."""
        await self.capture()
        return await self.write(directory)

    async def capture(self) -> None:
        """Copy the state to main memory, for `write`; where `writes_beside` is False only name it."""
        await self._all("capture", self.writes_beside)

    async def write(self, directory: str) -> dict[str, int]:
        """Write what `capture` copied; other calls may be made meanwhile, but `capture`. Where `writes_beside` is False
        none that trains. Returns the files of all ranks by their name in `directory`, with their sizes (bytes)."""
        writes = [rank.write.options(concurrency_group="files").remote(directory) for rank in self.ranks]
        return {name: size for files in await self._together(writes) for name, size in files.items()}

    async def load(self, directory: str) -> None:
        await self._all("load", directory)

    def close(self) -> None:
        for rank in self.ranks:
            ray.kill(rank)

    async def _all(self, method: str, *arguments: Any) -> list[Any]:
        return await self._together(getattr(rank, method).remote(*arguments) for rank in self.ranks)

    async def _together(self, calls: Iterable[Awaitable[T]]) -> list[T]:
        """All answers; a failure is raised at once, without waiting for ranks that wait for the failed one.

        Where a rank is gone it is that which is raised: what the others say of it may come first.
        """
        try:
            return await asyncio.gather(*calls)
        except RayTaskError:
            with contextlib.suppress(WaitedTooLong):
                await self._signs(SIGN_S)
            raise


def deal(tokens: Sequence[int], ranks: int) -> list[list[int]]:
    """Indices for each rank: heaviest first, each to the rank with the fewest tokens so far; then in issue order."""
    shares: list[list[int]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for i in sorted(range(len(tokens)), key=lambda i: (-tokens[i], i)):
        lightest = min(range(ranks), key=lambda r: (loads[r], r))
        shares[lightest].append(i)
        loads[lightest] += tokens[i]
    return [sorted(share) for share in shares]
