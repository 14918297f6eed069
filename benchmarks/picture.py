"""Draws docs/program.png: a program that the starter model wrote, its start point and its executed lines.

    python -m benchmarks.picture [--out docs/program.png]

The program is sample 5 of subtask 38 of the starter run (seed 0, step 5, commit 1e74394). It runs here again.
"""

import argparse
from pathlib import Path
from typing import Any

from stepcoder.curriculum.problems.load import load_problems
from stepcoder.curriculum.stages.courses import courses
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.reward import reward
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Report
from stepcoder.executor.spans import executed_spans

PROBLEM = "starter/calculator/calculate"
WRITTEN = """\
    elif op == "-":
        return a - b
    elif op == "*":
        return a * b
    else:
        return a * b + a ** 2
"""
INK, MUTED = "#1f2933", "#616e7c"
GIVEN, EXECUTED, NOT_EXECUTED = ("#eef1f4", "#616e7c"), ("#d3f2da", "#1b6e32"), ("#fde0dc", "#a61b1b")
LINE, GAP, LEFT, RIGHT = 0.25, 0.24, 0.15, 4.6  # inches: height of a line, room for the rule, edges of the colours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/program.png"))
    options = parser.parse_args()
    problem = next(p for p in load_problems("starter:train") if p.id == PROBLEM)
    course = courses(problem)[0]
    with LocalPool(ExecutorConfig(workers=1)) as pool:
        report = pool.run(course.prefix + WRITTEN, problem.suite)
    draw(course.prefix, report, options.out)


def draw(prefix: str, report: Report, out: Path) -> None:
    """Every line on the colour of what becomes of its tokens; the start point is a rule between two lines."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    program = prefix + WRITTEN
    lines, given, place = program.splitlines(), prefix.count("\n"), 0
    executed = executed_spans(program, report.executed_lines)
    height = LINE * (len(lines) + 1.9) + GAP
    figure = Figure(figsize=(8, height), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 8), ylim=(height, 0))
    axes.axis("off")
    first_of: dict[str, tuple[float, str]] = {}
    for number, line in enumerate(lines, 1):
        top = LINE * (number - 0.6) + (GAP if number > given else 0)
        (back, ink), note = _look(number <= given, any(a <= place < b for a, b in executed))
        place += len(line) + 1
        first_of.setdefault(note, (top, ink))
        axes.fill_between((LEFT, RIGHT), top, top + LINE, color=back, linewidth=0)
        _write(axes, LEFT + 0.1, top, f"{number:>2}  {line}", INK)
    for note, (top, ink) in first_of.items():
        _write(axes, RIGHT + 0.2, top, note, ink, "sans-serif")
    rule = LINE * (given + 0.4) + GAP / 2
    axes.plot((LEFT, RIGHT), (rule, rule), color="#1f6feb", linewidth=2)
    _write(axes, RIGHT + 0.2, rule - LINE / 2, "start point: the model writes from here", "#1f6feb", "sans-serif")
    paid = f"{len(report.tests)} tests, verdict {report.verdict}, reward {reward(report, 'stepcoder'):g}"
    _write(axes, LEFT + 0.1, height - 1.4 * LINE, paid, MUTED, "sans-serif")
    figure.savefig(out)


def _look(given: bool, executed: bool) -> tuple[tuple[str, str], str]:
    if given:
        return GIVEN, "given: the prefix, no loss"
    if executed:
        return EXECUTED, "executed by a test: policy loss"
    return NOT_EXECUTED, "executed by no test: no policy loss"


def _write(axes: Any, x: float, top: float, text: str, colour: str, family: str = "monospace") -> None:
    axes.text(x, top + LINE / 2, text, color=colour, family=family, fontsize=10, va="center")


if __name__ == "__main__":
    main()
