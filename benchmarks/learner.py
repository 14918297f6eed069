"""Tokens a second and peak memory of the learner's forward and backward pass: packed rows against padded ones.

    python -m benchmarks.learner                     16 completions of about 256 tokens after one prompt of 512
    python -m benchmarks.learner --equal             the same, all completions equally long
    python -m benchmarks.learner --prompts 8 --prompt-tokens 90 --completions 8 --completion-tokens 60 \\
        --token-budget 1024 --ways packed dense      a step of the starter run: structured attention against a mask

Ways, all with the same weights, tokens and targets, so the same loss and gradients (both are printed):

  packed   the learner's own: a prompt once, completions behind it, no padding, learner/networks/attention.py
  padded   plain transformers, as most trainers do it: one row a completion with its prompt, padded on the right to the
           longest of its batch. It gets no mask, which right padding does not need, so that PyTorch's
           causal kernel is used; and log-probabilities of the completions' tokens only, in the same chunks
  dense    the packed rows with one [L x L] mask a row, as transformers' own attention would need them

One measurement is one child process: it loads the model, warms up on a small group and makes one pass that
counts (log-probabilities and entropies of all completions, backward, gradients of all weights; no optimiser). Children
run one at a time, the ways in turn, in several rounds; a ratio is the median over the rounds of packed against the
other way in the same round. All get the learner's own environment: allocator and OpenMP library preloaded, as many
threads as the machine has cores, the same precision.

  s, CPU s  the pass by the clock and in processor time; the speed ratio is that of the clock, or with --threads 1 of
            processor time, which holds on a machine that does other things too

  tokens/s  prompt tokens, each prompt once, and completion tokens, by the seconds of the pass that counts
  useful    of the positions that the linear layers compute, those that are needed: each prompt once, and of each
            completion all but the last token, which predicts nothing
  peak      largest resident memory (on a GPU: allocated memory) during that pass, less what the process held when the
            model had been loaded: activations, gradients, temporary tensors. In brackets: that of the whole process
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.learner_ways import WAYS, Work

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Result:
    seconds: float
    busy: float  # processor seconds
    computed: int  # positions
    peak: int  # bytes over the loaded model
    whole: int  # bytes
    loss: float
    norm: float


def measure(way: str, work: Work, path: Path) -> Result:
    """In the child process."""
    import torch

    load, lay_out = WAYS[way]
    policy = load(work, path)
    vocabulary, device = policy.model.config.vocab_size, torch.device(work.device)
    policy.to(device)
    weights = torch.randn(sum(map(sum, work.lengths())), generator=torch.Generator().manual_seed(0)).to(device)
    watch = CudaMemory() if device.type == "cuda" else ResidentMemory()

    def one_pass(batches: list[tuple[Any, ...]]) -> tuple[float, float, float]:
        policy.zero_grad(set_to_none=True)
        loss, busy, start = 0.0, time.process_time(), time.perf_counter()
        for *inputs, flat in batches:
            logprobs, _ = policy(*(x.to(device) if torch.is_tensor(x) else x for x in inputs))
            part = (logprobs * weights[flat.to(device)]).sum()
            part.backward()
            loss += part.item()
        return time.perf_counter() - start, time.process_time() - busy, loss

    short = min(32, work.completion_tokens // 2)
    small = replace(work, prompts=1, prompt_tokens=64, completions=min(2, work.completions), completion_tokens=short)
    one_pass(lay_out(small, vocabulary))
    policy.zero_grad(set_to_none=True)
    batches = lay_out(work, vocabulary)
    watch.begin()
    seconds, busy, loss = one_pass(batches)
    peak, whole = watch.end()
    norm = torch.nn.utils.get_total_norm([p.grad for p in policy.parameters() if p.grad is not None])
    return Result(seconds, busy, sum(b[0].numel() for b in batches), peak, whole, loss, float(norm))


class ResidentMemory:
    """The kernel's own high-water mark of this process, which can be set back."""

    def __init__(self) -> None:
        self._loaded = self._status("VmRSS")

    def begin(self) -> None:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def end(self) -> tuple[int, int]:
        whole = self._status("VmHWM")
        return whole - self._loaded, whole

    @staticmethod
    def _status(key: str) -> int:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))


class CudaMemory:
    def __init__(self) -> None:
        import torch

        self._cuda = torch.cuda
        self._loaded = self._cuda.memory_allocated()

    def begin(self) -> None:
        self._cuda.reset_peak_memory_stats()

    def end(self) -> tuple[int, int]:
        whole = self._cuda.max_memory_allocated()
        return whole - self._loaded, whole


