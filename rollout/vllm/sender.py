"""The learner's end of a weight transfer that vLLM brings itself: NCCL between GPUs, CUDA IPC on a shared one."""

import math
import socket
from collections.abc import Callable, Iterator
from typing import Any

import torch
from vllm.distributed.weight_transfer import WeightTransferTrainerFactory
from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource
from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

from stepcoder.rollout.weights import Engines, Link, Sender, Tensors

BUFFER = 1 << 30  # bytes of weights sent at a time


def vllm_sender(backend: str, link: Link) -> Sender:
    """`backend`: "nccl" or "ipc". Every learner rank makes one.

    The caller computes on the stream that it had before: vLLM, asked for the current one, makes another and leaves it.
    """
    info = (
        IPCTrainerInitInfo(packed=True, rank=link.rank, packed_buffer_size_bytes=buffer_bytes(link.tensors))
        if backend == "ipc"
        else NCCLTrainerInitInfo(link.host, _free_port(), link.size, packed_buffer_size_bytes=BUFFER, rank=link.rank)
    )
    client, on_gpu = _Client(link.engines), torch.cuda.is_available()
    stream = torch.cuda.current_stream() if on_gpu else None
    try:
        inner = WeightTransferTrainerFactory.trainer_init(info, client=client, source=_Source(link.tensors))
    finally:
        if stream is not None:
            torch.cuda.set_stream(stream)
    return VLLMSender(inner, client)


def buffer_bytes(tensors: Tensors) -> int:
    """Of the shared buffer of an IPC transfer: every single tensor has to fit."""
    return max([BUFFER, *(math.prod(shape) * tensors.dtype.itemsize for _, shape in tensors.shapes)])


class VLLMSender:
    """vLLM's sender, which neither waits for training's stream nor notices an engine that dies while it sends.

    When the engines' answer is an error, the group is aborted: the broadcast that waits for them ends, and
    `send_weights` raises what they said. The sender is of no use then; connect anew.
    """

    def __init__(self, inner: Any, client: "_Client") -> None:
        self._inner, self._client = inner, client
        client.failed = self._abort

    def send_weights(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # the packing streams begin where training has ended
        try:
            self._inner.send_weights()
        except Exception as error:
            if self._client.error is not None and error is not self._client.error:
                raise self._client.error from error
            raise
        if self._client.error is not None:
            raise self._client.error

    def shutdown(self) -> None:
        self._abort()

    def _abort(self) -> None:
        group = getattr(self._inner, "model_update_group", None)
        if group is not None:
            group.destroy()


class _Client:
    """The engines under the names that vLLM calls."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self.error: Exception | None = None
        self.failed: Callable[[], None] = lambda: None

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        self._engines.join(init_info)

    def start_weight_update(self) -> None:
        self._engines.start()

    def update_weights(self, update_info: Any) -> None:
        try:
            self._engines.receive(update_info)
        except Exception as error:
            self.error = error
            self.failed()
            raise

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._engines.finish()


class _Source(WeightSource):
    """The tensors as the type that vLLM wants to see."""

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors

    def metadata(self) -> list[ParamMeta]:
        return [ParamMeta(name, self._tensors.dtype, tuple(shape)) for name, shape in self._tensors.shapes]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        return iter(self._tensors)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]
