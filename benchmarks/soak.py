"""Thousands of mixed programs through one pool, a tenth of them hostile: what grows, and whether any verdict changes.

    python -m benchmarks.soak [--programs 10000] [--kills 1000] [--level auto] [--workers 2] [--seed 0]

Three runs. The first prints, every tenth of the way, what the pool and its fork servers hold. The second has another
order, another seed and a busy process beside it: every program must get the verdicts of the first. In the third, fork
servers are killed at random moments while programs run. Exit code 1 where something grew, a verdict changed, or the
host was touched.
"""

import argparse
import contextlib
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.isolation import LEVELS, choose
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Report, Verdict
from stepcoder.executor.suite import Case, Suite
from tests.executor.hostile.base import Hostile
from tests.executor.hostile.canaries import Facts, canaries, litter
from tests.executor.hostile.processes import is_ours, processes
from tests.executor.hostile.programs import programs

# Hostile programs end by CPU time: a short limit keeps the run short, a long backstop keeps the machine's load out.
_LIMITS = {
    "cpu_s": 0.4,
    "wall_s": 60.0,
    "compile_s": 5.0,
    "memory_mib": 128,
    "output_kib": 64,
    "result_kib": 64,
    "infra_retries": 1000,
}
_GROWTH = 1.1  # resident memory at the end, of that after the first tenth
_FEW = 8  # descriptors
_KILL_PAUSE_S = 0.5  # at most; a fork server starts in about 0.15 s and then judges some programs before it dies
_MIB = 1 << 20

