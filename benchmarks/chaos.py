"""What a run survives: parts of a real run are killed at random moments, and what is left at its end is counted.

    python -m benchmarks.chaos [--kinds engine rank ...] [--times 2] [--steps 20] [--seed 0] [--engine vllm]

A tiny model, two engines, two learner ranks, two executors, on a Ray cluster of three nodes on this machine; everything
else is as in a user's run, but that a strike stays in the middle of it: while it is not made good no further step than
the next begins. Each kind is struck so many times, at steps and moments that the seed chooses. At the end the run has
ended by itself, every trajectory of every step is there once, the curriculum is what the outcomes of these make of a
new one, and no process is left. The time from each strike until what was struck is in use again is printed by kind,
beside that of the first start of everything; `faults` is what the run says itself. Exit code 1 where anything is wrong.
"""

import argparse
import asyncio
import contextlib
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.chaos_left import still_there, wrong_in
from benchmarks.chaos_nodes import TITLES, Nodes, engines, family, keep_orphans, titled
from stepcoder.deploy.run.faults import FAULTS, read_faults, told
from stepcoder.deploy.run.metrics import METRICS, read_metrics
from stepcoder.files import write_whole
from tests.tools.loop import ROOT, write_config
from tests.tools.tiny_model import build_tiny_model

SUBTASKS, GROUP, ENGINES, RANKS = 4, 4, 2, 2
HANG_S = 1800.0  # until a strike counts as the end of the run: minutes tell a hang from a busy machine
MOMENTS = {"publish": "sending weights", "checkpoint": "writing a checkpoint"}  # a phase that a strike waits for
NOT_YET = ("", "starting the services", "loading the checkpoint")  # phases of a driver that begins
KINDS = ("engine", "stop", "worker", "publish", "executor", "curriculum", "rank", "checkpoint", "node", "driver")


def drive(config: str, phase: Path, last: Path) -> int:
    """The driver as a user starts it, but that it notes its phase in a file, for strikes at one, and begins no step
    after the one that another file names."""
    from stepcoder.deploy.cli import main as stepcoder
    from stepcoder.deploy.shown.progress import RunProgress
    from stepcoder.deploy.training.generated import Generated
    from stepcoder.deploy.training.stream import Stream

    shown, take = RunProgress.phase, Stream.take

    def noted(self: RunProgress, name: str) -> None:
        phase.write_text(name)
        shown(self, name)

    async def taken(self: Stream, step: int, ahead: int) -> Generated:
        while step > int(last.read_text()):
            await asyncio.sleep(0.05)
        return await take(self, step, ahead)

    RunProgress.phase, Stream.take = noted, taken
    return stepcoder(["train", "--config", config])


