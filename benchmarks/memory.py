"""Peak memory of a run over all its processes, by kind of process.

    python -m benchmarks.memory -- --config configs/starter.yaml --run.steps 2 --run.checkpoint_every 1

Starts `stepcoder train` with the settings after `--` and adds up the proportional set size of the driver and everything
below it, twice a second: a page that several processes share counts once in all.
"""

import argparse
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import psutil

GIB = 1024**3
# A word of the process's title -> what it is. The first that fits counts.
KINDS = (
    ("VLLM::", "engine"), ("RolloutWorker", "rollout worker"), ("LearnerRank", "learner"),
    ("Executor", "executors"), ("CurriculumActor", "curriculum"), ("ray::", "other Ray workers"),
    ("raylet", "Ray"), ("gcs_server", "Ray"), ("ray/", "Ray"), ("executor", "executors"),
)  # fmt: skip


def kind(process: psutil.Process) -> str:
    title = " ".join(process.cmdline())
    return next((name for word, name in KINDS if word in title), "driver and others")


def proportional_bytes(pid: int) -> int:
    """A process's pages, each divided by the number of processes that share it. 0 for one that has ended."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def sample(root: psutil.Process) -> Counter[str]:
    """Bytes by kind of process, of `root` and everything below it."""
    found: Counter[str] = Counter()
    for process in [root, *root.children(recursive=True)]:
        try:
            found[kind(process)] += proportional_bytes(process.pid)
        except psutil.NoSuchProcess:
            continue
    return found


@dataclass(slots=True)
class Peak:
    """The sample with the largest sum so far, and the largest value of each kind, whenever that was (bytes)."""

    at_peak: Counter[str] = field(default_factory=Counter)
    each: Counter[str] = field(default_factory=Counter)

    def see(self, found: Mapping[str, int]) -> None:
        if sum(found.values()) > sum(self.at_peak.values()):
            self.at_peak = Counter(found)
        self.each |= Counter(found)

    def table(self) -> str:
        rows = [f"{'':20} {'at the peak':>12} {'own peak':>10}  GiB"]
        for name, size in self.each.most_common():
            rows.append(f"{name:20} {self.at_peak[name] / GIB:12.2f} {size / GIB:10.2f}")
        return "\n".join([*rows, f"{'all processes':20} {sum(self.at_peak.values()) / GIB:12.2f}"])


def watch(command: list[str], heard: Callable[[str], None] | None = None, interval_s: float = 0.5) -> tuple[Peak, int]:
    """Run a command to its end: the peak of its processes and its exit code. `heard` gets each line of what it says."""
    peak = Peak()
    piped = None if heard is None else subprocess.PIPE
    with subprocess.Popen(command, stdout=piped, stderr=piped and subprocess.STDOUT, text=True) as started:
        if heard is not None:
            Thread(target=lambda: [heard(line) for line in started.stdout or ()], daemon=True).start()
        root = psutil.Process(started.pid)
        while started.poll() is None:
            peak.see(sample(root))
            time.sleep(interval_s)
    return peak, started.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs=argparse.REMAINDER, help="-- and settings of stepcoder train")
    settings = [word for word in parser.parse_args().settings if word != "--"]
    peak, code = watch([sys.executable, "-m", "deploy.cli", "train", *settings])
    print(peak.table())
    return code


if __name__ == "__main__":
    sys.exit(main())