_BODIES = (
    ("return sum(i * {n} for i in range(x))", "passes"),
    ("return [sum(i * {n} for i in range(x))][0]", "passes"),
    ("return sum(i * {n} for i in range(x)) + (x > 4)", "fails one test"),
    ("return {n}", "is wrong"),
    ("return [{n}][x]", "raises"),
    ("return x +", "does not compile"),
    ("import collections\n    return collections.Counter({{i: i * {n} for i in range(x)}}).total()", "passes"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """One program of the mix, by a key that is the same in every run."""

    key: str
    program: str
    suite: Suite


@dataclass(frozen=True, slots=True)
class Held:
    """What this process and its fork servers hold: resident MiB, descriptors, processes, files left by programs."""

    parent_mib: float
    servers_mib: float
    descriptors: int
    processes: int
    files: int

    @classmethod
    def now(cls, spare: set[int]) -> "Held":
        """While the pool waits for work; `spare` are processes that are not its own."""
        me = psutil.Process()
        servers = [p for p in processes() if p.pid not in spare]
        return cls(
            me.memory_info().rss / _MIB,
            sum(p.memory_info().rss for p in servers) / _MIB,
            me.num_fds() + sum(p.num_fds() for p in servers),
            len(servers),
            len(litter()),
        )

    def __str__(self) -> str:
        return (
            f"this process {self.parent_mib:6.1f} MiB, fork servers {self.servers_mib:6.1f} MiB, descriptors "
            f"{self.descriptors}, processes {self.processes}, files left {self.files}"
        )


def ordinary(number: int) -> Sample:
    """A small program in one of the three styles, right or wrong in one of several ways."""
    body, kind = _BODIES[number % len(_BODIES)]
    style = ("stdin", "call", "assert")[number // len(_BODIES) % 3]
    function = f"def f(x):\n    {body.format(n=number)}\n"
    values = [(x, sum(i * number for i in range(x))) for x in (3, 4, 6)]
    if style == "stdin":
        cases = tuple(Case(f"{x}\n", f"{y}\n") for x, y in values)
        return Sample(f"{number} {style} {kind}", function + "print(f(int(input())))\n", Suite("stdin", cases))
    if style == "call":
        return Sample(f"{number} {style} {kind}", function, Suite("call", tuple(Case([x], y) for x, y in values), "f"))
    cases = tuple(Case(f"assert f({x}) == {y}") for x, y in values)
    return Sample(f"{number} {style} {kind}", function, Suite("assert", cases))


def mix(count: int, facts: Facts) -> list[Sample]:
    """`count` programs, each tenth a hostile one; those that end by wall time alone are left out."""
    hostile = [h for h in programs(facts) if not h.slow]
    random.Random(0).shuffle(hostile)  # a small mix has something of every part of the table
    samples = []
    for number in range(count):
        if number % 10:
            samples.append(ordinary(number))
        else:
            row = hostile[number // 10 % len(hostile)]
            samples.append(Sample(f"{number} threat {row.threat}: {row.name}", row.program, row.suite))
    return samples


Verdicts = dict[str, tuple[Verdict, ...]]


def judge(
    pool: LocalPool, samples: Sequence[Sample], seed: int, spare: set[int], marks: int
) -> tuple[Verdicts, list[Held]]:
    """Verdicts by key, and what was held at `marks` points on the way."""
    order = list(samples)
    random.Random(seed).shuffle(order)
    step = -(-len(order) // marks)
    found: Verdicts = {}
    held: list[Held] = []
    start = time.monotonic()
    for first in range(0, len(order), step):
        part = order[first : first + step]
        for sample, report in zip(part, pool.map((s.program, s.suite) for s in part), strict=True):
            found[sample.key] = _outcome(report)
        held.append(Held.now(spare))
        print(f"{len(found):6} programs {time.monotonic() - start:6.0f} s: {held[-1]}", flush=True)
    return found, held


def _outcome(report: Report) -> tuple[Verdict, ...]:
    return (report.verdict, *(test.verdict for test in report.tests))


@contextlib.contextmanager
def load() -> Iterator[int]:
    """A process that keeps one core busy; its id."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def judge_under_fire(pool: LocalPool, samples: Sequence[Sample], seed: int, spare: set[int], kills: int) -> Verdicts:
    """Verdicts of `samples` while fork servers are killed at `kills` random moments."""
    choice, done, stop = random.Random(seed), 0, threading.Event()

    def killer() -> None:
        nonlocal done
        while done < kills and not stop.is_set():
            time.sleep(choice.uniform(0.0, _KILL_PAUSE_S))
            with contextlib.suppress(psutil.NoSuchProcess):
                servers = [p for p in psutil.Process().children() if p.pid not in spare and is_ours(p)]
                if pool.level == 1:  # the fork server is the child of a process that waits for it
                    servers += [child for server in servers for child in server.children()]
                if servers:
                    choice.choice(servers).kill()
                    done += 1

    found: Verdicts = {}
    runs = 0
    thread = threading.Thread(target=killer)
    thread.start()
    try:
        while thread.is_alive():
            batch = choice.sample(samples, k=min(50, len(samples)))
            for sample, report in zip(batch, pool.map((s.program, s.suite) for s in batch), strict=True):
                runs += 1
                if found.setdefault(sample.key, _outcome(report)) != _outcome(report):
                    found[sample.key] = (Verdict.INFRA_ERROR,)  # differs from itself, so from the first run too
    finally:
        stop.set()
        thread.join()
    print(f"{done} fork servers killed during {runs} runs", flush=True)
    return found


def _reach_full_size(pool: LocalPool, hostile: Sequence[Hostile], workers: int) -> None:
    """Every fork server holds what its largest job took until the C library gives it back: each meets the largest."""
    largest = max(hostile, key=lambda h: len(h.program))
    for _ in pool.map((h.program, h.suite) for h in (*hostile, *[largest] * 8 * workers)):
        pass


def grown(held: Sequence[Held]) -> list[str]:
    """What the last mark holds more of than any of the first half: a fork server may just be missing at one mark.

    Other threads of this process open and close a few descriptors; a leak is one a program or a fork server.
    """
    early, last = held[: -(-len(held) // 2)], held[-1]

    def most(name: str) -> float:
        return max(getattr(mark, name) for mark in early)

    found = ["descriptors"] if last.descriptors > most("descriptors") + _FEW else []
    found += [n for n in ("processes", "files") if getattr(last, n) > most(n)]
    found += [n for n in ("parent_mib", "servers_mib") if getattr(last, n) > _GROWTH * most(n) + 1]
    return found


def different(first: Verdicts, other: Verdicts) -> list[str]:
    return [f"{key}: {first[key]} then {outcome}" for key, outcome in other.items() if first[key] != outcome]


def soak(count: int, kills: int, level: int, workers: int, seed: int) -> list[str]:
    """Runs it all; the list of what went wrong."""
    config = ExecutorConfig.model_validate({**_LIMITS, "level": level, "workers": workers})
    with canaries() as canary:
        samples = mix(count, canary.facts)
        spare = {process.pid for process in processes()}
        with LocalPool(config) as pool:
            _reach_full_size(pool, [h for h in programs(canary.facts) if not h.slow], workers)
            first, held = judge(pool, samples, seed, spare, marks=10)
        shares = Counter(outcome[0].value for outcome in first.values())
        print("verdicts: " + ", ".join(f"{verdict} {number}" for verdict, number in shares.most_common()))
        wrong = [f"{name} grew" for name in grown(held)]
        with LocalPool(config) as pool, load() as pid:
            second, _ = judge(pool, samples, seed + 1, {*spare, pid}, marks=2)
        changed = different(first, second)
        print(f"second run, other order, busy machine: {len(changed)} of {len(second)} programs judged otherwise")
        with LocalPool(config) as pool:
            calm = [s for s in samples if "threat" not in s.key]
            under_fire = judge_under_fire(pool, calm, seed, spare, kills)
        hit = different(first, under_fire)
        print(f"fork servers killed: {len(hit)} of {len(under_fire)} programs judged otherwise")
        touched = canary.touched()
        left = {process.pid for process in processes()} - spare
    return wrong + changed + hit + [f"touched: {name}" for name in touched] + [f"left: process {pid}" for pid in left]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=10_000, help="programs in each of the first two runs")
    parser.add_argument("--kills", type=int, default=1000, help="fork servers killed in the third")
    parser.add_argument("--level", default="auto", choices=["auto", "1", "2", "3"], help="isolation level")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="programs at a time")
    parser.add_argument("--seed", type=int, default=0, help="order of the programs")
    options = parser.parse_args()
    level = choose(ExecutorConfig.model_validate({"level": "auto" if options.level == "auto" else int(options.level)}))
    logging.getLogger("stepcoder.executor.pool.local").setLevel(logging.ERROR)  # each kill would be a line
    print(f"isolation level {level}: {LEVELS[level]}; {options.workers} workers; Python {sys.version.split()[0]}")
    wrong = soak(options.programs, options.kills, level, options.workers, options.seed)
    print("\n".join(wrong[:50]) or "nothing grew, no verdict changed, the host was not touched")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
