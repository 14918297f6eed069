"""What this machine makes of the starter run, in one go: formats, speeds, start-up and memory.

    python -m benchmarks.machine                      ten minutes at most on two cores
    python -m benchmarks.machine -- --run.seed 1      with further settings of stepcoder train

  formats      tokens/s of engine and learner in each format, and the choice of `auto` with its share of the best. A
               format whose matrix products are HOPELESS times slower than the best is run only where it is configured.
  top-p        tokens/s with the evaluation's top-p as a share of those without
  beside       tokens/s beside one busy process as a share of those alone
  products     the decoding step's matrix products alone, as a share of the step
  start        seconds from the command to the first evaluation
  memory       peak over all processes (proportional set size), and the estimate's error

The last two are of a short run of `stepcoder train`: two steps, two checkpoints. Other work disturbs all but memory.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import decoding, learner, memory
from stepcoder.deploy.checks import machine
from stepcoder.deploy.checks.footprint import parts
from stepcoder.deploy.checks.formats import RESTRICTING, figures, settle, shape_of
from stepcoder.deploy.checks.starter_model import resolve_model
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.run import Config
from stepcoder.rollout.vllm.kernels import AVX2_ONLY

STARTER = Path(__file__).resolve().parent.parent / "configs" / "starter.yaml"
HOPELESS = 3
SHORT = ("--run.steps", "2", "--run.checkpoint_every", "1", "--data.limit", "12", "--eval.at_end", "false")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "asimd", "asimdhp", "bf16", "sve")
# A step of the starter run: 8 prompts of about 90 tokens with 8 completions of about 30 each.
STEP: dict[str, Any] = dict(
    prompts=8, prompt_tokens=90, completions=8, completion_tokens=30, equal=False, seed=0, checkpointing=False,
    chunk=640, token_budget=640,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure beside what it should be."""

    name: str
    value: float
    goal: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def worth_running(rates: dict[str, float], configured: str) -> list[str]:
    best = max(rates.values())
    return [name for name, rate in rates.items() if rate * HOPELESS >= best or name == configured]


def engine_rates(names: list[str], avx2: bool, settings: list[str]) -> dict[str, decoding.Decoding]:
    return {name: decoding.measure(name, avx2_only=avx2, rounds=1, extra=settings) for name in names}


def learner_rates(names: list[str], model: Path) -> dict[str, float]:
    """Tokens/s of the policy's forward and backward pass over a step of the starter run."""
    found = {}
    for name in names:
        work = learner.Work(model=str(model), precision=name, **STEP)
        result = learner.child("packed", work, model, None)
        found[name] = result.computed / result.seconds
    return found


@dataclass(frozen=True, slots=True)
class ShortRun:
    """Of a short `stepcoder train`: seconds until it evaluates, its peak, the estimate of it (bytes)."""

    evaluating_s: float
    peak: memory.Peak
    estimate: float


def short_run(config: Config, settings: list[str]) -> ShortRun:
    began, evaluating = time.monotonic(), [float("nan")]

    def heard(line: str) -> None:
        if line.startswith("evaluating") and len(evaluating) == 1:
            evaluating.append(time.monotonic() - began)

    with tempfile.TemporaryDirectory(prefix="stepcoder-machine-", dir=".") as folder:
        words = ["--config", str(STARTER), *settings, *SHORT, "--run.directory", f"{folder}/run"]
        peak, code = memory.watch([sys.executable, "-m", "deploy.cli", "train", *words], heard)
    if code:
        raise subprocess.CalledProcessError(code, "stepcoder train")
    return ShortRun(evaluating[-1], peak, sum(parts(config, shape_of(config.model)).values()))


def rates_table(title: str, rates: dict[str, float], products: dict[str, float], choice: str) -> Table:
    view = Table(title=title)
    for column in ("format", "GFLOP/s of products", "tokens/s", "auto"):
        view.add_column(column, justify="left" if column == "format" else "right")
    for name, product in products.items():
        rate = f"{rates[name]:.0f}" if name in rates else "not run"
        view.add_row(name, f"{product:.4g}", rate, "chosen" if name == choice else "")
    return view


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--avx2", action="store_true", help="behave as a CPU with AVX2 only")
    parser.add_argument("settings", nargs=argparse.REMAINDER, help="-- and settings of stepcoder train")
    arguments = parser.parse_args()
    settings = [word for word in arguments.settings if word != "--"]
    if arguments.avx2:
        os.environ.update(AVX2_ONLY)
    cpu, flags = machine.processor()
    restricted = " ".join(f"{name}={os.environ[name]}" for name in RESTRICTING if name in os.environ)
    known = [name for name in INSTRUCTIONS if name in flags.split()]
    print(f"{cpu}, {machine.cores()} cores, {' '.join(known)}{'; restricted: ' + restricted if restricted else ''}")

    config, _ = settle(load_config(STARTER, settings))
    dtype, precision = config.rollout.dtype, config.learner.precision
    found, model = figures(config), resolve_model(config.model)
    if precision not in found.learner:
        parser.error(f"learner.precision {precision} is not measured: give {' or '.join(found.learner)}")
    run = short_run(config, settings)
    engines = engine_rates(worth_running(found.engine, dtype), arguments.avx2, settings)
    engine = {name: result.plain.per_second for name, result in engines.items()}
    learners = learner_rates(worth_running(found.learner, precision), model)
    chosen = engines[dtype]
    console = Console(width=120)
    console.print(rates_table(f"engine ({chosen.kernels})", engine, found.engine, dtype))
    console.print(rates_table("learner", learners, found.learner, precision))
    print(run.peak.table())
    peak = sum(run.peak.at_peak.values())
    goals = (
        Goal("engine: auto / best format", engine[dtype] / max(engine.values()), 0.95),
        Goal("learner: auto / best format", learners[precision] / max(learners.values()), 0.95),
        Goal("evaluation: top-p 0.95 / without", chosen.kept_with_top_p, 0.9),
        Goal("engine beside a busy process / alone", chosen.kept_beside, 0.4),
        Goal("decoding: matrix products / step", chosen.share, 0.5),
        Goal("command to first evaluation (s)", run.evaluating_s, 45, at_least=False),
        Goal("peak memory (GiB)", peak / memory.GIB, 10, at_least=False),
        Goal("memory estimate's error", abs(run.estimate / peak - 1), 0.2, at_least=False),
    )
    view = Table(title="goals")
    for column in ("", "value", "goal", ""):
        view.add_column(column)
    for goal in goals:
        bound = f"{'>=' if goal.at_least else '<='} {goal.goal:g}"
        view.add_row(goal.name, f"{goal.value:.2f}", bound, "met" if goal.met else "not met")
    console.print(view)
    return 0


if __name__ == "__main__":
    sys.exit(main())
