"""A run on GPUs where there are none: the device is a stand-in, everything else is real.

Ray counts GPUs that it was told of, and gives each actor its own by number. Ranks and engines that are placed on them
compute on CPUs. What vLLM's weight transfer asks of the device is answered here: its streams have no work of their own,
NCCL's group is a gloo group, and memory shared by CUDA IPC is a file that both sides map, found by the number of the
GPU that Ray gave. As on a GPU, linear layers keep their weights as they are, and an engine that sleeps has lost them.

    with on_cpu(monkeypatch):                 # in the driver's process
        services = asyncio.run(start_services(...))
"""

import hashlib
import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._C._distributed_c10d import TCPStore

from stepcoder.deploy.checks import nodes
from stepcoder.deploy.checks.nodes import Node, look
from stepcoder.learner.networks.engine import TrainedModel
from stepcoder.learner.rank import HeldGPU, LearnerRank, learner_environment
from stepcoder.rollout.engines import engine_environment
from stepcoder.rollout.gloo import broadcast, join_group
from stepcoder.rollout.vllm.cpu_worker import TiedCPUWorker
from stepcoder.rollout.worker import RolloutWorker
from tests.tools.learner import partition_everything

BUFFER = 1 << 16  # bytes sent at a time
DEADLINE_S = 60.0
MEMORY = 80 * 2**30
events: list[str] = []  # of this process


class Stream:
    def synchronize(self) -> None: ...


class Group:
    """In the place of NCCL's: what is broadcast has arrived when the call returns."""

    def __init__(self, host: str, port: int, rank: int, size: int, device: Any = None) -> None:
        self._store = TCPStore(host, port, None, rank == 0, timedelta(seconds=DEADLINE_S), wait_for_workers=False)
        self._group = join_group(self._store, rank, size, DEADLINE_S)

    def broadcast(self, tensor: torch.Tensor, src: int, stream: Any = None) -> None:
        assert src == 0
        events.append(f"broadcast {tensor.numel()}")
        broadcast(self._group, tensor)

    def destroy(self) -> None:
        self._group = self._store = None


