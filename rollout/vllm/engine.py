"""vLLM's asynchronous engine as an `Engine`.

`logprobs` are taken under the untruncated distribution on a CPU (`rollout.vllm.cpu_sampler` says why), and on a GPU,
where vLLM's own sampler draws, under the truncated one.
"""

import asyncio
import contextlib
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stepcoder.rollout.config import RolloutConfig
from stepcoder.rollout.engine import (
    Completion,
    EngineDied,
    EngineStats,
    FinishReason,
    Meter,
    Part,
    Sampling,
    longest_response,
    settled_dtype,
)
from stepcoder.rollout.threads import shares_cores
from stepcoder.rollout.vllm.kernels import honour_restriction, loaded

_UNNAMED = "default"  # vLLM's name of weights before the first update
CPU_WORKER = "stepcoder.rollout.vllm.cpu_worker.TiedCPUWorker"
_LOOK_S = 1.0  # how often a request asks whether the engine is still there
_CPU_BATCHED_TOKENS = 8192  # prompts of about 100 completions fit into one step
_NO_SHARE = 0.01  # of a GPU's memory


@contextmanager
def _naming_death() -> Iterator[None]:
    """vLLM's error for a process that is gone, as ours."""
    from vllm.v1.engine.exceptions import EngineDeadError

    try:
        yield
    except EngineDeadError as error:
        raise EngineDied(str(error)) from error


class VLLMEngine:
    """vLLM computes in a process of its own, or several with tensor parallelism."""

    def __init__(
        self, model: str, config: RolloutConfig, *, device: str = "cpu", backend: str = "gloo", version: int = 0
    ) -> None:
        """Blocks until the model is loaded (15-80 s). `backend` is `rollout.engines.choose_backend`'s answer."""
        honour_restriction()
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        self._llm = AsyncLLM.from_engine_args(AsyncEngineArgs(model=model, **arguments(config, device, backend)))
        self._config = config
        self._version = self._first_version = version
        self._requests = 0
        self._meter = Meter()
        self._half_loaded = False

    @property
    def version(self) -> int:
        return self._version

    @property
    def stats(self) -> EngineStats:
        return self._meter.stats

    @property
    def kernels(self) -> str:
        """vLLM's kernel library in the engine's process, as `rollout.vllm.kernels.loaded` names it."""
        return "+".join(sorted({loaded(child.pid) for child in multiprocessing.active_children() if child.pid}))

    async def generate(self, prompt_ids: list[int], sampling: Sampling, seed: int | None = None) -> Completion:
        parameters = _parameters(sampling, seed, longest_response(prompt_ids, sampling, self._config))
        self._requests += 1
        version, name = self._version, f"{os.getpid()}-{self._requests}"
        with self._meter.request(), _naming_death():
            output = await self._output(prompt_ids, parameters, name)
        if output is None or not output.finished:
            raise RuntimeError("vLLM ended a request without an answer; see its log above")
        completion = _completion(output.outputs[0], version, self._first_version)
        self._meter.count(prompt_ids, completion)
        return completion

    async def _output(self, prompt_ids: list[int], parameters: Any, name: str) -> Any:
        """vLLM's last answer. A request that it takes up while the engine dies is never answered: that is seen here."""

        async def last() -> Any:
            output = None
            async for answer in self._llm.generate({"prompt_token_ids": prompt_ids}, parameters, name):
                output = answer
            return output

        task = asyncio.create_task(last())
        try:
            while not task.done():
                await asyncio.wait([task], timeout=_LOOK_S)
                if self._llm.errored and not task.done():
                    raise EngineDied("the engine's process is gone")
            return task.result()
        finally:
            task.cancel()

    async def ping(self) -> None:
        with _naming_death():
            await self._llm.get_weight_version()

    async def join_transfer(self, init_info: dict[str, Any]) -> None:
        from vllm.distributed.weight_transfer.base import WeightTransferInitRequest

        with _naming_death():
            await self._llm.init_weight_transfer_engine(WeightTransferInitRequest(init_info=init_info))

    async def start_update(self) -> None:
        """Requests in flight are frozen; they go on after the update, with the new weights."""
        with _naming_death():
            await self._llm.pause_generation(mode="keep", clear_cache=True)
            if self._half_loaded:
                await self._clear()
            self._half_loaded = True
            await self._llm.start_weight_update()

    async def _clear(self) -> None:
        """After an update that failed, vLLM counts what came of it as a part of the next one's; an end clears that."""
        with contextlib.suppress(Exception):  # where the error came from receiving, vLLM has left the update
            await self._llm.start_weight_update()
        await self._llm.finish_weight_update()

    async def receive_update(self, update_info: dict[str, Any]) -> None:
        from vllm.distributed.weight_transfer.base import WeightTransferUpdateRequest

        with _naming_death():
            await self._llm.update_weights(WeightTransferUpdateRequest(update_info=update_info))

    async def finish_update(self, version: int) -> None:
        with _naming_death():
            await self._llm.finish_weight_update(weight_version=str(version))
            if not await self._llm.reset_prefix_cache():
                raise RuntimeError(
                    "vLLM kept a prefix cache that was computed with the old weights; restart the engine"
                )
            committed = await self._llm.get_weight_version()
            if committed != str(version):
                raise RuntimeError(f"the engine says it holds weights {committed}, not {version}; restart the engine")
            self._version = version
            self._half_loaded = False
            await self._llm.resume_generation()

    async def sleep(self) -> None:
        """Neither weights nor cache are kept: new weights come before the next request."""
        with _naming_death():
            await self._llm.sleep(level=2, mode="wait")

    async def wake(self, part: Part) -> None:
        with _naming_death():
            await self._llm.wake_up(tags=[part])

    def close(self) -> None:
        self._llm.shutdown()


