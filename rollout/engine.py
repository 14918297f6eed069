"""What an engine is: prompt ids in, sampled ids and their log-probabilities out. It knows no problems and no rewards.

The engines are listed in `rollout/engines.py`; `tests/rollout/test_engine_contract.py` holds each to what is said here.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from stepcoder.held import Held
from stepcoder.rollout.config import RolloutConfig

FinishReason = Literal["eos", "stop", "length"]
Part = Literal["weights", "kv_cache"]  # of what an engine holds on GPUs


class EngineDied(RuntimeError):
    """The engine's process is gone. Every request that waits for it ends with this error, and every later one."""


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
    """What the engine wrote: R response tokens and their log-probabilities. Nothing is re-tokenised.

    `finish_reason`: eos = the model's own end token (kept, last), stop = a stop string (kept), length = out of room.
    `weight_version`: the weights that its first token was sampled with, or older; an update may change them under way:
    then `token_versions` has the weights of each token, and is None otherwise.
    """

    response_ids: list[int]
    logprobs: list[float]
    finish_reason: FinishReason
    weight_version: int
    token_versions: list[int] | None = None


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Totals since the engine started; `busy_s` counts the time with at least one request in flight, `requests_s` that
    of each request."""

    completions: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    busy_s: float = 0.0
    requests_s: float = 0.0


class Engine(Protocol):
    """One model that samples. Made by `rollout.engines.make_engine` in the process that uses it.

    A seed decides a request's random numbers, whatever else is in flight. `logprobs` are taken after temperature, under
    the untruncated distribution (vLLM on a GPU: the truncated one).

    Weights change by `start_update`, `receive_update`, `finish_update`, after one `join_transfer`. Between start and
    finish no token is sampled, so none comes from a mixture of two versions. A request in flight goes on after the
    update, or ends before it. After an error of an update the weights are undefined, and no token is sampled until
    another one has come to its end.
    """

    @property
    def version(self) -> int:
        """The name of the weights that it samples with."""
        ...

    @property
    def stats(self) -> EngineStats: ...

    async def generate(self, prompt_ids: list[int], sampling: Sampling, seed: int | None = None) -> Completion:
        """One completion. Raises ValueError when the prompt leaves no room for a token, EngineDied."""
        ...

    async def ping(self) -> None:
        """Returns when the engine's process has answered anything; one that hangs never does. Raises EngineDied."""
        ...

    async def join_transfer(self, init_info: dict[str, Any]) -> None:
        """Meet the learner. Blocks until it is there or the deadline inside `init_info` has passed."""
        ...

    async def start_update(self) -> None:
        """Hold requests back and forget what was cached under the old weights."""
        ...

    async def receive_update(self, update_info: dict[str, Any]) -> None:
        """Take the tensors that the learner sends meanwhile; `update_info` is of the transfer's own form."""
        ...

    async def finish_update(self, version: int) -> None:
        """Name the weights `version` and go on."""
        ...

    async def sleep(self) -> None:
        """Free the memory of its GPUs: weights and cache are lost. No request may be in flight."""
        ...

    async def wake(self, part: Part) -> None:
        """Take memory for `part` again: first for the weights, which an update then brings, at last for the cache."""
        ...

    def close(self) -> None:
        """End the engine's processes."""
        ...


class Meter:
    """Counts an engine's requests into its `EngineStats`."""

    def __init__(self) -> None:
        self._stats = EngineStats()
        self._held = Held()

    @property
    def stats(self) -> EngineStats:
        return replace(self._stats, busy_s=self._held.busy_s, requests_s=self._held.together_s)

    def request(self) -> AbstractContextManager[None]:
        """Around the time that a request is in flight."""
        return self._held.one()

    def count(self, prompt_ids: list[int], completion: Completion) -> None:
        self._stats = replace(
            self._stats,
            completions=self._stats.completions + 1,
            prompt_tokens=self._stats.prompt_tokens + len(prompt_ids),
            generated_tokens=self._stats.generated_tokens + len(completion.response_ids),
        )


def sampling_of(config: RolloutConfig) -> Sampling:
    """The configured sampling of training completions."""
    return Sampling(config.temperature, config.top_p, config.top_k, config.max_new_tokens, config.stop)


def settled_dtype(config: RolloutConfig) -> str:
    """The engine's number format. Raises ValueError for `auto`."""
    if config.dtype == "auto":
        raise ValueError("rollout.dtype auto has to be settled before an engine is made (deploy/checks/formats.py)")
    return config.dtype


def longest_response(prompt_ids: list[int], sampling: Sampling, config: RolloutConfig) -> int:
    """Tokens that a response may have. Raises ValueError when the prompt leaves no room for one."""
    room = config.max_model_len - len(prompt_ids)
    if room < 1:
        raise ValueError(
            f"a prompt of {len(prompt_ids)} tokens leaves no room in max_model_len {config.max_model_len}; "
            "raise rollout.max_model_len or lower the curriculum's longest prompt"
        )
    return min(sampling.max_new_tokens, room)


async def greedy(engine: Engine, prompt_ids: list[int], count: int) -> list[int]:
    """The `count` most likely tokens after a prompt, one after the other; fewer when the model ends by itself."""
    completion = await engine.generate(prompt_ids, Sampling(temperature=0.0, max_new_tokens=count))
    return completion.response_ids