@dataclass
class Chaos:
    """One run and the strikes on it."""

    nodes: Nodes
    folder: Path
    config: Path
    random: random.Random
    steps: int
    driver: "subprocess.Popen[bytes]" = field(init=False)
    times: dict[str, list[float]] = field(default_factory=dict)
    orphans: list[psutil.Process] = field(default_factory=list)
    """Processes of nodes that were lost."""

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def phase(self) -> str:
        file = self.folder / "phase"
        return file.read_text() if file.is_file() else ""

    def may_begin(self, step: int) -> None:
        """The run goes on up to this step."""
        write_whole(self.folder / "last", str(step), durable=False)

    def start(self) -> None:
        (self.folder / "phase").unlink(missing_ok=True)
        files = (self.config, self.folder / "phase", self.folder / "last")
        command = [sys.executable, "-m", "benchmarks.chaos", "--drive", *map(str, files)]
        with (self.folder / "log").open("ab") as log:
            self.driver = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)

    def said(self) -> str:
        """The end of what the driver has printed."""
        return (self.folder / "log").read_text()[-3000:]

    def step(self) -> int:
        return max((line["step"] for line in read_metrics(self.run / METRICS)), default=0)

    def until(self, happened: Callable[[], bool], what: str, pause_s: float = 0.05, limit_s: float = HANG_S) -> None:
        deadline = time.monotonic() + limit_s
        while not happened():
            if self.driver.poll() is not None:
                raise RuntimeError(f"the run ended with {self.driver.returncode} before {what}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{limit_s:.0f} s have passed without {what}")
            time.sleep(pause_s)

    def begin(self) -> None:
        begun = time.monotonic()
        self.start()
        self.until(lambda: self.phase() not in NOT_YET, "the first step")
        self.times["(start)"] = [time.monotonic() - begun]

    def strike(self, kind: str, at: int) -> None:
        """Kill one of a kind at a moment of the step after `at`, or in the next phase of its own, and wait until its
        successor is in use."""
        self.may_begin(at + 1)
        self.until(lambda: self.step() >= at, f"step {at}")
        self.may_begin(min(self.step() + 1, self.steps - 1))
        if kind in MOMENTS:
            self.until(lambda: self._at(MOMENTS[kind]), f"the phase of {kind}", 0.001)
        time.sleep(self.random.uniform(0, 0.05 if kind in MOMENTS else 2))
        mended, phase, step, began = len(read_faults(self.run / FAULTS)), self.phase(), self.step(), time.monotonic()
        expected = getattr(self, f"_{kind}", lambda: self._one_of(kind))()
        if expected is None:  # what the run counts as a fault, and says when it is made good
            self.until(lambda: len(read_faults(self.run / FAULTS)) > mended and self._whole(), f"the end of {kind}")
        else:
            self.until(expected, f"a successor of the {kind}")
        seconds = time.monotonic() - began
        self.times.setdefault(kind, []).append(seconds)
        print(f"  {kind} after step {step}, in '{phase}': {seconds:.1f} s", flush=True)

    def _at(self, phase: str) -> bool:
        """Whether the run is in this phase. It goes on where the phase has not come in the step that had begun."""
        if self.phase() == phase:
            return True
        if self.phase() == "generating":
            if (step := self.step() + 1) == self.steps:
                raise RuntimeError(f"too few steps for so many strikes: none is left that has a phase '{phase}'")
            self.may_begin(step)
        return False

    def _whole(self) -> bool:
        return len(engines()) == ENGINES and len(titled(TITLES["rank"])) == RANKS

    def _one_of(self, kind: str) -> Callable[[], bool] | None:
        """Kills it; what to wait for, where the run does not count it."""
        self.until(lambda: bool(titled(TITLES[kind])), f"a {kind} to strike")
        before = titled(TITLES[kind])
        self.random.choice(before).kill()
        if kind in ("worker", "rank"):
            return None
        known = {process.pid for process in before}
        return lambda: any(process.pid not in known for process in titled(TITLES[kind]))

    def _engine(self) -> None:
        self.random.choice(engines()).kill()

    _publish = _engine

    def _stop(self) -> None:
        self.random.choice(engines()).suspend()

    def _checkpoint(self) -> None:
        self._one_of("rank")

    def _node(self) -> None:
        """One that holds an engine or a rank, and another comes in its place."""
        holders = {p.ppid() for title in ("worker", "rank") for p in titled(TITLES[title])}
        found = [pid for pid in self.nodes.pids() if pid in holders]
        if not found:
            raise RuntimeError("no node but the head holds an engine or a rank; take another seed")
        victim = self.random.choice(found)
        self.orphans += psutil.Process(victim).children(recursive=True)
        self.nodes.lose(victim)
        self.nodes.add()

    def _driver(self) -> Callable[[], bool]:
        """Started again by the same command; it is back where it generates."""
        self.driver.kill()
        self.driver.wait()
        ours = [process for title in TITLES.values() for process in titled(title)] + engines()
        if left := still_there(ours):
            raise RuntimeError(f"{len(left)} processes outlived their driver: {left[:3]}")
        self.start()
        return lambda: self.phase() not in NOT_YET


