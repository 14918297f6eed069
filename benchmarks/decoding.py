"""Tokens a second of the engine on a CPU, as the starter run uses it.

    python -m benchmarks.decoding                          the configured format
    python -m benchmarks.decoding --dtype float32 --avx2   fp32 on a CPU that behaves as one with AVX2 only

One measurement is one child process with the engine's own environment. It generates what a step of the starter run
does (8 prompts, 8 completions each, sampled at its settings) in three ways, in turn, in several rounds:

  plain    nothing but the engine runs
  top-p    the evaluation's truncation, top-p 0.95
  beside   a second process keeps a core busy, at niceness 0 as a user's own would

  tokens/s     generated tokens by the seconds from the first prompt's start to the last completion's end
  step         milliseconds of one decoding step of the whole batch: a round of up to 49 tokens a completion less one of
               a single token each, which is the prefill, by the further tokens
  products     what the matrix products of decoding alone would take at the same batch, by the same threads: every
               linear layer and the output layer once a step. `share` is this by the step; `share, whole` takes
               all of plain's seconds instead, prefill and the tail of short batches included
  start        from the engine's construction to its first token (s)

The machine's other work disturbs all of this; figures of one child process are good against each other.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stepcoder.rollout.vllm.kernels import AVX2_ONLY

STARTER = Path(__file__).resolve().parent.parent / "configs" / "starter.yaml"
EVALUATION_TOP_P = 0.95
_STEADY_TOKENS = 48
_PRODUCTS_S = 2.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Generated tokens and the seconds that they took, over all rounds."""

    tokens: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.tokens / self.seconds


@dataclass(frozen=True, slots=True)
class Decoding:
    """One child's figures. `start_s`: to the first token; `step_s`: one steady decoding step of `batch` completions;
    `products_s`: that step's matrix products alone; `kernels`: vLLM's library that the engine has loaded."""

    dtype: str
    avx2_only: bool
    kernels: str
    batch: int
    start_s: float
    step_s: float
    products_s: float
    plain: Rate
    top_p: Rate
    beside: Rate

    @property
    def share(self) -> float:
        return self.products_s / self.step_s

    @property
    def share_whole(self) -> float:
        return self.products_s / self.batch * self.plain.per_second

    @property
    def kept_with_top_p(self) -> float:
        return self.top_p.per_second / self.plain.per_second

    @property
    def kept_beside(self) -> float:
        return self.beside.per_second / self.plain.per_second


def measure(
    dtype: str | None = None, *, avx2_only: bool = False, rounds: int = 2, extra: Sequence[str] = ()
) -> Decoding:
    """A fresh engine in a process of its own. `dtype` None is the configuration's; `extra`: settings as on the command
    line of `stepcoder train`, laid over the starter's."""
    from stepcoder.deploy.config.load import load_config
    from stepcoder.rollout.engines import engine_environment

    words = [*extra, *([] if dtype is None else ["--rollout.dtype", dtype])]
    environment = os.environ | engine_environment(load_config(STARTER, words).rollout)
    if avx2_only:
        environment |= AVX2_ONLY
    task = json.dumps({"words": words, "avx2_only": avx2_only, "rounds": rounds})
    command = [sys.executable, "-m", "benchmarks.decoding", "--child", task]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    fields: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    rates: dict[str, Any] = {name: Rate(**fields.pop(name)) for name in ("plain", "top_p", "beside")}
    return Decoding(**fields, **rates)


# -- in the child process --------------------------------------------------------------------------------------------


async def child(words: list[str], avx2_only: bool, rounds: int) -> Decoding:
    from transformers import AutoTokenizer

    from stepcoder.curriculum.prompts import Prompter
    from stepcoder.deploy.checks.formats import settle
    from stepcoder.deploy.checks.preflight import preflight
    from stepcoder.deploy.config.load import load_config
    from stepcoder.rollout.engine import Sampling, sampling_of
    from stepcoder.rollout.vllm.engine import VLLMEngine

    config, _ = settle(load_config(STARTER, words))
    ready = preflight(config, writes=False)
    prompter = Prompter(AutoTokenizer.from_pretrained(ready.model), config.curriculum.prompt)
    prompts = [prompter.ids(problem, "") for problem in ready.train[: config.subtasks_per_step]]
    batch = len(prompts) * config.rollout.group_size
    products_s = products(ready.model, config.rollout.dtype, batch)

    began = time.perf_counter()
    engine = VLLMEngine(str(ready.model), config.rollout)
    await engine.generate(prompts[0][:-1], Sampling(1.0, max_new_tokens=1), 0)
    start_s = time.perf_counter() - began

    async def generate(sampling: Sampling, seed: int) -> Rate:
        before, start = engine.stats.generated_tokens, time.perf_counter()
        calls = [
            engine.generate(prompt, sampling, seed * batch + index)
            for index, prompt in enumerate(p for p in prompts for _ in range(config.rollout.group_size))
        ]
        await asyncio.gather(*calls)
        return Rate(engine.stats.generated_tokens - before, time.perf_counter() - start)

    sampling = sampling_of(config.rollout)
    nucleus = Sampling(sampling.temperature, EVALUATION_TOP_P, 0, sampling.max_new_tokens, sampling.stop)
    found: dict[str, list[Rate]] = {"plain": [], "top_p": [], "beside": []}
    for seed in range(rounds):
        await generate(sampling, rounds)  # the first is slow, and after a busy process an engine tries its cores again
        found["plain"].append(await generate(sampling, seed))
        found["top_p"].append(await generate(nucleus, seed))
        with busy_process():
            found["beside"].append(await generate(sampling, seed))
    step_s = await steady_step(generate, rounds)
    kernels = engine.kernels
    engine.close()
    rates = {name: Rate(sum(r.tokens for r in of), sum(r.seconds for r in of)) for name, of in found.items()}
    return Decoding(config.rollout.dtype, avx2_only, kernels, batch, start_s, step_s, products_s, **rates)


