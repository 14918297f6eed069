"""One whole GRPO step of this project beside one of TRL's GRPOTrainer: generation, reward, training, weight sync.

    python -m benchmarks.peer [--steps 2] [--rounds 2] [--sides grpo trl ...] [--out FILE.json]

Both do the same work on the same machine, in turn: SmolLM2-135M-Instruct, the same 8 prompts x 8 completions a step of
at most 128 new tokens that only the end token ends, temperature 1, programs graded in the same sandbox with the same
reward, fp32 master weights with bf16 products, one update with the same fused AdamW, no KL, the same vLLM, torch,
transformers, preloaded allocator and OpenMP runtime. Every child process does one warm-up step and then `--steps`
measured ones; the sides follow each other, `--rounds` times.

TRL gets an environment of its own, made at the first run: a virtual environment that sees the packages of the one
that runs this, with the few that TRL needs besides (requirements/peer.txt: 0.1 GB, half a minute). A set-up of TRL
is refused when its sampler does not agree with its trainer after the trainer's weights were changed, or when its
weights are not fp32 any more. Numbers of tokens differ a little from run to run, hence tokens a second beside seconds.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.peer_work import COMMON, GRPO, PHASES, ROOT, Step, Work, read_steps, settings
from stepcoder.curriculum.problems.load import load_problems
from stepcoder.deploy.checks.machine import cores, memory_total
from stepcoder.deploy.checks.starter_model import resolve_model
from stepcoder.errors import UserError
from stepcoder.rollout.engines import engine_environment

REQUIREMENTS = ROOT / "requirements" / "peer.txt"
GAP_LIMIT = 0.05  # nats; bf16 kernels of sampler and trainer differ by a third of it
CHILD_S = 900.0


@dataclass(frozen=True, slots=True)
class Side:
    """A way to do the step. `settings` change the common configuration; `options` are a set-up of TRL's."""

    about: str
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] | None = None


_TRL = {"vllm": True, "prepacked": False, "correction": True, "continuous_batching": False, "compiled": False}
SIDES = {
    "grpo": Side("ours; the engine's log-probabilities are the ratio's denominator", GRPO),
    "grpo-rescored": Side(
        "ours; log-probabilities computed anew, truncated importance weights",
        GRPO | {"learner.old_logprobs.type": "learner"},
    ),
    "ppo": Side(
        "ours; GAE with the starter run's critic (8 of 30 layers) and the frozen reference, FGO's mask",
        {"learner.credit.type": "fgo"},
    ),
    "trl": Side("vLLM colocated, not prepacked, truncated importance weights", GRPO, _TRL),
    "trl-uncorrected": Side("the same without importance weights", GRPO, _TRL | {"correction": False}),
    "trl-compiled": Side("as trl, vLLM with torch.compile", GRPO, _TRL | {"compiled": True}),
    "trl-prepacked": Side("as trl, vLLM as it is", GRPO, _TRL | {"prepacked": True}),
    "trl-transformers": Side("generation by transformers", GRPO, _TRL | {"vllm": False, "correction": False}),
    "trl-continuous": Side(
        "generation by transformers' continuous batching",
        GRPO,
        _TRL | {"vllm": False, "correction": False, "continuous_batching": True},
    ),
}
DEFAULT = ("grpo", "trl-uncorrected", "grpo-rescored", "trl", "ppo")


@dataclass(slots=True)
class Result:
    """What a side did in all rounds; `fault` says why it does not count."""

    steps: list[Step] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    fault: str | None = None

    def mean(self, phase: str) -> float:
        return statistics.fmean(step.phases.get(phase, 0.0) for step in self.steps)

    @property
    def seconds(self) -> float:
        return statistics.fmean(step.seconds for step in self.steps)

    @property
    def tokens_per_s(self) -> float:
        return sum(step.tokens for step in self.steps) / sum(step.seconds for step in self.steps)


# -- TRL's environment -------------------------------------------------------------------------------------------------


def trl_python(cache: Path) -> Path:
    """The interpreter of TRL's environment, made if it is not there. Raises UserError when that fails."""
    wanted = f"{sys.version}\n{sys.prefix}\n{REQUIREMENTS.read_text(encoding='utf-8')}"
    home, stamp = cache / "trl", cache / "trl" / "complete"
    python = home / "bin" / "python"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"making TRL's environment in {home}: 0.1 GB, half a minute", file=sys.stderr)
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        packages = subprocess.run([python, "-c", _PACKAGES], check=True, capture_output=True, text=True).stdout.strip()
        here = subprocess.run([sys.executable, "-c", _PACKAGES], check=True, capture_output=True, text=True)
        Path(packages, "base.pth").write_text(here.stdout, encoding="utf-8")
        subprocess.run([*install, "-r", REQUIREMENTS], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"TRL's environment cannot be made: {error}. Give another folder with --cache.") from None
    stamp.write_text(wanted, encoding="utf-8")
    return python


