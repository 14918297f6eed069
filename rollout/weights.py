"""The learner's end of a weight update: from named tensors to engines that sample with them.

    publisher = WeightPublisher(choose_backend(...), "bfloat16", rank)
    publisher.connect(workers, shapes)               # once, and again after a worker was restarted
    publisher.publish(named_tensors, version)        # after a step, on every learner rank

The learner's rank 0 drives the engines: it freezes them, sends while they receive, and lets
them go on. Other ranks only iterate their tensors, which takes part in the gathering that a
sharded learner needs. The controller therefore makes one call, on every rank, and no engine
ever samples from a mixture of two versions. After an error the engines that took part hold
undefined weights and sample nothing: connect again to those that are left, and publish once more.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from stepcoder.rollout.engines import make_sender

Shapes = Sequence[tuple[str, tuple[int, ...]]]


class TransferFailed(RuntimeError):
    """Engines did not take part in a transfer to its end; says nothing about the learner."""


class Engines:
    """All rollout actors at once: a call returns when all have answered. `version` names the weights on their way."""

    def __init__(self, workers: Sequence[Any], ranks_per_worker: int, deadline_s: float) -> None:
        self._workers = list(workers)
        self._ranks_per_worker = ranks_per_worker
        self._deadline_s = deadline_s
        self.version = 0

    def join(self, init_info: dict[str, Any]) -> None:
        """Every engine gets its own rank offset where the backend numbers its members."""
        infos = [dict(init_info) for _ in self._workers]
        for index, info in enumerate(infos):
            if "rank_offset" in info:
                info["rank_offset"] += index * self._ranks_per_worker
        self._all("joining the learner", "join_transfer", infos)

    def start(self) -> None:
        self._all("pausing for new weights", "start_update")

    def receive(self, update_info: Any) -> None:
        self._all("receiving weights", "receive_update", [update_info] * len(self._workers))

    def finish(self) -> None:
        self._all("finishing a weight update", "finish_update", [self.version] * len(self._workers))

    def _all(self, what: str, method: str, arguments: Sequence[Any] | None = None) -> None:
        import ray
        from ray.exceptions import GetTimeoutError

        given = [()] * len(self._workers) if arguments is None else [(argument,) for argument in arguments]
        refs = [getattr(worker, method).remote(*each) for worker, each in zip(self._workers, given, strict=True)]
        try:
            ray.get(refs, timeout=self._deadline_s)
        except GetTimeoutError as error:
            raise TimeoutError(
                f"{what}: an engine did not answer within {self._deadline_s:.0f} s (rollout.weights_deadline_s)"
            ) from error


class Sender(Protocol):
    """One end of a transfer. `send_weights` has the engines start, sends every tensor, and has them finish."""

    def send_weights(self) -> None: ...
    def shutdown(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Link:
    """What a sender is made of. `size`: members of the transfer, learner rank 0 and each process of each engine.

    `host`: an address of this machine that the engines can reach; `rank`: the learner's.
    """

    engines: Engines
    tensors: "Tensors"
    rank: int
    host: str
    size: int
    deadline_s: float


class WeightPublisher:
    """Casts to the engines' number format and sends. One object on every learner rank."""

    def __init__(self, backend: str, dtype: str, rank: int = 0, deadline_s: float = 300.0) -> None:
        self._backend = backend
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._rank = rank
        self._deadline_s = deadline_s
        self._engines: Engines | None = None
        self._sender: Sender | None = None
        self._tensors = Tensors((), self._dtype)

    def connect(
        self, workers: Sequence[Any], shapes: Shapes, ranks_per_worker: int = 1, host: str | None = None
    ) -> None:
        """Meet the engines' workers. `shapes`: name and full shape of every tensor, in publishing order.

        `workers`: handles of rollout actors; `ranks_per_worker` = tensor parallel size. `host`: an
        address of this machine that they can reach. Raises TransferFailed when one does not come in time.
        """
        self.close()
        self._tensors = Tensors(shapes, self._dtype)
        self._engines = Engines(workers, ranks_per_worker, self._deadline_s)
        if self._backend == "gloo" and self._rank > 0:
            return  # rank 0 alone is a member
        size = 1 + len(workers) * ranks_per_worker
        link = Link(self._engines, self._tensors, self._rank, host or _own_address(), size, self._deadline_s)
        try:
            self._sender = make_sender(self._backend, link)
        except Exception as error:
            raise TransferFailed(f"learner and engines did not meet: {error}") from error

    def publish(self, named_tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Send full tensors to every engine and name them `version`. Call on every rank, in the same order.

        Raises TransferFailed, and is of no use until the next `connect`, where an engine dies or is silent.
        """
        if self._engines is None:
            raise RuntimeError("publish() before connect()")
        self._engines.version = version
        self._tensors.tensors = named_tensors = iter(named_tensors)
        try:
            if self._sender is not None:
                self._sender.send_weights()
            else:
                for _ in self._tensors:
                    pass
        except (ValueError, StopIteration):  # the tensors are at fault
            raise
        except Exception as error:
            self.close()
            for _ in named_tensors:  # other ranks wait for this one to gather each
                pass
            raise TransferFailed(f"weights {version} did not reach every engine: {error}") from error
        finally:
            self._tensors.tensors = ()

    def close(self) -> None:
        if self._sender is not None:
            self._sender.shutdown()
        self._sender = None


class Tensors:
    """What a sender sends: names and shapes, and one pass over full tensors in the engines' number format."""

    def __init__(self, shapes: Shapes, dtype: torch.dtype) -> None:
        self.shapes = list(shapes)
        self.dtype = dtype
        self.tensors: Iterable[tuple[str, torch.Tensor]] = ()

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        count = 0
        for (expected, shape), (name, tensor) in zip(self.shapes, self.tensors, strict=True):
            if name != expected or tuple(tensor.shape) != tuple(shape):
                raise ValueError(
                    f"tensor {count} is {name!r} {tuple(tensor.shape)}, but connect() was told {expected!r} "
                    f"{tuple(shape)}; publish the tensors in the order of connect()'s shapes"
                )
            count += 1
            yield name, tensor.detach().to(self.dtype).contiguous()


def _own_address() -> str:
    """This machine's address inside the Ray cluster."""
    import ray

    return ray.util.get_node_ip_address()
