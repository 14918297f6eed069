"""Weights handed to another process of the same GPU, as `benchmarks/gpu.py` tries it: apart, so that the other process
imports torch alone."""

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.multiprocessing as processes
from torch import Tensor

from benchmarks.gpu import Row


def digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.detach().contiguous().view(-1).view(torch.uint8).cpu().numpy().tobytes()).hexdigest()


def filled_twice(device: str, numel: int) -> Iterator[Row]:
    """A buffer of `numel` bytes that this process fills twice and another reads twice."""
    context = processes.get_context("spawn")
    here, there = context.Pipe()
    buffer = torch.empty(numel, dtype=torch.uint8, device=device)
    child = context.Process(target=_reader, args=(there,), daemon=True)
    child.start()
    here.send(buffer)
    assert here.poll(300) and here.recv() == "ready", "the other process does not start"
    for turn in (1, 2):
        pattern = (torch.arange(251, device=device) * turn % 251).to(torch.uint8)
        buffer.copy_(pattern.repeat(-(-numel // 251))[:numel])
        if device == "cuda":
            torch.cuda.synchronize()
        begun = time.perf_counter()
        here.send(turn)
        assert here.poll(300), "the other process does not answer"
        found, own, seconds = here.recv(), digest(buffer), time.perf_counter() - begun
        yield Row("ipc", f"filling {turn}, hashed there in {seconds:.2f} s", found[:12], own[:12], found == own)
    here.send(None)
    child.join(60)


def _reader(pipe: Any) -> None:
    buffer = pipe.recv()
    pipe.send("ready")
    while pipe.recv() is not None:
        pipe.send(digest(buffer))
