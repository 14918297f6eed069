"""The learner's end of a weight transfer that vLLM brings itself: NCCL between GPUs, CUDA IPC on a shared one."""

import socket
from collections.abc import Iterator
from typing import Any

import torch
from vllm.distributed.weight_transfer import WeightTransferTrainerFactory
from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource
from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

from stepcoder.rollout.weights import Engines, Link, Sender, Tensors


def vllm_sender(backend: str, link: Link) -> Sender:
    """`backend`: "nccl" or "ipc". Every learner rank makes one."""
    info = (
        IPCTrainerInitInfo(packed=True, rank=link.rank)
        if backend == "ipc"
        else NCCLTrainerInitInfo(link.host, _free_port(), link.size, rank=link.rank)
    )
    return WeightTransferTrainerFactory.trainer_init(info, client=_Client(link.engines), source=_Source(link.tensors))


class _Client:
    """The engines under the names that vLLM calls."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        self._engines.join(init_info)

    def start_weight_update(self) -> None:
        self._engines.start()

    def update_weights(self, update_info: Any) -> None:
        self._engines.receive(update_info)

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
