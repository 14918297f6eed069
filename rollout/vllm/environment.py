"""Environment variables that vLLM and the libraries under it read when a process starts."""

from stepcoder.rollout.config import EngineConfig


def vllm_environment(config: EngineConfig, device: str, backend: str) -> dict[str, str]:
    """What vLLM needs beside the variables of every engine."""
    environment = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    if config.eager(device):
        environment["TORCH_COMPILE_DISABLE"] = "1"  # vLLM's sampler would compile itself: 20 s at the first request
    if device != "cpu":
        # handles of shared GPU memory travel inside weight updates and are no plain data
        return environment | ({"VLLM_ALLOW_INSECURE_SERIALIZATION": "1"} if backend == "ipc" else {})
    return environment | {
        "VLLM_TARGET_DEVICE": "cpu",
        "VLLM_CPU_KVCACHE_SPACE": str(config.kv_cache_gib),
        # vLLM's own binding spares a core for its scheduler, half of a small machine; the kernel shares better
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        # glibc gives every freed activation back to the kernel and takes new pages, zeroed, for the next: keep 256 MiB
        "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
        "MALLOC_TOP_PAD_": str(64 << 20),
        "KMP_BLOCKTIME": "1",  # milliseconds that an idle thread spins before it leaves its core to others
    }
