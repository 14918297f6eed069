"""What vLLM is asked for on GPUs, by what vLLM itself makes of it."""

from types import SimpleNamespace
from typing import Any

import pytest

from stepcoder.rollout.config import RolloutConfig
from stepcoder.rollout.vllm.engine import arguments

GIB = 2**30


def start(config: RolloutConfig, free: int, backend: str) -> Any:
    """vLLM's look at a GPU of 80 GiB of which `free` are; raises where it does not start there."""
    from vllm.v1.worker.utils import request_memory

    found = arguments(config, "cuda", backend)
    gpu: Any = SimpleNamespace(total_memory=80 * GIB, free_memory=free * GIB, device_="cuda:0")
    request_memory(gpu, SimpleNamespace(gpu_memory_utilization=found["gpu_memory_utilization"]))  # type: ignore[arg-type]
    return found


def test_beside_a_learner_it_starts_in_what_is_free_and_can_sleep() -> None:
    found = start(RolloutConfig(dtype="bfloat16", gpu_cache_gib=10.5), 30, "ipc")
    assert found["kv_cache_memory_bytes"] == 21 * GIB // 2 and found["enable_sleep_mode"]


def test_alone_it_takes_its_share() -> None:
    found = start(RolloutConfig(dtype="bfloat16"), 79, "nccl")
    assert "kv_cache_memory_bytes" not in found and "enable_sleep_mode" not in found
    with pytest.raises(ValueError, match="less than desired GPU memory utilization"):
        start(RolloutConfig(dtype="bfloat16"), 30, "nccl")
