"""What each schedule does to a simulated policy, which defaults suit it, and what many problems cost.

    python -m benchmarks.curriculum [schedules] [sweep] [scale] [--seeds 3] [--figure docs/curriculum_schedules.png]

schedules: a table of all schedules with two policies (benchmarks/simulated_policy.py). sweep: the same of rho, alpha
and the visit cap. Both together draw the figure. scale: time and memory of reading 100,000 problems, their courses and
the first 1,000 subtasks, and of a curriculum of a million problems.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.simulated_policy import Run, synthetic, train
from stepcoder.curriculum.config import CurriculumConfig, Threshold
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.service.curriculum import Curriculum
from stepcoder.curriculum.subtask import Outcome

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "curriculum_schedules.png"
PARTS = ("schedules", "sweep", "scale")
STEPS = 400
PROBLEMS = 400
# Mean skill at the start: a weak policy passes 1.5 % of problems at full generation, a fair one 5 %.
POLICIES = {"weak": -0.5, "fair": 0.3}

SCHEDULES: dict[str, dict[str, Any]] = {
    "threshold": {},
    "threshold, paper": {"reading": "paper"},
    "threshold, step back 5": {"schedule": {"type": "threshold", "step_back": 5}},
    "threshold, learnability": {"sampling": {"type": "learnability"}},
    "linear, half the run": {"schedule": {"type": "linear", "subtasks": 32 * STEPS // 2}},
    "mixed": {"schedule": {"type": "mixed"}},
    "none": {"schedule": {"type": "none"}},
}
# Of other papers; in the table, not in the figure.
RELATIVES: dict[str, dict[str, Any]] = {
    "bread": {"schedule": {"type": "bread"}},
    "adaback": {"schedule": {"type": "adaback"}},
    "adaback, learnability": {"schedule": {"type": "adaback"}, "sampling": {"type": "learnability"}},
    "pope": {"schedule": {"type": "pope"}},
}
RHOS = (0.0, 0.2, 0.4, 0.6, 0.75, 0.9)
ALPHAS = (0.2, 0.35, 0.5, 0.7, 1.0)
CAPS = (2, 3, 5, 10, 15, 20, 40, None)
LONG_STEPS = 3 * STEPS  # a cap is about problems that are stuck for long


@dataclass(frozen=True, slots=True)
class Score:
    """Of one setting and policy, each the mean over seeds, with the spread of `final`."""

    final: float  # chance to pass at full generation after the run
    final_error: float  # standard error
    quarter: float  # the same after a quarter of the run
    signal: float  # share of groups with both passing and failing completions
    full_at: str  # first step from which on nine of ten subtasks are full generation, per seed
    runs: tuple[Run, ...]


def problems(count: int) -> list[Problem]:
    """The number of conditionals is geometric with mean 5.5, at most 20: about that of published solutions."""
    conditionals = np.minimum(np.random.default_rng(0).geometric(0.18, count), 20)
    return [synthetic(f"p{i:04}", int(e)) for i, e in enumerate(conditionals)]


def score(settings: dict[str, Any], start: float, seeds: int, steps: int) -> Score:
    config = CurriculumConfig.model_validate(settings)
    runs = tuple(train(problems(PROBLEMS), config, seed, steps, start) for seed in range(seeds))
    final = np.array([run.passed[-1] for run in runs])
    return Score(
        float(final.mean()),
        float(final.std(ddof=1) / seeds**0.5) if seeds > 1 else 0.0,
        float(np.mean([run.passed[steps // 4 - 1] for run in runs])),
        float(np.mean([run.signal for run in runs])),
        " ".join(str(run.until_full() or "-") for run in runs),
        runs,
    )


def show(
    title: str, settings: dict[str, dict[str, Any]], seeds: int, console: Console, steps: int = STEPS
) -> dict[tuple[str, str], Score]:
    """Scores by (name, policy), as a table too."""
    columns = ("", "policy", "passed at the end", "after a quarter", "groups with signal", "full from step")
    table = Table(*columns, title=f"{title}: {steps} steps")
    found = {}
    for policy, start in POLICIES.items():
        for name, setting in settings.items():
            s = found[name, policy] = score(setting, start, seeds, steps)
            final = f"{s.final:.1%} ± {s.final_error:.1%}"
            table.add_row(name, policy, final, f"{s.quarter:.1%}", f"{s.signal:.0%}", s.full_at)
    console.print(table)
    return found


def sweep(seeds: int, console: Console) -> dict[tuple[str, str], Score]:
    """Each rho with each alpha at the default cap, then each cap at the default rho and alpha, also in a long run."""
    grid: dict[str, dict[str, Any]] = {
        f"rho {rho}, alpha {alpha}": {"schedule": {"type": "threshold", "rho": rho}, "alpha": alpha}
        for rho in RHOS
        for alpha in ALPHAS
    }
    caps: dict[str, dict[str, Any]] = {
        f"cap {cap}": {"schedule": {"type": "threshold", "visit_cap": cap}} for cap in CAPS
    }
    long = {f"{name}, long": setting for name, setting in caps.items()}
    return show("Defaults", grid | caps, seeds, console) | show("Caps", long, seeds, console, LONG_STEPS)


def draw(schedules: dict[tuple[str, str], Score], swept: dict[tuple[str, str], Score], file: Path) -> None:
    """A row a policy: full generation, signal and success over steps. Below: success by rho and alpha, and by cap."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 11.5), dpi=80, facecolor="white", layout="constrained")
    axes: Any = figure.subplots(len(POLICIES) + 1, 3)
    parts: list[tuple[str, Callable[[Run], list[float]]]] = [
        ("subtasks that are full generation", lambda run: run.full_share),
        ("groups with signal", lambda run: run.signal),
        ("problems passed at full generation", lambda run: run.passed),
    ]
    for row, policy in zip(axes, POLICIES, strict=False):
        for axis, (title, pick) in zip(row, parts, strict=True):
            for name in SCHEDULES:
                mean = np.mean([pick(run) for run in schedules[name, policy].runs], axis=0)
                smooth = np.convolve(np.pad(mean, 7, mode="edge"), np.ones(15) / 15, mode="valid")
                axis.plot(smooth, label=name, lw=1.8, ls="--" if "," in name and "linear" not in name else "-")
            axis.set(title=f"{policy} policy: {title}", xlabel="step", ylabel="share", ylim=(0, 1.02))
    axes[0][2].legend(fontsize=9, loc="upper left")
    default = Threshold()
    for axis, policy in zip(axes[-1], POLICIES, strict=False):
        for alpha in ALPHAS:
            found = [swept[f"rho {rho}, alpha {alpha}", policy] for rho in RHOS]
            axis.errorbar(RHOS, [s.final for s in found], [s.final_error for s in found], label=f"alpha {alpha}")
        axis.axvline(default.rho, color="grey", ls=":")
        axis.set(title=f"{policy} policy: passed after {STEPS} steps", xlabel="rho", ylabel="share", ylim=(0, 1.02))
    axes[-1][0].legend(fontsize=9, loc="upper left")
    axis = axes[-1][-1]
    for colour, policy in enumerate(POLICIES):
        for length, style in (("", "-"), (", long", "--")):
            found = [swept[f"cap {cap}{length}", policy] for cap in CAPS]
            values, errors = [s.final for s in found], [s.final_error for s in found]
            name = f"{policy}, {LONG_STEPS if length else STEPS} steps"
            axis.errorbar(range(len(CAPS)), values, errors, marker="o", label=name, color=f"C{colour}", ls=style)
    axis.axvline(CAPS.index(default.visit_cap), color="grey", ls=":")
    axis.set_xticks(range(len(CAPS)), [str(cap or "none") for cap in CAPS])
    axis.set(title="both policies: passed at the end", xlabel="visit cap", ylabel="share", ylim=(0, 1.02))
    axis.legend(fontsize=9)
    for axis in axes.flat:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file)


