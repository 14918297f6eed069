"""The reference engine: a plain loop over a Hugging Face model. Small and slow; other engines are compared with it.

The model lives in one process beside the caller's. Requests are answered there one after the other, token by token,
and an update of the weights waits for those made before it. Weights arrive over gloo, on GPUs too.
"""

import asyncio
import logging
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

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
from stepcoder.rollout.gloo import GlooReceiver
from stepcoder.rollout.lifeline import tie_to_parent


class TransformersEngine:
    """The caller's side: a queue of calls to the process with the model."""

    def __init__(self, model: str, config: RolloutConfig, *, device: str = "cpu", version: int = 0) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, initializer=tie_to_parent)
        self._pid = self._pool.submit(_load, model, settled_dtype(config), device).result()
        self._config = config
        self._version = version
        self._meter = Meter()
        self._open = asyncio.Event()  # not while weights are updated
        self._open.set()
        self._calls, self._answered = 0, asyncio.Event()

    @property
    def version(self) -> int:
        return self._version

    @property
    def stats(self) -> EngineStats:
        return self._meter.stats

    async def generate(self, prompt_ids: list[int], sampling: Sampling, seed: int | None = None) -> Completion:
        longest = longest_response(prompt_ids, sampling, self._config)
        with self._meter.request():
            await self._open.wait()
            completion = await self._call("generate", prompt_ids, sampling, seed, longest, self._version)
        self._meter.count(prompt_ids, completion)
        return completion

    async def ping(self) -> None:
        """An answer to any call will do: a question would wait for the requests before it."""
        if not self._calls:
            return await self._call("wait")
        self._answered.clear()
        await self._answered.wait()

    async def join_transfer(self, init_info: dict[str, Any]) -> None:
        await self._call("join", init_info)

    async def start_update(self) -> None:
        """Returns when the requests made before it have ended, with the old weights."""
        self._open.clear()
        await self._call("wait")

    async def receive_update(self, update_info: dict[str, Any]) -> None:
        await self._call("receive", update_info)

    async def finish_update(self, version: int) -> None:
        self._version = version
        self._open.set()

    async def sleep(self) -> None:
        raise NotImplementedError("rollout.engine transformers can't sleep")

    async def wake(self, part: Part) -> None:
        raise NotImplementedError("rollout.engine transformers can't sleep")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            if child.pid == self._pid:
                child.kill()

    async def _call(self, method: str, *arguments: Any) -> Any:
        self._calls += 1
        try:
            return await asyncio.wrap_future(self._pool.submit(_answer, method, *arguments))
        except BrokenProcessPool as error:
            raise EngineDied(f"the engine's process {self._pid} is gone") from error
        finally:
            self._calls -= 1
            self._answered.set()


# -- in the engine's process -----------------------------------------------------------------------------------------

_loaded: list["_Model"] = []


def _load(model: str, dtype: str, device: str) -> int:
    _loaded.append(_Model(model, dtype, device))
    return os.getpid()


def _answer(method: str, *arguments: Any) -> Any:
    return getattr(_loaded[0], method)(*arguments)


class _Model:
    """A model, its tokenizer and its end of the weight transfer."""

    def __init__(self, directory: str, dtype: str, device: str) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        logging.getLogger("transformers").setLevel(logging.ERROR)
        model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=getattr(torch, dtype))
        self._model = model.to(device).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(directory)
        named = self._model.generation_config.eos_token_id
        self._end_ids = {self._tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}
        self._receiver: GlooReceiver | None = None

    @torch.inference_mode()
    def generate(
        self, prompt_ids: list[int], sampling: Sampling, seed: int | None, longest: int, version: int
    ) -> Completion:
        random = torch.Generator()
        random.seed() if seed is None else random.manual_seed(seed)
        ids: list[int] = []
        logprobs: list[float] = []
        cache, unseen, reason = None, prompt_ids, None
        while reason is None:
            output = self._model(torch.tensor([unseen], device=self._model.device), past_key_values=cache)
            token, logprob = draw(output.logits[0, -1].float().cpu(), sampling, random)
            ids.append(token)
            logprobs.append(logprob)
            cache, unseen, reason = output.past_key_values, [token], self._reason(ids, sampling, longest)
        return Completion(ids, logprobs, reason, version)

    def _reason(self, ids: list[int], sampling: Sampling, longest: int) -> FinishReason | None:
        """Why the response ends here; None where it goes on."""
        if ids[-1] in self._end_ids:
            return "eos"
        text = self._tokenizer.decode(ids) if sampling.stop else ""
        if any(stop in text for stop in sampling.stop):
            return "stop"
        return "length" if len(ids) == longest else None

    def wait(self) -> None:
        """Answered when all calls before it are."""

    def join(self, info: dict[str, Any]) -> None:
        self._leave()
        host, port = info["master_address"], info["master_port"]
        self._receiver = GlooReceiver(info["rank_offset"], host, port, info["world_size"], info["deadline_s"])

    @torch.no_grad()
    def receive(self, info: dict[str, Any]) -> None:
        if self._receiver is None:
            raise RuntimeError("weights were sent before the engine joined the learner; connect the publisher first")
        parameters = dict(self._model.named_parameters())
        try:
            for name, tensor in self._receiver.tensors(info["names"], info["dtype_names"], info["shapes"]):
                parameters[name].copy_(tensor)
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        if self._receiver is not None:
            self._receiver.close()
        self._receiver = None


def draw(logits: Float[Tensor, " V"], sampling: Sampling, random: torch.Generator) -> tuple[int, float]:
    """A token, and its log-probability under the whole distribution after temperature."""
    if sampling.temperature == 0:
        token = int(logits.argmax())
        return token, float(logits.log_softmax(-1)[token])
    logprobs = (logits / sampling.temperature).log_softmax(-1)
    token = int(torch.multinomial(truncated(logprobs.exp(), sampling.top_k, sampling.top_p), 1, generator=random))
    return token, float(logprobs[token])


def truncated(p: Float[Tensor, " V"], top_k: int, top_p: float) -> Float[Tensor, " V"]:
    """0 but for the `top_k` most likely tokens (0: all), and of these the fewest that hold `top_p` of their mass."""
    order = p.argsort(descending=True, stable=True)
    kept = p[order[:top_k] if top_k else order]
    kept = torch.where(kept.cumsum(0) - kept < top_p * kept.sum(), kept, 0.0)
    return torch.zeros_like(p).index_put((order[: len(kept)],), kept)