async def steady_step(generate: Any, rounds: int) -> float:
    """Seconds of one decoding step of the whole batch, the best of `rounds`: a round less its prefill, by the tokens
    that it wrote, so that a completion that ends early counts with those it has."""
    from stepcoder.rollout.engine import Sampling

    best = float("inf")
    for seed in range(rounds):
        first = await generate(Sampling(1.0, max_new_tokens=1), seed)
        rest = await generate(Sampling(1.0, max_new_tokens=1 + _STEADY_TOKENS), seed)
        best = min(best, (rest.seconds - first.seconds) / (rest.tokens - first.tokens) * first.tokens)
    return best


@contextmanager
def busy_process() -> Iterator[None]:
    """A process that computes without end, in the niceness of this one."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def products(model: Path, dtype: str, batch: int) -> float:
    """Seconds of one decoding step's matrix products: each linear layer, then the output layer, [batch x in] by
    [in x out] with PyTorch's own kernel. The shapes are the model's as vLLM joins them (q, k and v; gate and up)."""
    import torch
    from transformers import AutoConfig

    with torch.inference_mode():
        shapes = layer_shapes(AutoConfig.from_pretrained(model))
        weights = [torch.randn(out, into).to(getattr(torch, dtype)) for into, out in shapes]
        inputs = {into: torch.randn(batch, into).to(getattr(torch, dtype)) for into, _ in shapes}
        taken, began = [], time.perf_counter()
        while len(taken) < 3 or time.perf_counter() - began < _PRODUCTS_S:
            start = time.perf_counter()
            for weight in weights:
                torch.nn.functional.linear(inputs[weight.shape[1]], weight)
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def layer_shapes(config: Any) -> list[tuple[int, int]]:
    """(in, out) of every matrix product of a decoder with gated MLPs, first to last."""
    hidden, heads, keys = config.hidden_size, config.num_attention_heads, config.num_key_value_heads
    size = getattr(config, "head_dim", None) or hidden // heads
    layer = [
        (hidden, (heads + 2 * keys) * size),
        (heads * size, hidden),
        (hidden, 2 * config.intermediate_size),
        (config.intermediate_size, hidden),
    ]
    return layer * config.num_hidden_layers + [(hidden, config.vocab_size)]


# -- as a command ----------------------------------------------------------------------------------------------------


def table(results: Sequence[Decoding]) -> Table:
    out = Table(title=f"{results[0].batch} completions at once")
    columns = ("format", "kernels", "start s", "tokens/s", "top-p 0.95", "beside", "step ms", "products ms", "share")
    for name in (*columns, "share, whole"):
        out.add_column(name, justify="left" if name in columns[:2] else "right")
    for r in results:
        out.add_row(
            r.dtype + (" (AVX2 only)" if r.avx2_only else ""),
            r.kernels,
            f"{r.start_s:.1f}",
            f"{r.plain.per_second:.0f}",
            f"{r.top_p.per_second:.0f} ({r.kept_with_top_p:.2f})",
            f"{r.beside.per_second:.0f} ({r.kept_beside:.2f})",
            f"{1e3 * r.step_s:.0f}",
            f"{1e3 * r.products_s:.0f}",
            f"{r.share:.2f}",
            f"{r.share_whole:.2f}",
        )
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", nargs="+", default=[None], help="bfloat16, float32, float16 (default: the setting)")
    parser.add_argument("--avx2", action="store_true", help="behave as a CPU with AVX2 only")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of the three ways (default 2)")
    parser.add_argument("--set", nargs="*", default=[], help="settings as for `stepcoder train`: rollout.cpu_threads=1")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(asdict(asyncio.run(child(**json.loads(arguments.child))))))
        return 0
    extra = [f"--{word}" for word in arguments.set]
    results = [measure(d, avx2_only=arguments.avx2, rounds=arguments.rounds, extra=extra) for d in arguments.dtype]
    Console(width=150).print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