_PACKAGES = "import sysconfig; print(sysconfig.get_path('purelib'))"


# -- running -----------------------------------------------------------------------------------------------------------


def run_child(side: Side, work: Work, python: Path) -> tuple[list[Step], dict[str, Any]]:
    """One child process from start to end. Raises RuntimeError with the last line of what it said."""
    config = settings(work.settings)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    module = "benchmarks.peer_ours"
    if side.options is not None:
        module = "benchmarks.peer_trl"
        eager = not side.options["compiled"]
        # what our engines are started with; a trainer in the same process wants its threads to wait for work
        environment |= engine_environment(config.rollout.model_copy(update={"enforce_eager": eager}))
        environment.pop("KMP_BLOCKTIME")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "work.json", Path(folder) / "steps.json"
        work.write(source)
        command = [str(python), "-m", module, str(source), str(target)]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=CHILD_S, errors="replace"
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"not done after {CHILD_S:.0f} s") from None
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise RuntimeError(said[-1] if said else f"exit status {done.returncode}")
        return read_steps(target)


def unsound(about: dict[str, Any]) -> str | None:
    """Why a set-up of TRL's does not count, or None."""
    if about["weights"] != ["float32"]:
        return f"the trained weights are {', '.join(about['weights'])}, not float32"
    if "gap" not in about:  # one network samples and is trained
        return None
    gap, stale = about["gap"], about["gap_if_stale"]
    if not gap <= GAP_LIMIT:
        return f"after a change of weights its sampler is {gap:.3f} nats a token away from the trainer"
    return None if gap < stale / 4 else f"its sampler agrees as well with the weights of before ({stale:.3f} nats)"


def measure(names: Sequence[str], options: argparse.Namespace) -> Iterator[dict[str, Result]]:
    """All that is known, after each child process."""
    model = str(resolve_model("smollm2-135m"))
    trl = trl_python(options.cache) if any(SIDES[name].options for name in names) else Path(sys.executable)
    ids = [problem.id for problem in load_problems("starter:train") if problem.level == "introductory"]
    count = options.prompts * (1 + options.steps)
    found = {name: Result() for name in names}
    for number in range(options.rounds):
        problems = tuple(ids[(number * count + i) % len(ids)] for i in range(count))
        for name in names:
            side, result = SIDES[name], found[name]
            if result.fault is not None:
                continue
            changes = COMMON | side.settings | {"subtasks_per_step": options.prompts}
            trl_options = (side.options or {}) | {"micro_batch": options.micro_batch}
            work = Work(model, options.steps, options.seed + number, problems, changes, trl_options)
            start = time.monotonic()
            try:
                steps, about = run_child(side, work, Path(sys.executable) if side.options is None else trl)
            except RuntimeError as error:
                result.fault = f"does not run: {error}"
            else:
                result.steps += steps
                result.checks.append(about)
                result.fault = unsound(about) if side.options is not None else None
            said = result.fault or f"{result.steps[-1].seconds:.1f} s its last step"
            took = f"{time.monotonic() - start:.0f} s with its start and warm-up"
            print(f"round {number + 1}, {name}: {said} ({took})", file=sys.stderr)
            yield found


# -- the report --------------------------------------------------------------------------------------------------------


def table(found: dict[str, Result]) -> Table:
    """Seconds of a step by phase, means over all rounds."""
    shown = Table(title="one whole step: means", caption_justify="left")
    shown.add_column("")
    for name in found:
        shown.add_column(name, justify="right")

    def row(label: str, cell: Any) -> None:
        shown.add_row(label, *(cell(result) for result in found.values()))

    for phase in PHASES:
        row(f"{phase} (s)", lambda r, phase=phase: f"{r.mean(phase):.2f}" if phase in r.steps[0].phases else "-")
    row("whole step (s)", lambda r: f"{r.seconds:.2f}")
    row("fastest, slowest step (s)", lambda r: " - ".join(f"{f(s.seconds for s in r.steps):.1f}" for f in (min, max)))
    row("CPU time of a step (s)", lambda r: f"{statistics.fmean(s.cpu_seconds for s in r.steps):.1f}")
    row("prompt tokens a step", lambda r: f"{statistics.fmean(s.prompt_tokens for s in r.steps):.0f}")
    row("completion tokens a step", lambda r: f"{statistics.fmean(s.completion_tokens for s in r.steps):.0f}")
    row("tokens/s", lambda r: f"{r.tokens_per_s:.0f}")
    row("mean reward", lambda r: f"{statistics.fmean(s.reward for s in r.steps):.2f}")
    row("gap of sampler and trainer (nats)", _gap)
    row("sound", lambda r: "no" if r.fault else "yes")
    return shown