def configured(folder: Path, address: str, steps: int, engine: str) -> Path:
    """Completions long enough that a step takes a second or two on a quiet machine."""
    own = {"kv_cache_gib": 1, "max_new_tokens": 220} if engine == "vllm" else {"max_new_tokens": 64}
    return write_config(
        folder, build_tiny_model(folder / "model"), "run", subtasks_per_step=SUBTASKS, max_staleness=1,
        eval={"at_start": False, "at_end": False}, data={"limit": 40},
        run={"directory": str(folder / "run"), "steps": steps, "checkpoint_every": 2, "seed": 3},
        curriculum={"prompt": {"max_prompt_tokens": 800}},
        rollout={
            "engine": engine, "engines": ENGINES, "group_size": GROUP, "temperature": 1.0, "top_p": 1.0,
            "max_model_len": 1024, "dtype": "float32", "cpu_threads": 1,
        } | own,
        learner={
            "precision": "fp32", "policy": {"lr": 1e-4}, "advantage": {"critic": {"layers": 1}}, "ranks": RANKS,
            "token_budget": 2048, "guards": {"max_kl": None, "max_gap": None},
        },
        executor={"workers": 1, "actors": 2},
        ray={"address": address, "restarts_per_hour": 1000, "start_deadline_s": 600.0},
    )  # fmt: skip


def checked(chaos: Chaos) -> list[str]:
    """What is wrong with what the run left."""
    if chaos.driver.returncode:
        return [f"the run ended with {chaos.driver.returncode}\n{chaos.said()}"]
    wrong = wrong_in(chaos.run, chaos.config)
    ours = [process for title in TITLES.values() for process in titled(title)] + engines() + chaos.orphans
    return wrong + [f"{left} is left of the run" for left in still_there(ours)]


def torment(folder: Path, kinds: Sequence[str], times: int, steps: int, seed: int, engine: str) -> list[str]:
    keep_orphans()
    nodes = Nodes()
    try:
        chaos = Chaos(nodes, folder, configured(folder, nodes.address, steps, engine), random.Random(seed), steps)
        strikes = [kind for kind in kinds for _ in range(times)]
        chaos.random.shuffle(strikes)
        chaos.may_begin(0)
        chaos.begin()
        for number, kind in enumerate(strikes):
            chaos.strike(kind, number * (steps - 1) // len(strikes))
        chaos.may_begin(steps)
        chaos.driver.wait(timeout=HANG_S)
        wrong = checked(chaos)
        print(table(chaos.times))
        print("faults:", json.dumps(told(read_faults(chaos.run / FAULTS))))
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        wrong = [f"{error}\n{chaos.said()}"]
    finally:
        with contextlib.suppress(NameError, AttributeError):  # what it was made from has failed
            chaos.driver.kill()
        nodes.close()
        there = still_there(family())
        for process in family():
            with contextlib.suppress(psutil.Error):
                process.kill()
    return wrong + [f"{left} is left, and no cluster" for left in there]


def table(times: dict[str, list[float]]) -> str:
    rows = ["kind         times  seconds until its successor is in use: least, median, most"]
    for kind, found in times.items():
        least, median, most = min(found), statistics.median(found), max(found)
        rows.append(f"{kind:<12} {len(found):>5}  {least:6.1f} {median:6.1f} {most:6.1f}")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=("vllm", "transformers"), default="vllm")
    parser.add_argument("--directory", type=Path, help="where to work (default: a temporary directory)")
    parser.add_argument("--drive", nargs=3, metavar=("CONFIG", "PHASE", "LAST"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        return drive(options.drive[0], *map(Path, options.drive[1:]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # not without an end of the cluster
    with tempfile.TemporaryDirectory(prefix="chaos-") as aside:
        folder = options.directory or Path(aside)
        folder.mkdir(parents=True, exist_ok=True)
        wrong = torment(folder, options.kinds, options.times, options.steps, options.seed, options.engine)
    print("\n".join(wrong) or "the run ended by itself, and everything counted once")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
