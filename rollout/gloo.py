"""Weights over a gloo group between the learner's first rank and the engines' workers: both ends.

The learner has its own torch.distributed default group, which the workers cannot join;
so the group is built directly on a store. Every wait in it has the given deadline.
Rank 0 is the learner; weights flow from it as bytes, whatever their number format.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import torch
from torch._C._distributed_c10d import BroadcastOptions, PrefixStore, ProcessGroupGloo, TCPStore

from stepcoder.rollout.weights import Link

_POLL_S = 0.02


def open_store(host: str, deadline_s: float) -> TCPStore:
    """The rendezvous point, on a free port of this machine (`store.port`)."""
    return TCPStore(host, 0, None, True, timedelta(seconds=deadline_s), wait_for_workers=False)


def join_store(host: str, port: int, deadline_s: float) -> TCPStore:
    return TCPStore(host, port, None, False, timedelta(seconds=deadline_s), wait_for_workers=False)


def await_members(store: TCPStore, size: int, deadline_s: float, given_up: Callable[[], bool]) -> None:
    """Rank 0 waits here for the others before it joins, because a join cannot be broken off.

    Raises ConnectionError as soon as `given_up()` is true, TimeoutError after `deadline_s` seconds.
    """
    until = time.monotonic() + deadline_s
    while not all(store.check([_here(rank)]) for rank in range(1, size)):
        if given_up():
            raise ConnectionError("an engine did not join the learner for its weights")
        if time.monotonic() > until:
            missing = [rank for rank in range(1, size) if not store.check([_here(rank)])]
            raise TimeoutError(f"engine workers {missing} did not join the learner within {deadline_s:.0f} s")
        time.sleep(_POLL_S)


def join_group(store: TCPStore, rank: int, size: int, deadline_s: float) -> ProcessGroupGloo:
    """Blocks until all `size` members are there. Raises RuntimeError after `deadline_s` seconds."""
    store.set(_here(rank), "")
    return ProcessGroupGloo(PrefixStore("weights", store), rank, size, timedelta(seconds=deadline_s))


def _here(rank: int) -> str:
    return f"here/{rank}"


def broadcast(group: ProcessGroupGloo, tensor: torch.Tensor) -> None:
    """Send `tensor` (contiguous, on CPU) from rank 0, or receive into it on the others."""
    options = BroadcastOptions()
    options.rootRank = 0
    options.rootTensor = 0
    group.broadcast([tensor.view(-1).view(torch.uint8)], options).wait()  # pyright: ignore[reportAttributeAccessIssue]


class GlooReceiver:
    """An engine's end: one member of the group. Closed, it tells the learner at once instead of at its deadline."""

    def __init__(self, rank: int, host: str, port: int, size: int, deadline_s: float) -> None:
        """Blocks until all `size` members are there."""
        self._store: Any = join_store(host, port, deadline_s)
        self._group: Any = join_group(self._store, rank, size, deadline_s)

    def tensors(
        self, names: Iterable[str], dtype_names: Iterable[str], shapes: Iterable[list[int]]
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """What the learner sends, as it comes."""
        for name, dtype, shape in zip(names, dtype_names, shapes, strict=True):
            weight = torch.empty(shape, dtype=getattr(torch, dtype))
            broadcast(self._group, weight)
            yield name, weight

    def close(self) -> None:
        self._group = self._store = None


class GlooSender:
    """Rank 0's end, a `rollout.weights.Sender`."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._group: Any = None
        self._store: Any = open_store(link.host, link.deadline_s)
        init_info = {
            "master_address": link.host,
            "master_port": self._store.port,
            "rank_offset": 1,
            "world_size": link.size,
            "deadline_s": link.deadline_s,
        }
        try:
            with _alongside(link.engines.join, init_info) as answer:
                await_members(self._store, link.size, link.deadline_s, given_up=answer.done)
                self._group = join_group(self._store, 0, link.size, link.deadline_s)
        except BaseException:
            self.shutdown()  # members that are still waiting here see the store go, and need not wait any longer
            raise

    def send_weights(self) -> None:
        tensors, engines = self._link.tensors, self._link.engines
        dtype = str(tensors.dtype).removeprefix("torch.")
        update_info = {
            "names": [name for name, _ in tensors.shapes],
            "dtype_names": [dtype] * len(tensors.shapes),
            "shapes": [list(shape) for _, shape in tensors.shapes],
        }
        engines.start()
        with _alongside(engines.receive, update_info):
            for _, tensor in tensors:
                broadcast(self._group, tensor.cpu())
        engines.finish()

    def shutdown(self) -> None:
        self._group = self._store = None


class _alongside:
    """Runs a call in a thread while the block runs; an error of either ends both, the call's first."""

    def __init__(self, call: Any, argument: Any) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._future = self._pool.submit(call, argument)

    def __enter__(self) -> "Future[Any]":
        return self._future

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._pool.shutdown(wait=False)
        if error is None:
            self._future.result()
        elif self._future.done() and (cause := self._future.exception()) is not None:
            raise cause from error