def arguments(config: RolloutConfig, device: str, backend: str) -> dict[str, Any]:
    """What vLLM is asked for, beside the model."""
    from vllm.config import WeightTransferConfig

    from stepcoder.rollout.vllm.process import TiedExecutor, TiedMultiprocExecutor

    found: dict[str, Any] = dict(
        dtype=settled_dtype(config),
        max_model_len=config.max_model_len,
        max_num_seqs=config.max_num_seqs,
        block_size=config.block_size,
        tensor_parallel_size=config.tensor_parallel,
        enable_prefix_caching=True,
        enforce_eager=config.eager(device),
        logprobs_mode="processed_logprobs",
        weight_transfer_config=WeightTransferConfig(backend=backend),
        distributed_executor_backend=TiedExecutor if config.tensor_parallel == 1 else TiedMultiprocExecutor,
        disable_log_stats=True,
        enable_log_requests=False,
    )
    if device == "cpu":
        found["worker_cls"] = CPU_WORKER
        found["additional_config"] = {"share_cores": shares_cores(config.cpu_threads)}
        # vLLM takes back the random number of a prompt that it computed in part, which CPU generators cannot
        # do (it dies): whole prompts only.
        found["enable_chunked_prefill"] = False
        found["max_num_batched_tokens"] = max(config.max_model_len, _CPU_BATCHED_TOKENS)
        return found
    found["max_num_batched_tokens"] = config.batched_tokens
    found["gpu_memory_utilization"] = config.gpu_memory_utilization
    if config.gpu_cache_gib is not None:
        found["kv_cache_memory_bytes"] = int(config.gpu_cache_gib * 2**30)
        # The share has no effect then, but vLLM still refuses a GPU with less free than that, as one that a learner
        # computes on too.
        found["gpu_memory_utilization"] = _NO_SHARE
    if backend == "ipc":  # on a GPU with a learner, which may want its memory
        found["enable_sleep_mode"] = True
    return found


def _parameters(sampling: Sampling, seed: int | None, longest: int) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p if sampling.temperature > 0 else 1.0,
        top_k=sampling.top_k if sampling.temperature > 0 else 0,
        seed=seed,
        max_tokens=longest,
        stop=list(sampling.stop),
        include_stop_str_in_output=True,
        logprobs=0,
        skip_special_tokens=False,
        detokenize=bool(sampling.stop),
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _completion(output: Any, version: int, first_version: int) -> Completion:
    """`version`: when it was asked for; `first_version`: of the engine's first weights, which vLLM has no name for."""
    ids = list(output.token_ids)
    logprobs = [step[token].logprob for token, step in zip(ids, output.logprobs, strict=True)]
    if output.finish_reason == "length":
        reason: FinishReason = "length"
    elif output.finish_reason == "stop":
        reason = "stop" if isinstance(output.stop_reason, str) else "eos"
    else:
        raise RuntimeError(f"vLLM ended a request with {output.finish_reason!r}; see its log above")
    versions = [
        first_version if span.version == _UNNAMED else int(span.version)
        for span in output.weight_versions or ()
        for _ in range(span.start, span.end)
    ]
    return Completion(ids, logprobs, reason, version, versions if set(versions) - {version} else None)
