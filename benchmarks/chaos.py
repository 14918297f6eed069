"""What a run survives: parts of a real run are killed at random moments, and what is left at its end is counted.

    python -m benchmarks.chaos [--kinds engine rank ...] [--times 2] [--steps 20] [--seed 0] [--engine vllm]

A tiny model, two engines, two learner ranks, two executors, on a Ray cluster of three nodes on this machine; everything
else is as in a user's run. Each kind is struck so many times, at steps and moments that the seed chooses, the next
after the run has gone on. At the end the run has ended by itself, every trajectory of every step is there once,
the curriculum knows as many outcomes as there are groups, and no process is left. The time from each strike until what
was struck is in use again is printed by kind; `faults` is what the run says itself. Exit code 1 where anything is
wrong.
"""

import argparse
import contextlib
import json
import os
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
from typing import Any

import psutil
import pyarrow.parquet as pq

from stepcoder.deploy.run.faults import FAULTS, read_faults, told
from stepcoder.deploy.run.metrics import METRICS, read_metrics
from tests.tools.loop import ROOT, alive, engine_processes, step_lines, write_config
from tests.tools.tiny_model import build_tiny_model

SUBTASKS, GROUP, ENGINES, RANKS = 8, 8, 2, 2
HANG_S = 400.0  # until a strike counts as the end of the run
TITLES = {
    "executor": "ray::ExecutorWorker", "worker": "ray::RolloutWorker", "rank": "ray::LearnerRank",
    "curriculum": "ray::StoredCurriculumActor",
}  # fmt: skip
MOMENTS = {"publish": "sending weights", "checkpoint": "writing a checkpoint"}  # a phase that a strike waits for
KINDS = ("engine", "stop", "worker", "publish", "executor", "curriculum", "rank", "checkpoint", "node", "driver")


def drive(config: str, phase: Path) -> int:
    """The driver as a user starts it, but that it notes its phase in a file, for strikes at one."""
    from stepcoder.deploy.cli import main as stepcoder
    from stepcoder.deploy.shown.progress import RunProgress

    shown = RunProgress.phase

    def noted(self: RunProgress, name: str) -> None:
        phase.write_text(name)
        shown(self, name)

    RunProgress.phase = noted
    return stepcoder(["train", "--config", config])


