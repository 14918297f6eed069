"""vLLM behind one small class: token ids in, sampled token ids and their log-probabilities out.

Nothing here knows problems, programs or rewards. Invariants: a completion's token ids are
exactly what was sampled (nothing is re-tokenised); `logprobs` are taken after temperature, on a
CPU under the untruncated distribution, whatever top-p and top-k (`rollout.vllm.cpu_sampler` says why), on
a GPU, where vLLM's own sampler draws, under the truncated one; a seed decides a request's random numbers.
"""

import logging
import multiprocessing
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from stepcoder.rollout.config import EngineConfig, RolloutConfig
from stepcoder.rollout.threads import engine_threads
from stepcoder.rollout.vllm.kernels import honour_restriction, loaded

log = logging.getLogger(__name__)

_CPU_BATCHED_TOKENS = 8192  # prompts of about 100 completions fit into one step

Finish = Literal["eos", "stop", "length"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one completion is drawn. `temperature` 0 is greedy; `top_k` 0 keeps all tokens."""

    temperature: float
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 16
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """R sampled tokens, their log-probabilities, why sampling ended, and the weights it began with.

    finish: eos = the model's own end token (kept, last), stop = a stop string (kept), length = out of room.
    """

    ids: list[int]
    logprobs: list[float]
    finish: Finish
    version: int


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Totals since the engine started; `busy_s` counts the time with at least one request in flight."""

    completions: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    busy_s: float = 0.0


def sampling_of(config: RolloutConfig) -> Sampling:
    """The configured sampling of training completions."""
    return Sampling(config.temperature, config.top_p, config.top_k, config.max_new_tokens, config.stop)


def engine_environment(config: EngineConfig, device: str = "cpu", backend: str = "gloo") -> dict[str, str]:
    """Environment variables that an engine's actor must be started with (Ray: `runtime_env["env_vars"]`).

    They have to be there before the process starts: the preloaded libraries and the thread binding
    cannot be changed later.
    """
    environment = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR", "TOKENIZERS_PARALLELISM": "false"}
    if config.enforce_eager:
        environment["TORCH_COMPILE_DISABLE"] = "1"  # vLLM's sampler would compile itself: 20 s at the first request
    if device != "cpu":
        # handles of shared GPU memory travel inside weight updates and are no plain data
        return environment | ({"VLLM_ALLOW_INSECURE_SERIALIZATION": "1"} if backend == "ipc" else {})
    environment |= {
        "VLLM_TARGET_DEVICE": "cpu",
        "VLLM_CPU_KVCACHE_SPACE": str(config.kv_cache_gib),
        # vLLM's own binding spares a core for its scheduler, half of a small machine; the kernel shares better
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(engine_threads(config.cpu_threads)),
        # glibc gives every freed activation back to the kernel and takes new pages, zeroed, for the next: keep 256 MiB
        "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
        "MALLOC_TOP_PAD_": str(64 << 20),
        "KMP_BLOCKTIME": "1",  # milliseconds that an idle thread spins before it leaves its core to others
    }
    if libraries := preload_libraries():
        environment["LD_PRELOAD"] = ":".join(libraries)
    return environment


def preload_libraries() -> list[str]:
    """Allocator and OpenMP runtime that make vLLM fast on a CPU, as far as this machine has them."""
    found = [Path(sys.prefix) / "lib" / "libiomp5.so"]
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"):
        found.append(Path(folder) / "libtcmalloc_minimal.so.4")
    return [str(path) for path in found if path.is_file()]


def engine_died(error: BaseException) -> bool:
    """Whether an error (or one of a group) says that the engine's process is gone."""
    from vllm.v1.engine.exceptions import EngineDeadError

    if isinstance(error, BaseExceptionGroup):
        return any(engine_died(inner) for inner in error.exceptions)
    return isinstance(error, EngineDeadError)


class Engine:
    """One asynchronous vLLM engine. Make it in the process that uses it; `close()` ends its processes."""

    def __init__(
        self, model: str, config: RolloutConfig, *, device: str = "cpu", backend: str = "gloo", version: int = 0
    ) -> None:
        """Blocks until the model is loaded (15-80 s). `backend` is `rollout.vllm.weights.choose_backend`'s answer."""
        if config.dtype == "auto":
            raise ValueError("rollout.dtype auto has to be settled before an engine is made (deploy/checks/formats.py)")
        honour_restriction()
        from vllm import AsyncEngineArgs
        from vllm.config import WeightTransferConfig
        from vllm.v1.engine.async_llm import AsyncLLM

        from stepcoder.rollout.vllm.process import TiedExecutor, TiedMultiprocExecutor

        arguments: dict[str, Any] = dict(
            model=model,
            dtype=config.dtype,
            max_model_len=config.max_model_len,
            max_num_seqs=config.max_num_seqs,
            block_size=config.block_size,
            tensor_parallel_size=config.tensor_parallel,
            enable_prefix_caching=True,
            enforce_eager=config.enforce_eager,
            logprobs_mode="processed_logprobs",
            weight_transfer_config=WeightTransferConfig(backend=backend),
            distributed_executor_backend=TiedExecutor if config.tensor_parallel == 1 else TiedMultiprocExecutor,
            disable_log_stats=True,
            enable_log_requests=False,
        )
        if device == "cpu":
            arguments["worker_cls"] = "stepcoder.rollout.vllm.cpu_worker.TiedCPUWorker"
            # vLLM takes back the random number of a prompt that it computed in part, which CPU generators cannot
            # do (it dies): whole prompts only.
            arguments["enable_chunked_prefill"] = False
            arguments["max_num_batched_tokens"] = max(config.max_model_len, _CPU_BATCHED_TOKENS)
        else:
            arguments["gpu_memory_utilization"] = config.gpu_memory_utilization
        self._llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        self._config = config
        self._version = version
        self._requests = 0
        self._in_flight = 0
        self._busy_since = 0.0
        self._stats = EngineStats()

    @property
    def version(self) -> int:
        return self._version

    @property
    def stats(self) -> EngineStats:
        running = time.monotonic() - self._busy_since if self._in_flight else 0.0
        return replace(self._stats, busy_s=self._stats.busy_s + running)

    @property
    def kernels(self) -> str:
        """vLLM's kernel library in the engine's process, as `rollout.vllm.kernels.loaded` names it."""
        return "+".join(sorted({loaded(child.pid) for child in multiprocessing.active_children() if child.pid}))

    async def generate(self, prompt: list[int], sampling: Sampling, seed: int | None = None) -> Completion:
        """One completion. Raises ValueError when the prompt leaves no room for a token."""
        room = self._config.max_model_len - len(prompt)
        if room < 1:
            raise ValueError(
                f"a prompt of {len(prompt)} tokens leaves no room in max_model_len {self._config.max_model_len}; "
                "raise rollout.max_model_len or lower the curriculum's longest prompt"
            )
        self._requests += 1
        self._started()
        version = self._version
        name = f"{os.getpid()}-{self._requests}"
        output = None
        try:
            async for answer in self._llm.generate(
                {"prompt_token_ids": prompt}, _parameters(sampling, seed, room), name
            ):
                output = answer
        finally:
            self._ended()
        if output is None or not output.finished:
            raise RuntimeError("vLLM ended a request without an answer; see its log above")
        completion = _completion(output.outputs[0], version)
        self._stats = replace(
            self._stats,
            completions=self._stats.completions + 1,
            prompt_tokens=self._stats.prompt_tokens + len(prompt),
            generated_tokens=self._stats.generated_tokens + len(completion.ids),
        )
        return completion

    async def join_transfer(self, init_info: dict[str, Any]) -> None:
        """Meet the learner. Blocks until it is there or the deadline inside `init_info` has passed."""
        from vllm.distributed.weight_transfer.base import WeightTransferInitRequest

        await self._llm.init_weight_transfer_engine(WeightTransferInitRequest(init_info=init_info))

    async def start_update(self) -> None:
        """Freeze the requests in flight, forget what was cached under the old weights, and open the update."""
        await self._llm.pause_generation(mode="keep", clear_cache=True)
        await self._llm.start_weight_update()

    async def receive_update(self, update_info: dict[str, Any]) -> None:
        from vllm.distributed.weight_transfer.base import WeightTransferUpdateRequest

        await self._llm.update_weights(WeightTransferUpdateRequest(update_info=update_info))

    async def finish_update(self, version: int) -> None:
        """Close the update, name the weights `version`, and go on with the frozen requests."""
        await self._llm.finish_weight_update(weight_version=str(version))
        if not await self._llm.reset_prefix_cache():
            raise RuntimeError("vLLM kept a prefix cache that was computed with the old weights; restart the engine")
        committed = await self._llm.get_weight_version()
        if committed != str(version):
            raise RuntimeError(f"the engine says it holds weights {committed}, not {version}; restart the engine")
        self._version = version
        await self._llm.resume_generation()

    def close(self) -> None:
        self._llm.shutdown()

    def _started(self) -> None:
        if self._in_flight == 0:
            self._busy_since = time.monotonic()
        self._in_flight += 1

    def _ended(self) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._stats = replace(self._stats, busy_s=self._stats.busy_s + time.monotonic() - self._busy_since)


def _parameters(sampling: Sampling, seed: int | None, room: int) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p if sampling.temperature > 0 else 1.0,
        top_k=sampling.top_k if sampling.temperature > 0 else 0,
        seed=seed,
        max_tokens=min(sampling.max_new_tokens, room),
        stop=list(sampling.stop),
        include_stop_str_in_output=True,
        logprobs=0,
        skip_special_tokens=False,
        detokenize=bool(sampling.stop),
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _completion(output: Any, version: int) -> Completion:
    ids = list(output.token_ids)
    logprobs = [step[token].logprob for token, step in zip(ids, output.logprobs, strict=True)]
    if output.finish_reason == "length":
        finish: Finish = "length"
    elif output.finish_reason == "stop":
        finish = "stop" if isinstance(output.stop_reason, str) else "eos"
    else:
        raise RuntimeError(f"vLLM ended a request with {output.finish_reason!r}; see its log above")
    return Completion(ids, logprobs, finish, version)


async def greedy(engine: Engine, prompt: list[int], count: int) -> list[int]:
    """The `count` most likely tokens after `prompt`, one after the other; fewer when the model ends by itself."""
    completion = await engine.generate(prompt, Sampling(temperature=0.0, max_new_tokens=count))
    return completion.ids