def child(way: str, work: Work, path: Path, threads: int | None) -> Result:
    """A fresh process with the environment that the learner gives its ranks."""
    from stepcoder.learner.rank import learner_environment

    environment = os.environ | learner_environment(cuda=work.device == "cuda", ranks=1)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    task = json.dumps({"way": way, "work": asdict(work), "path": str(path)})
    command = [sys.executable, "-m", "benchmarks.learner", "--child", task]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def table(work: Work, found: dict[str, list[Result]], clock: Callable[[Result], float]) -> Table:
    title = f"{work.prompts} x {work.completions} completions, {work.tokens:,} tokens, {work.precision}"
    out = Table(title=title + (", activations recomputed" if work.checkpointing else ""))
    for column in (
        "way",
        "s",
        "CPU s",
        "tokens/s",
        "useful",
        "peak GiB",
        "loss",
        "gradient",
        "packed: speed",
        "packed: peak",
    ):
        out.add_column(column, justify="left" if column == "way" else "right")

    def middle(way: str, value: Callable[[Result], float]) -> float:
        return statistics.median(map(value, found[way]))

    def ratio(way: str, value: Callable[[Result, Result], float]) -> str:
        if "packed" not in found or way == "packed":
            return ""
        each = [value(a, b) for a, b in zip(found["packed"], found[way], strict=True)]
        return f"{statistics.median(each):.2f} ({min(each):.2f}-{max(each):.2f})"

    for way, results in found.items():
        out.add_row(
            way,
            f"{middle(way, lambda r: r.seconds):.1f}",
            f"{middle(way, lambda r: r.busy):.1f}",
            f"{middle(way, lambda r: work.tokens / clock(r)):.0f}",
            f"{work.needed / results[0].computed:.1%}",
            f"{middle(way, lambda r: r.peak / GIB):.2f} ({middle(way, lambda r: r.whole / GIB):.2f})",
            f"{results[0].loss:.4f}",
            f"{results[0].norm:.4f}",
            ratio(way, lambda ours, other: clock(other) / clock(ours)),
            ratio(way, lambda ours, other: ours.peak / other.peak),
        )
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="starter model or a Hugging Face directory")
    parser.add_argument("--prompts", type=int, default=1, help="groups (default 1)")
    parser.add_argument("--prompt-tokens", type=int, default=512, help="tokens of a prompt (default 512)")
    parser.add_argument("--completions", type=int, default=16, help="completions of a prompt (default 16)")
    parser.add_argument("--completion-tokens", type=int, default=256, help="their mean length (default 256)")
    parser.add_argument("--equal", action="store_true", help="all of that length, not between half and 1.5 times")
    parser.add_argument("--seed", type=int, default=0, help="draws lengths and tokens (default 0)")
    parser.add_argument("--precision", choices=("autocast", "fp32"), default="autocast", help="default autocast: bf16")
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing, in every way")
    parser.add_argument("--chunk", type=int, default=512, help="tokens with logits at a time (default 512)")
    parser.add_argument("--token-budget", type=int, default=5120, help="tokens of a packed row (default 5120)")
    parser.add_argument("--padded-batch", type=int, default=16, help="sequences of a padded batch (default 16)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument(
        "--ways", nargs="+", choices=tuple(WAYS), default=("packed", "padded"), help="default: packed padded"
    )
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way (default 3)")
    parser.add_argument("--threads", type=int, help="OpenMP threads (default: cores of the machine)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    ways, rounds, threads, task = (options.pop(key) for key in ("ways", "rounds", "threads", "child"))
    if task is not None:
        given = json.loads(task)
        print(json.dumps(asdict(measure(given["way"], Work(**given["work"]), Path(given["path"])))))
        return 0

    from stepcoder.deploy.checks.starter_model import resolve_model
    from stepcoder.errors import UserError

    work, console = Work(**options), Console(width=None if sys.stdout.isatty() else 130)
    try:
        path = resolve_model(work.model)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    found: dict[str, list[Result]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in ways:
            found[way].append(result := child(way, work, path, threads))
            measured = f"{result.seconds:.1f} s, {result.busy:.1f} CPU s, {result.peak / GIB:.2f} GiB"
            console.print(f"round {number + 1} of {rounds}: {way} {measured}")
    console.print(table(work, found, (lambda r: r.busy) if threads == 1 else (lambda r: r.seconds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
