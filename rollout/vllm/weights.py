"""The learner's end of a weight update: from named tensors to engines that sample with them.

    publisher = WeightPublisher(choose_backend(...), "bfloat16", rank)
    publisher.connect(workers, shapes)               # once, and again after a worker was restarted
    publisher.publish(named_tensors, version)        # after a step, on every learner rank

The learner's rank 0 drives the engines: it freezes them, sends while they receive, and lets
them go on. Other ranks only iterate their tensors, which takes part in the gathering that a
sharded learner needs. The controller therefore makes one call, on every rank, and no engine
ever samples from a mixture of two versions. After an error the engines that took part hold
undefined weights: restart them, then connect again.
"""

import logging
import socket
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import torch

from stepcoder.rollout.vllm.gloo import await_members, broadcast, join_group, open_store

log = logging.getLogger(__name__)

Shapes = Sequence[tuple[str, tuple[int, ...]]]


def choose_backend(learner_device: str, engine_device: str, same_gpu: bool) -> str:
    """gloo when an engine runs on CPUs, else ipc on a shared GPU, else nccl. Devices are "cpu" or "cuda"."""
    for name, device in (("learner", learner_device), ("engine", engine_device)):
        if device not in ("cpu", "cuda"):
            raise ValueError(f"the {name}'s device is {device!r}; expected 'cpu' or 'cuda'")
    if engine_device == "cpu":
        return "gloo"
    if learner_device == "cpu":
        raise ValueError("a learner on CPUs cannot feed engines on GPUs; give the learner GPUs too")
    return "ipc" if same_gpu else "nccl"


class SyncClient(Protocol):
    """How rank 0 talks to all engines at once; every call returns when all have answered."""

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None: ...
    def start_weight_update(self) -> None: ...
    def update_weights(self, update_info: Any) -> None: ...
    def finish_weight_update(self, weight_version: str | None = None) -> None: ...


class RayEngines:
    """The `SyncClient` over rollout actors. `version` names the weights of the update that is under way."""

    def __init__(self, workers: Sequence[Any], ranks_per_worker: int, deadline_s: float) -> None:
        self._workers = list(workers)
        self._ranks_per_worker = ranks_per_worker
        self._deadline_s = deadline_s
        self.version = 0

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Every engine gets its own rank offset where the backend numbers its members."""
        infos = [dict(init_info) for _ in self._workers]
        for index, info in enumerate(infos):
            if "rank_offset" in info:
                info["rank_offset"] += index * self._ranks_per_worker
        self._all("joining the learner", "join_transfer", infos)

    def start_weight_update(self) -> None:
        self._all("pausing for new weights", "start_update")

    def update_weights(self, update_info: Any) -> None:
        self._all("receiving weights", "receive_update", [update_info] * len(self._workers))

    def finish_weight_update(self, weight_version: str | None = None) -> None:
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
                f"{what}: an engine did not answer within {self._deadline_s:.0f} s "
                "(rollout.weights_deadline_s); restart the rollout workers"
            ) from error


class WeightPublisher:
    """Casts to the engines' number format and sends. One object on every learner rank."""

    def __init__(self, backend: str, dtype: str, rank: int = 0, deadline_s: float = 300.0) -> None:
        self._backend = backend
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._rank = rank
        self._deadline_s = deadline_s
        self._client: RayEngines | None = None
        self._sender: Any = None
        self._source = _Tensors((), self._dtype)

    def connect(
        self, workers: Sequence[Any], shapes: Shapes, ranks_per_worker: int = 1, host: str | None = None
    ) -> None:
        """Meet the engines' workers. `shapes`: name and full shape of every tensor, in publishing order.

        `workers`: handles of rollout actors; `ranks_per_worker` = tensor parallel size. `host`: an
        address of this machine that they can reach. Raises when one does not come in time.
        """
        self.close()
        self._source = _Tensors(shapes, self._dtype)
        self._client = RayEngines(workers, ranks_per_worker, self._deadline_s)
        size = 1 + len(workers) * ranks_per_worker
        address = host or _own_address()
        if self._backend == "gloo":
            if self._rank == 0:
                self._sender = GlooSender(self._client, self._source, address, size, self._deadline_s)
        else:
            self._sender = _vllm_sender(self._backend, self._client, self._source, self._rank, address, size)

    def publish(self, named_tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Send full tensors to every engine and name them `version`. Call on every rank, in the same order."""
        if self._client is None:
            raise RuntimeError("publish() before connect()")
        self._client.version = version
        self._source.tensors = named_tensors
        try:
            if self._sender is not None:
                self._sender.send_weights()
            else:
                for _ in self._source:
                    pass
        finally:
            self._source.tensors = ()

    def close(self) -> None:
        if self._sender is not None:
            self._sender.shutdown()
        self._sender = None


class _Tensors:
    """What vLLM calls a weight source: metadata, and one pass over full tensors in the wire format."""

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


class GlooSender:
    """Rank 0's end of the gloo transfer; the other end is `rollout.vllm.gloo_receiver`."""

    def __init__(self, client: SyncClient, source: _Tensors, host: str, size: int, deadline_s: float) -> None:
        self._client = client
        self._source = source
        self._group: Any = None
        self._store: Any = open_store(host, deadline_s)
        init_info = {
            "master_address": host,
            "master_port": self._store.port,
            "rank_offset": 1,
            "world_size": size,
            "deadline_s": deadline_s,
        }
        try:
            with _alongside(client.init_weight_transfer_engine, init_info) as answer:
                await_members(self._store, size, deadline_s, given_up=answer.done)
                self._group = join_group(self._store, 0, size, deadline_s)
        except BaseException:
            self.shutdown()  # members that are still waiting here see the store go, and need not wait any longer
            raise

    def send_weights(self) -> None:
        dtype = str(self._source.dtype).removeprefix("torch.")
        update_info = {
            "names": [name for name, _ in self._source.shapes],
            "dtype_names": [dtype] * len(self._source.shapes),
            "shapes": [list(shape) for _, shape in self._source.shapes],
        }
        self._client.start_weight_update()
        with _alongside(self._client.update_weights, update_info):
            for _, tensor in self._source:
                broadcast(self._group, tensor.cpu())
        self._client.finish_weight_update()

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


def _vllm_sender(backend: str, client: SyncClient, source: _Tensors, rank: int, host: str, size: int) -> Any:
    """vLLM's own sender between GPUs (nccl) or on a shared one (ipc); it needs to see its own source type."""
    from vllm.distributed.weight_transfer import WeightTransferTrainerFactory
    from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource
    from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo
    from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

    class Source(WeightSource):
        def metadata(self) -> list[ParamMeta]:
            return [ParamMeta(name, source.dtype, tuple(shape)) for name, shape in source.shapes]

        def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
            return iter(source)

    info = (
        IPCTrainerInitInfo(packed=True, rank=rank)
        if backend == "ipc"
        else NCCLTrainerInitInfo(host, _free_port(), size, rank=rank)
    )
    return WeightTransferTrainerFactory.trainer_init(info, client=client, source=Source())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def _own_address() -> str:
    """This machine's address inside the Ray cluster."""
    import ray

    return ray.util.get_node_ip_address()
