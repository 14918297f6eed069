"""A long run of the tiny model: what its driver, actors and files hold, and whether any of it grows.

    python -m benchmarks.soak_run [--steps 300] [--directory DIR]

The run is `stepcoder train` with vLLM, DeepSpeed, Ray and sandbox. Every so many steps a line tells what the driver,
all other processes, the object store and the run directory hold. Exit code 1 where something at the end exceeds what
it was in the first half. Checkpoints are kept at 2, and trajectories grow with the steps: they are counted apart.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import psutil

from stepcoder.deploy.run.metrics import METRICS, read_metrics
from tests.tools.loop import ROOT, write_config
from tests.tools.tiny_model import build_tiny_model

MARKS = 10
MIB = 1 << 20
GROWTH = 1.1
FEW = 8  # descriptors, processes
PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Held:
    """Memory in MiB; the object store is Ray's shared memory; `disk_mib` without trajectories and numbers."""

    driver_mib: float
    actors_mib: float
    store_mib: float
    descriptors: int
    processes: int
    disk_mib: float

    @classmethod
    def now(cls, driver: psutil.Process, run: Path) -> "Held":
        found = [driver, *driver.children(recursive=True)]
        own, descriptors, shared = [], 0, 0
        for process in found:
            try:
                memory = process.memory_info()
                own.append((memory.rss - memory.shared) / MIB)
                shared = max(shared, memory.shared)
                descriptors += process.num_fds()
            except psutil.Error:  # it has just ended
                continue
        return cls(own[0], sum(own[1:]), shared / MIB, descriptors, len(own), disk(run))

    def __str__(self) -> str:
        return "  ".join(f"{f.name} {getattr(self, f.name):.1f}" for f in fields(self))


def disk(run: Path) -> float:
    """MiB of the run directory but for what each step adds to."""
    total = 0
    for file in run.rglob("*"):
        grows = file.name == METRICS or {"trajectories", "tensorboard"} & set(file.parts)
        try:
            total += 0 if grows or not file.is_file() else file.stat().st_size
        except FileNotFoundError:  # a checkpoint that has just been replaced
            continue
    return total / MIB


def grown(marks: Sequence[Held]) -> list[str]:
    """What the last mark holds more of than any of the first half."""
    early, last = marks[: -(-len(marks) // 2)], marks[-1]
    found = []
    for field in fields(Held):
        most, now = max(getattr(mark, field.name) for mark in early), getattr(last, field.name)
        slack = FEW if field.name in ("descriptors", "processes") else most * (GROWTH - 1) + 1
        if now > most + slack:
            found.append(f"{field.name} grew from {most:.1f} to {now:.1f}")
    return found


def soak(steps: int, folder: Path) -> list[str]:
    """Runs it; the list of what grew or went wrong."""
    config = write_config(folder, build_tiny_model(folder / "model"), "run", eval={"at_start": False, "at_end": False})
    run, every = folder / "run", max(steps // MARKS, 1)
    command = [sys.executable, "-m", "deploy.train", "--config", str(config), "--run.steps", str(steps)]
    marks: list[Held] = []
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        driver, begun = psutil.Process(process.pid), time.monotonic()
        while process.poll() is None:
            step = max((line["step"] for line in read_metrics(run / METRICS)), default=0)
            if step >= every * (len(marks) + 1) and step < steps:
                marks.append(Held.now(driver, run))
                print(f"step {step:4} {time.monotonic() - begun:6.0f} s: {marks[-1]}", flush=True)
            time.sleep(PAUSE_S)
    if process.returncode:
        return [f"the run ended with {process.returncode}: {(folder / 'log').read_text()[-2000:]}"]
    return grown(marks) if len(marks) > 1 else ["too few steps to say whether anything grows"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--directory", type=Path, help="where to work (default: a temporary directory)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stepcoder-soak-") as aside:
        folder = options.directory or Path(aside)
        folder.mkdir(parents=True, exist_ok=True)
        wrong = soak(options.steps, folder)
    print("\n".join(wrong) or "nothing grew")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
