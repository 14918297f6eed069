"""vLLM's own sender through a stand-in for the GPUs' group: its buffer, and that a dead engine ends a transfer."""

import threading
from typing import Any

import pytest
import torch

from stepcoder.rollout.vllm import sender
from stepcoder.rollout.weights import Link, Tensors

SHAPES = [("a", (4, 8)), ("b", (16,))]


class Group:
    """In the place of NCCL's: a broadcast waits for receivers that never come, until the group is destroyed."""

    def __init__(self) -> None:
        self.gone = threading.Event()

    def broadcast(self, tensor: torch.Tensor, src: int, stream: Any = None) -> None:
        assert self.gone.wait(60), "nobody ended the broadcast"
        raise RuntimeError("the group was aborted")

    def destroy(self) -> None:
        self.gone.set()


class Engines:
    version = 1

    def join(self, info: dict[str, Any]) -> None: ...
    def start(self) -> None: ...
    def finish(self) -> None: ...

    def receive(self, info: Any) -> None:
        raise ConnectionError("rollout-1 is gone")


def test_an_engine_that_dies_while_weights_are_sent_ends_the_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    import vllm.distributed.weight_transfer.nccl_engine as nccl

    group, tensors = Group(), Tensors(SHAPES, torch.bfloat16)
    monkeypatch.setattr(nccl, "open_trainer_endpoint", lambda info: group)
    # Streams are the device's: without one the packed broadcast is that of its first chunk.
    monkeypatch.setattr(
        nccl, "packed_nccl_broadcast_producer", lambda iterator, group, **_: group.broadcast(next(iterator)[1], 0)
    )
    link = Link(Engines(), tensors, 0, "127.0.0.1", 3, 60.0)  # type: ignore[arg-type]
    found = sender.vllm_sender("nccl", link)
    tensors.tensors = [(name, torch.zeros(shape)) for name, shape in SHAPES]
    with pytest.raises(ConnectionError, match="rollout-1 is gone"):
        found.send_weights()
    assert group.gone.is_set()


def test_the_buffer_of_a_shared_gpu_holds_the_largest_tensor() -> None:
    embedding = ("embedding", (152_064, 3584))
    assert sender.buffer_bytes(Tensors([*SHAPES, embedding], torch.bfloat16)) == 152_064 * 3584 * 2 > 1 << 30
    assert sender.buffer_bytes(Tensors(SHAPES, torch.bfloat16)) == 1 << 30