class Nodes:
    """A head and two more nodes of a Ray cluster, each with its processes on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        os.environ |= {"RAY_worker_niceness": "0", "RAY_AUTH_MODE": "disabled"}
        self._cluster: Any = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False}, shutdown_at_exit=False
        )
        self.address: str = self._cluster.address
        for _ in range(2):
            self.add()

    def add(self) -> None:
        self._cluster.add_node(num_cpus=2)

    def pids(self) -> list[int]:
        """The raylets of the nodes that can be lost."""
        return [node.all_processes["raylet"][0].process.pid for node in self._cluster.worker_nodes]

    def lose(self, raylet: int) -> None:
        (node,) = (n for n in self._cluster.worker_nodes if n.all_processes["raylet"][0].process.pid == raylet)
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()


def family() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def titled(title: str) -> list[psutil.Process]:
    """Living processes of this benchmark with such a title."""
    found = []
    for process in family():
        with contextlib.suppress(psutil.Error):
            if " ".join(process.cmdline()).startswith(title) and alive(process):
                found.append(process)
    return found


def engines() -> list[psutil.Process]:
    return [process for process in engine_processes(family()) if alive(process)]


@dataclass
class Chaos:
    """One run and the strikes on it."""

    nodes: Nodes
    folder: Path
    config: Path
    random: random.Random
    driver: "subprocess.Popen[bytes]" = field(init=False)
    times: dict[str, list[float]] = field(default_factory=dict)
    orphans: list[psutil.Process] = field(default_factory=list)
    """Processes of nodes that were lost."""

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def phase(self) -> Path:
        return self.folder / "phase"

    def start(self) -> None:
        command = [sys.executable, "-m", "benchmarks.chaos", "--drive", str(self.config), str(self.phase)]
        with (self.folder / "log").open("ab") as log:
            self.driver = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)

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

    def strike(self, kind: str) -> None:
        """Kill one of a kind at this moment, or at the next of its phase, and wait until its successor is in use."""
        if kind in MOMENTS:
            self.until(lambda: self.phase.read_text() == MOMENTS[kind], f"the phase of {kind}", 0.001)
            time.sleep(self.random.uniform(0, 0.05))
        mended, step, began = len(read_faults(self.run / FAULTS)), self.step(), time.monotonic()
        expected = getattr(self, f"_{kind}", lambda: self._one_of(kind))()
        if expected is None:  # what the run counts as a fault, and says when it is made good
            self.until(lambda: len(read_faults(self.run / FAULTS)) > mended and self._whole(), f"the end of {kind}")
        else:
            self.until(expected, f"a successor of the {kind}")
        seconds = time.monotonic() - began
        self.times.setdefault(kind, []).append(seconds)
        print(f"  {kind} at step {step}, in '{self.phase.read_text()}': {seconds:.1f} s", flush=True)

    def _whole(self) -> bool:
        return len(engines()) == ENGINES and len(titled(TITLES["rank"])) == RANKS

    def _one_of(self, kind: str) -> Callable[[], bool] | None:
        """Kills it; what to wait for, where the run does not count it."""
        before = titled(TITLES[kind])
        self.random.choice(before).kill()
        if kind in ("worker", "rank"):
            return None
        known = {process.pid for process in before}
        return lambda: len([p for p in titled(TITLES[kind]) if p.pid not in known]) > 0

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
        """Started again by the same command; it is back with its next step."""
        self.driver.kill()
        self.driver.wait()
        before = (self.run / METRICS).stat().st_mtime
        ours = [process for title in TITLES.values() for process in titled(title)] + engines()
        gone, left = psutil.wait_procs(ours, timeout=60)
        if left:
            raise RuntimeError(f"{len(left)} processes outlived their driver: {left[:3]}")
        self.start()
        started = time.time()
        return lambda: (self.run / METRICS).stat().st_mtime > max(before, started) and self._stepped(started)

    def _stepped(self, since: float) -> bool:
        return any(file.stat().st_mtime > since for file in (self.run / "trajectories").glob("*.parquet"))


def checked(chaos: Chaos, steps: int) -> list[str]:
    """What is wrong with what the run left."""
    wrong = []
    if chaos.driver.returncode:
        wrong.append(f"the run ended with {chaos.driver.returncode}")
    if sorted(step_lines(chaos.run)) != list(range(1, steps + 1)):
        wrong.append(f"steps {sorted(step_lines(chaos.run))}")
    lines = [json.loads(line) for line in (chaos.run / METRICS).read_text().splitlines()]
    if len({line["step"] for line in lines}) != len(lines):
        wrong.append("a step counted twice")
    seen = list[tuple[int, int]]()
    for step in range(1, steps + 1):
        table = pq.read_table(chaos.run / "trajectories" / f"step-{step:08d}.parquet", columns=["ticket", "sample"])
        seen += list(zip(table["ticket"].to_pylist(), table["sample"].to_pylist(), strict=True))
    dropped = sum(int(line["groups/unjudged"]) for line in lines)
    if len(set(seen)) != len(seen) or len(seen) != (steps * SUBTASKS - dropped) * GROUP:
        wrong.append(f"{len(seen)} trajectories, {len(set(seen))} of them different, {dropped} groups dropped")
    state = json.loads((chaos.run / "checkpoints" / f"step-{steps:08d}" / "state.json").read_text())
    outcomes, tickets = sum(state["curriculum"]["moves"].values()), {ticket for ticket, _ in seen}
    ahead = {ticket for ticket, *_ in state["issued"]}
    drawn = set(range(state["curriculum"]["ticket"]))
    if outcomes != len(tickets) or tickets & ahead or (not dropped and tickets | ahead != drawn):
        wrong.append(f"the curriculum heard {outcomes} outcomes of {len(tickets)} groups, and drew {len(drawn)}")
    left = [process for title in TITLES.values() for process in titled(title)] + engines() + chaos.orphans
    _, left = psutil.wait_procs(left, timeout=60)
    if left := [process for process in left if alive(process)]:
        wrong.append(f"{len(left)} processes are left: {left[:3]}")
    return wrong


def configured(folder: Path, address: str, steps: int, engine: str) -> Path:
    """Completions long enough that a step is no shorter than some seconds: an engine takes several to load."""
    own = {"kv_cache_gib": 1, "max_new_tokens": 220} if engine == "vllm" else {"max_new_tokens": 64}
    return write_config(
        folder, build_tiny_model(folder / "model"), "run", subtasks_per_step=SUBTASKS, max_staleness=1,
        eval={"at_start": False, "at_end": False}, data={"limit": 40},
        run={"directory": str(folder / "run"), "steps": steps, "checkpoint_every": 2, "seed": 3},
        curriculum={"prompt": {"max_prompt_tokens": 800}},
        rollout={
            "engine": engine, "engines": ENGINES, "group_size": GROUP, "temperature": 1.0, "top_p": 1.0,
            "max_model_len": 1024, "dtype": "float32", "cpu_threads": 1, "weights_deadline_s": 20.0,
        } | own,
        learner={
            "precision": "fp32", "policy": {"lr": 1e-4}, "advantage": {"critic": {"layers": 1}}, "ranks": RANKS,
            "token_budget": 2048, "guards": {"max_kl": None, "max_gap": None},
        },
        executor={"workers": 1, "actors": 2},
        ray={"address": address, "restarts_per_hour": 1000, "start_deadline_s": 200.0},
    )  # fmt: skip


def torment(folder: Path, kinds: Sequence[str], times: int, steps: int, seed: int, engine: str) -> list[str]:
    nodes = Nodes()
    try:
        config = configured(folder, nodes.address, steps, engine)
        chaos = Chaos(nodes, folder, config, random.Random(seed))
        strikes = [kind for kind in kinds for _ in range(times)]
        chaos.random.shuffle(strikes)
        chaos.start()
        for number, kind in enumerate(strikes):
            at = 1 + number * (steps - 2) // len(strikes)
            chaos.until(lambda at=at: chaos.step() >= at, f"step {at}")
            time.sleep(chaos.random.uniform(0, 3))
            chaos.strike(kind)
        chaos.driver.wait(timeout=2 * HANG_S)
        wrong = checked(chaos, steps)
        print(table(chaos.times))
        print("faults:", json.dumps(told(read_faults(chaos.run / FAULTS))))
        return wrong
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return [f"{error}\n{(folder / 'log').read_text()[-3000:]}"]
    finally:
        with contextlib.suppress(NameError, AttributeError):
            chaos.driver.kill()
        nodes.close()
        _, left = psutil.wait_procs(family(), timeout=30)
        for process in left:
            process.kill()


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
    parser.add_argument("--drive", nargs=2, metavar=("CONFIG", "PHASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        return drive(options.drive[0], Path(options.drive[1]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # not without an end of the cluster
    with tempfile.TemporaryDirectory(prefix="chaos-") as aside:
        folder = options.directory or Path(aside)
        folder.mkdir(parents=True, exist_ok=True)
        wrong = torment(folder, options.kinds, options.times, options.steps, options.seed, options.engine)
    print("\n".join(wrong) or "the run ended by itself, and everything counted once")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
