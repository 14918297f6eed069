"""Throughput of the executor on one core, in turn with other ways of running a program, in one run.

    python -m benchmarks.executor [--seconds 4] [--rounds 5] [--level auto]

A program has about 30 lines and 5 tests, half of them in stdin and half in call style, each program different.
Everything is pinned to one core, and every round runs each way for a while, so that ratios hold on a busy machine.

"ours, level 4, no coverage" is the same fork server and harness without isolation and probes: what those two cost.
"lean fork server" does the least that gets five outputs: no files behind the streams, no deadline, no state put back
between tests, one answer a program.
"""

import argparse
import dataclasses
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.executor_peers import FatParent, FreshInterpreter, LeanForkServer, bubblewrap_works
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.plan import plan
from stepcoder.executor.pool.fork_server import ForkServer
from stepcoder.executor.pool.isolation import LEVELS, choose
from stepcoder.executor.pool.slot import Slot
from stepcoder.executor.suite import Case, Suite

_CALL = '''
def shortest(grid, start, goal):
    """Length of the shortest way through open cells, or -1."""
    from collections import deque

    if not grid or not grid[0]:
        return -1
    rows, columns = len(grid), len(grid[0])
    seen = [[False] * columns for _ in range(rows)]
    queue = deque([(start[0], start[1], 0)])
    seen[start[0]][start[1]] = True
    limit = LIMIT
    while queue:
        row, column, steps = queue.popleft()
        if [row, column] == goal:
            return steps
        if steps > limit:
            break
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            near_row, near_column = row + down, column + right
            if not 0 <= near_row < rows:
                continue
            if not 0 <= near_column < columns:
                continue
            if grid[near_row][near_column] == "#" or seen[near_row][near_column]:
                continue
            seen[near_row][near_column] = True
            queue.append((near_row, near_column, steps + 1))
    return -1
'''
_STDIN = """
import sys


def words(lines):
    counts = {}
    for line in lines:
        for word in line.split():
            word = word.strip(".,!?").lower()
            if not word:
                continue
            if word in counts:
                counts[word] += 1
            else:
                counts[word] = 1
    return counts


def main():
    count = int(input())
    lines = []
    for _ in range(count):
        lines.append(sys.stdin.readline())
    found = sorted(words(lines).items(), key=lambda pair: (-pair[1], pair[0]))
    for word, times in found[:LIMIT]:
        print(word, times)
    total = sum(times for _, times in found)
    average = total / len(found) if found else 0.0
    print(f"{total} {average:.3f}")


main()
"""
_GRIDS = (["..#.", "....", "#.#.", "...."], ["...", ".#.", "..."], ["....."] * 5, [".#.", "##.", "..."], ["." * 9] * 3)
_TEXTS = ("2\nthe cat\nthe dog\n", "1\na b c a\n", "3\nx\ny\nz z\n", "0\n", "2\nOne, two. Two!\none?\n")


@dataclasses.dataclass(frozen=True)
class Job:
    """One program, its inputs for the peers, and its suite for ours."""

    source: str
    entry: str | None
    inputs: tuple[Any, ...]
    expected: tuple[Any, ...]
    suite: Suite


def jobs() -> Iterator[Job]:
    """Endless, each source different, so that nothing can be kept from one to the next."""
    grids = tuple([grid, [0, 0], [len(grid) - 1, len(grid[0]) - 1]] for grid in _GRIDS)
    ways = ((_CALL, "shortest", grids), (_STDIN, None, _TEXTS))
    outputs: list[tuple[Any, ...]] = []
    with FreshInterpreter() as reference:
        for source, entry, inputs in ways:
            outputs.append(tuple(reference.run(source.replace("LIMIT", "100"), entry, inputs)))
    number = 100
    while True:
        for (source, entry, inputs), expected in zip(ways, outputs, strict=True):
            cases = tuple(Case(value, output) for value, output in zip(inputs, expected, strict=True))
            suite = Suite("call" if entry else "stdin", cases, entry)
            yield Job(source.replace("LIMIT", str(number)), entry, inputs, expected, suite)
            number += 1


def ours(slot: Slot) -> Callable[[Job], None]:
    def run(job: Job) -> None:
        report = slot.run(job.source, plan(job.suite))
        if not report.passed or len(report.tests) != len(job.inputs):
            raise RuntimeError(f"a right program did not pass: {report}")

    return run


def peer(way: Any) -> Callable[[Job], None]:
    def run(job: Job) -> None:
        if tuple(way.run(job.source, job.entry, job.inputs)) != job.expected:
            raise RuntimeError(f"{type(way).__name__} answered wrongly")

    return run


def rate(run: Callable[[Job], None], source: Iterator[Job], seconds: float) -> float:
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds or count < 4:
        run(next(source))
        count += 1
    return count / spent


LOOP = """
def work(n):
    total = 0
    for i in range(n):
        if i % 3 == 0:
            total += i
        else:
            total -= 1
    return total
"""