class Device:
    """torch, but for its GPUs: `index` is that of this process among those that it sees."""

    def __init__(self, index: int) -> None:
        self._index = index
        self.accelerator = SimpleNamespace(current_device_index=lambda: index, synchronize=lambda: None)
        self.cuda = SimpleNamespace(
            Stream=lambda device: Stream(),
            stream=_nothing,
            is_available=lambda: True,
            current_stream=Stream,
            set_stream=lambda stream: events.append("stream restored"),
            synchronize=lambda: events.append("synchronised"),
            ipc_collect=lambda: None,
            get_device_properties=lambda device: SimpleNamespace(uuid=self.name()),
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def name(self) -> str:
        return os.environ["CUDA_VISIBLE_DEVICES"].split(",")[self._index]

    def empty(self, size: Any, *, dtype: torch.dtype, device: Any = None) -> torch.Tensor:
        """On a GPU it may be shared with another process, so here too."""
        if device != "cuda":
            return torch.empty(size, dtype=dtype, device=device)
        handle, path = tempfile.mkstemp(prefix="ipc-", dir="/dev/shm")
        os.truncate(handle, size)
        os.close(handle)
        found = torch.from_file(path, shared=True, size=size, dtype=dtype)
        _files[found.data_ptr()] = path
        weakref.finalize(found, os.unlink, path)  # whoever has mapped it keeps it
        return found


_files: dict[int, str] = {}


@contextmanager
def _nothing(_: Any) -> Iterator[None]:
    yield


def exported(tensor: torch.Tensor) -> tuple[None, tuple[Any, ...]]:
    """In the place of torch's export of a tensor by CUDA IPC; the seventh of the arguments is the device."""
    return None, (_files[tensor.data_ptr()], tensor.numel(), *[0] * 5)


def imported(path: str, size: int, *_: Any) -> torch.Tensor:
    return torch.from_file(path, shared=True, size=size, dtype=torch.uint8)


def stand_in(index: int = 0) -> None:
    """For vLLM's weight transfer in this process."""
    from vllm.distributed.weight_transfer import base, ipc_engine, nccl_common, nccl_engine, packed_tensor

    from stepcoder.rollout.vllm import sender

    device: Any = Device(index)
    for module in (base, ipc_engine, nccl_common, nccl_engine, packed_tensor, sender):
        module.torch = device
    nccl_common.stateless_init_process_group = Group
    for module in (packed_tensor, ipc_engine):
        module.reduce_tensor = exported
    torch.multiprocessing.reductions.rebuild_cuda_tensor = imported
    sender.BUFFER = BUFFER


class OnCPURank(LearnerRank):
    """A rank that was given a GPU."""

    def __init__(self, *arguments: Any, cuda: bool, **named: Any) -> None:
        super().__init__(*arguments, cuda=False, **named)
        assert cuda
        stand_in()
        TrainedModel._settings = partition_everything(TrainedModel._settings)

    def gpu(self) -> HeldGPU:
        return HeldGPU(os.environ["CUDA_VISIBLE_DEVICES"], MEMORY)

    def sent(self) -> dict[str, torch.Tensor]:
        """What the engines are sent."""
        return {name: tensor.to(torch.bfloat16).clone() for name, tensor in self._full_weights()}

    def events(self) -> list[str]:
        return events


class OnCPUWorker(RolloutWorker):
    """An engine that was given GPUs."""

    def __init__(self, *arguments: Any, device: str, **named: Any) -> None:
        from stepcoder.rollout.vllm import engine

        assert device == "cuda"
        engine.CPU_WORKER = f"{__name__}.KeptWeights"
        super().__init__(*arguments, device="cpu", **named)

    async def weights(self) -> list[dict[str, str]]:
        """Of each of the engine's processes: parameter -> SHA-256 of its bytes."""
        engine: Any = self._engine
        return await engine._llm.collective_rpc("weights")

    async def gpus(self) -> str:
        return os.environ["CUDA_VISIBLE_DEVICES"]


class KeptWeights(TiedCPUWorker):
    """vLLM's worker, with the device's stand-in, and with weights where a GPU has them: not packed for a CPU."""

    def __init__(self, vllm_config: Any, local_rank: int, *arguments: Any, **named: Any) -> None:
        from vllm.model_executor.layers import utils

        stand_in(local_rank)
        utils.dispatch_cpu_unquantized_gemm = lambda layer, remove_weight: setattr(
            layer, "cpu_linear", torch.nn.functional.linear
        )
        super().__init__(vllm_config, local_rank, *arguments, **named)

    def sleep(self, level: int = 1) -> None:
        assert level == 2
        with torch.no_grad():
            for parameter in self.model_runner.model.parameters():
                parameter.fill_(torch.nan)

    def wake_up(self, tags: list[str] | None = None) -> None: ...

    def weights(self) -> dict[str, str]:
        return {name: digest(parameter) for name, parameter in self.model_runner.model.named_parameters()}


def look_on_cpu() -> Node:
    """What a node says that has the GPUs."""
    return replace(look(), builds=(), memory=(MEMORY,))


def digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


@contextmanager
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the driver starts on GPUs computes on CPUs."""
    from stepcoder.learner import service as learner
    from stepcoder.rollout import service as rollout

    def engine(config: Any, device: str, backend: str) -> dict[str, str]:
        return engine_environment(config, device, backend) | engine_environment(config, "cpu", backend)

    with monkeypatch.context() as patch:
        patch.setattr(learner, "learner_environment", lambda cuda, ranks: learner_environment(cuda=False, ranks=ranks))
        patch.setattr(learner.LearnerService, "rank_class", OnCPURank)
        patch.setattr(rollout, "RolloutWorker", OnCPUWorker)
        patch.setattr(rollout, "engine_environment", engine)
        patch.setattr(nodes, "look", look_on_cpu)
        yield