def problem_line(number: int) -> dict[str, Any]:
    """A synthetic problem in the native format: a solution of about 450 characters, a statement of 600, 5 tests."""
    checks = "".join(
        f"    for value in values:\n        if value > {i * number % 97}:\n            total += value - {i}\n"
        for i in range(number % 7)
    )
    solution = f"def solve_{number}(values):\n    total = {number}\n{checks}    return total\n"
    tests = [{"input": [[i, number, 3 * i]], "output": number + i} for i in range(5)]
    return {
        "id": f"synthetic/{number:07}", "source": "synthetic", "level": "introductory",
        "statement": f"Write `solve_{number}(values)`. " + "It adds up what is large enough. " * 17,
        "starter_code": f"def solve_{number}(values):\n", "solution": solution,
        "style": "call", "entry_point": f"solve_{number}", "tests": tests,
    }  # fmt: skip


def measure_file(file: str) -> list[tuple[str, float]]:
    """Seconds of each part, and the peak memory (MiB); for a process of its own."""
    from stepcoder.curriculum.problems.load import load_problems

    found, mark = [], time.perf_counter()

    def lap(name: str) -> None:
        nonlocal mark
        found.append((name, time.perf_counter() - mark))
        mark = time.perf_counter()

    loaded = load_problems(file)
    lap("reading (s)")
    curriculum = Curriculum(loaded, CurriculumConfig(), 0)
    lap("a curriculum of them (s)")
    first = curriculum.next(1000)
    lap("first 1,000 subtasks (s)")
    assert len({subtask.problem.id for subtask in first}) == 1000
    curriculum.prepare(len(loaded))
    lap("courses of all others (s)")
    found.append(("peak memory (MiB)", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    return found


def measure_million(count: int) -> list[tuple[str, float]]:
    """Milliseconds of the calls of a step with 1,000 subtasks. Texts are shared: the memory is the curriculum's."""
    shapes = [problem_line(number) for number in range(1000)]
    made = [
        Problem(
            f"synthetic/{i:07}",
            "synthetic",
            "introductory",
            "Do it.",
            s["starter_code"],
            s["solution"],
            synthetic("x", 0).suite,
        )
        for i in range(count)
        for s in (shapes[i % 1000],)
    ]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mark = time.perf_counter()
    curriculum = Curriculum(made, CurriculumConfig(), 0)
    found = [("a curriculum of them (s)", time.perf_counter() - mark)]

    def timed(name: str, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        answer = call()
        found.append((name, (time.perf_counter() - start) * 1000))
        return answer

    subtasks = timed("first 1,000 subtasks (ms)", lambda: curriculum.next(1000))
    timed(
        "their outcomes (ms)",
        lambda: curriculum.report([Outcome(s.ticket, s.problem.id, s.stage, 1, 2) for s in subtasks]),
    )
    timed("courses of the next 2,000 draws (ms)", lambda: curriculum.prepare(2000))
    timed("next 1,000 subtasks (ms)", lambda: curriculum.next(1000))
    timed("metrics and histogram (ms)", lambda: (curriculum.metrics(), curriculum.histogram()))
    state = timed("state (ms)", curriculum.state)
    timed("load (ms)", lambda: curriculum.load(state))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return [*found, ("memory over the problems' (MiB)", (peak - before) / 1024)]


def scale(console: Console) -> None:
    """Each measurement in a process of its own, so that its memory is its own."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "problems.jsonl"
        with file.open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(problem_line(number)) + "\n" for number in range(100_000))
        size = file.stat().st_size / 2**20
        with spawn.Pool(1) as pool:
            report(f"100,000 problems ({size:.0f} MiB)", pool.apply(measure_file, (str(file),)), console)
    with spawn.Pool(1) as pool:
        report("1,000,000 problems", pool.apply(measure_million, (1_000_000,)), console)


def report(title: str, figures: Sequence[tuple[str, float]], console: Console) -> None:
    table = Table("", "", title=title)
    for name, value in figures:
        table.add_row(name, f"{value:,.1f}")
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description="Schedules, defaults and scale of the curriculum.")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    options = parser.parse_args()
    parts = options.parts or PARTS
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
    console = Console(width=None if sys.stdout.isatty() else 120)
    schedules = show("Schedules", SCHEDULES | RELATIVES, options.seeds, console) if "schedules" in parts else None
    swept = sweep(options.seeds, console) if "sweep" in parts else None
    if schedules and swept:
        draw(schedules, swept, options.figure)
        console.print(f"figure  {options.figure}")
    if "scale" in parts:
        scale(console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