def loop_slowdown(config: ExecutorConfig, level: int, rounds: int) -> float:
    """CPU seconds of a long loop with coverage over without, the medians of runs taken in turn."""
    suite = Suite("call", (Case([3_000_000], None),), "work")
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for coverage in (True, False):
        slot = Slot(config.model_copy(update={"coverage": coverage}), level)
        try:
            for _ in range(rounds):
                seconds[coverage].append(slot.run(LOOP, plan(suite)).tests[0].cpu_s)
        finally:
            slot.close()
    return statistics.median(seconds[True]) / statistics.median(seconds[False])


def stages(config: ExecutorConfig, level: int, source: Iterator[Job], programs: int) -> dict[str, float]:
    """Milliseconds a program by stage, from the parent's clock and the processor time that the kernel reports."""
    compile_one, run_one = ForkServer.compile, ForkServer.run
    spent = {"compile": 0.0, "run": 0.0, "process": 0.0, "tests": 0.0}

    def timed_compile(*args: Any) -> Any:
        start = time.perf_counter()
        answer = compile_one(*args)
        spent["compile"] += time.perf_counter() - start
        return answer

    def timed_run(*args: Any) -> Any:
        start = time.perf_counter()
        end = run_one(*args)
        spent["run"] += time.perf_counter() - start
        spent["process"] += end.cpu_s
        return end

    setattr(ForkServer, "compile", timed_compile)  # noqa: B010
    setattr(ForkServer, "run", timed_run)  # noqa: B010
    slot = Slot(config, level)
    try:
        whole = 0.0
        for number in range(programs + 20):
            if number == 20:
                spent, whole = dict.fromkeys(spent, 0.0), time.perf_counter()
            job = next(source)
            report = slot.run(job.source, plan(job.suite))
            spent["tests"] += sum(test.cpu_s for test in report.tests)
        whole = time.perf_counter() - whole
    finally:
        slot.close()
        setattr(ForkServer, "compile", compile_one)  # noqa: B010
        setattr(ForkServer, "run", run_one)  # noqa: B010
    seconds = {
        "compile, with probes (the compiler's process)": spent["compile"],
        "fork, watch, reap (the fork server)": spent["run"] - spent["process"],
        "limits, filter, loading the code, exit (the program's process)": spent["process"] - spent["tests"],
        "the tests (the program's process)": spent["tests"],
        "plan, comparison, report (the parent)": whole - spent["compile"] - spent["run"],
    }
    return {stage: 1000 * value / programs for stage, value in seconds.items()}


def measured(
    config: ExecutorConfig, level: int, rounds: int, seconds: float, only_ours: bool
) -> dict[str, list[float]]:
    """Programs/s by way, one figure a round; ours with coverage comes first."""
    source = jobs()
    with ExitStack() as stack:
        ways_of_ours = ((True, level), (False, level), (False, 4))
        slots = [Slot(config.model_copy(update={"coverage": on}), at) for on, at in ways_of_ours]
        for slot in slots:
            stack.callback(slot.close)
        ways = {
            f"ours, level {level}, coverage": ours(slots[0]),
            f"ours, level {level}, no coverage": ours(slots[1]),
            "ours, level 4, no coverage": ours(slots[2]),
            "lean fork server": peer(stack.enter_context(LeanForkServer())),
        }
        if not only_ours:
            ways["fresh interpreter a program"] = peer(stack.enter_context(FreshInterpreter()))
            ways["multiprocessing pipe, 2 GiB parent"] = peer(stack.enter_context(FatParent(manager=False)))
            ways["multiprocessing manager, 2 GiB parent"] = peer(stack.enter_context(FatParent(manager=True)))
            if bubblewrap_works():
                ways["bubblewrap a program"] = peer(stack.enter_context(FreshInterpreter(wrapped=True)))
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, run in ways.items():
                rates[name].append(rate(run, source, seconds))
        return rates


def rates_table(rates: dict[str, list[float]], level: int) -> Table:
    table = Table(title="programs a second on one core", caption=f"isolation level {level}: {LEVELS[level]}")
    for column in ("way", "programs/s", "ours with coverage / this"):
        table.add_column(column, justify="left" if column == "way" else "right")
    first = rates[next(iter(rates))]
    for name, values in rates.items():
        ratio = statistics.median(a / b for a, b in zip(first, values, strict=True))
        table.add_row(name, f"{statistics.median(values):.0f}", f"{ratio:.2f}")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="time of each way in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--level", default="auto", help="isolation level: auto, 1, 2, 3 or 4")
    parser.add_argument("--python", type=Path, help="interpreter that runs the programs of our ways")
    parser.add_argument("--only-ours", action="store_true", help="leave out the slow peers")
    options = parser.parse_args()
    level = options.level if options.level == "auto" else int(options.level)
    config = ExecutorConfig.model_validate({"level": level, "workers": 1, "python": options.python})
    chosen = choose(config)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(rates_table(measured(config, chosen, options.rounds, options.seconds, options.only_ours), chosen))
    table = Table(title="where a program's time goes (with coverage)")
    table.add_column("stage")
    table.add_column("ms", justify="right")
    for stage, milliseconds in stages(config, chosen, jobs(), 300).items():
        table.add_row(stage, f"{milliseconds:.2f}")
    console.print(table)
    console.print(f"a long loop with coverage takes {loop_slowdown(config, chosen, 5):.2f} times as long as without")
    return 0


if __name__ == "__main__":
    sys.exit(main())