def _gap(result: Result) -> str:
    steps = [step.gap for step in result.steps if step.gap is not None]
    gaps = steps or [check["gap"] for check in result.checks if "gap" in check]
    return f"{statistics.fmean(gaps):.4f}" if gaps else "-"


def comparisons(found: dict[str, Result]) -> list[str]:
    """Each of our GRPO sides against the fastest sound set-up of TRL and against each sound one."""
    sound = {name: r for name, r in found.items() if name.startswith("trl") and r.steps and r.fault is None}
    lines = []
    for ours in (name for name in ("grpo", "grpo-rescored") if name in found and found[name].steps):
        for name in sorted(sound, key=lambda n: sound[n].seconds):
            seconds = sound[name].seconds / found[ours].seconds
            rate = found[ours].tokens_per_s / sound[name].tokens_per_s
            lines.append(f"{ours} against {name}: {seconds:.2f} times as fast by seconds, {rate:.2f} by tokens/s")
    return lines


def machine() -> dict[str, Any]:
    def say(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        return done.stdout.strip()

    lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    cpu = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "commit": say("git", "rev-parse", "--short", "HEAD") + "-changed" * bool(say("git", "status", "--porcelain")),
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": cores(),
        "memory_gib": round(memory_total() / (1 << 30), 1),
        "load_before": os.getloadavg()[0],
    }


def record(about: dict[str, Any], found: dict[str, Result]) -> str:
    sides = {name: {"about": SIDES[name].about, **asdict(result)} for name, result in found.items()}
    return json.dumps({"machine": about, "sides": sides, "comparisons": comparisons(found)}, indent=1)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    names = [n for n in options.sides if options.only is None or n.startswith("trl") == (options.only == "trl")]
    about = machine()
    try:
        for found in measure(names, options):
            if options.out:
                options.out.write_text(record(about, found), encoding="utf-8")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    console = Console(width=max(120, Console().width))
    console.print(table({name: result for name, result in found.items() if result.steps}))
    for name, result in found.items():
        console.print(f"{name}: {SIDES[name].about}" + (f". NOT COUNTED: {result.fault}" if result.fault else ""))
    console.print(*comparisons(found), sep="\n")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    sides = "\n".join(f"  {name:17}{side.about}" for name, side in SIDES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peer",
        description=__doc__,
        epilog=f"sides:\n{sides}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--steps", type=_positive, default=2, help="measured steps of a child process, after its warm-up (default 2)")
    add("--rounds", type=_positive, default=2, help="times that each side has its turn (default 2)")
    add("--sides", nargs="+", choices=list(SIDES), default=DEFAULT, metavar="SIDE",
        help=f"what to measure, in this order (default: {' '.join(DEFAULT)})")  # fmt: skip
    add("--prompts", type=_positive, default=COMMON["subtasks_per_step"],
        help="prompts of a step (default 8; fewer to try it out)")  # fmt: skip
    add("--only", choices=["ours", "trl"], help="leave the other's sides out")
    add("--micro-batch", type=int, choices=[2, 4, 8, 16, 32, 64], default=8,
        help="completions that TRL's trainer computes at a time (default 8, the fastest here)")  # fmt: skip
    add("--seed", type=int, default=0, help="of the sampling (default 0)")
    add("--cache", type=lambda text: Path(text).expanduser().resolve(), default=ROOT / ".cache" / "peer",
        help="where TRL's environment is kept (default .cache/peer of the source tree)")  # fmt: skip
    add("--out", type=Path, help="write every step as JSON too, after each child")
    options = parser.parse_args(arguments)
    if options.micro_batch > options.prompts * COMMON["rollout.group_size"]:
        parser.error(f"--micro-batch {options.micro_batch} is more than the completions of {options.prompts} prompts")
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
