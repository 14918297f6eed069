"""What a checkpoint of the starter run costs: what training waits for, and what goes on beside it.

    python -m benchmarks.checkpoint [MODEL]        # a minute; writes 3 GB to a temporary directory in --scratch

A real learner of `configs/starter.yaml` (policy, critic of 8 layers, reference) that has made one update. Three times,
since the first copy allocates its buffers.
"""

import argparse
import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from stepcoder.deploy.checks.starter_model import STARTER, resolve_model
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.run.checkpoint import CheckpointWriter
from stepcoder.learner.rank import LearnerRank

ROOT = Path(__file__).resolve().parent.parent


def learner(model: str) -> LearnerRank:
    """One rank with the starter run's settings, in this process, after an update."""
    import torch

    config = load_config(str(ROOT / "configs" / "starter.yaml"), ["--learner.precision", "autocast"], {}).learner
    rank = LearnerRank(0, 1, model, config, seed=0, total_updates=10, temperature=1.0, cuda=False)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    rank.build("127.0.0.1", port)
    for network in rank._update.networks.trained.values():
        network.backward(sum((p.float().mean() for p in network.module.parameters()), torch.zeros(())))
        network.update()
    return rank


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=STARTER)
    parser.add_argument("--scratch", type=Path, default=Path.cwd(), help="directory on the disk that is measured")
    options = parser.parse_args()
    os.environ["DS_ACCELERATOR"] = "cpu"
    rank = learner(str(resolve_model(options.model)))
    process = psutil.Process()
    table = Table(title="One checkpoint of the starter run", caption="wall seconds (processor seconds), memory in GiB")
    for name in ("", "copy", "write", "hash, flush, rename", "memory", "size"):
        table.add_column(name, justify="right")

    def timed(work: Callable[[], object]) -> str:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        return f"{time.perf_counter() - wall:.2f} ({time.process_time() - cpu:.2f})"

    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        for step in range(1, 4):
            copy = timed(rank.capture)
            writer = CheckpointWriter(Path(folder), step).__enter__()
            write = timed(lambda path=str(writer.path): rank.write(path))
            seal = timed(lambda writer=writer: writer.__exit__(None, None, None))
            size = sum(f.stat().st_size for f in writer.target.rglob("*") if f.is_file()) / 2**30
            memory = process.memory_info().rss / 2**30
            table.add_row(f"{step}", copy, write, seal, f"{memory:.2f}", f"{size:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
