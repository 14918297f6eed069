"""A gloo group between the learner's first rank and the engines' workers, beside any default group.

The learner has its own torch.distributed default group, which the workers cannot join;
so the group is built directly on a store. Every wait in it has the given deadline.
Rank 0 is the learner; weights flow from it as bytes, whatever their number format.
"""

import time
from collections.abc import Callable
from datetime import timedelta

import torch
from torch._C._distributed_c10d import BroadcastOptions, PrefixStore, ProcessGroupGloo, TCPStore

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
