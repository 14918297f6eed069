"""Two steps of TRL's GRPOTrainer on a tiny model, rewarded by a server of this project.

    python -m benchmarks.serve_trl [--cache FOLDER]

TRL gets the environment of its own that benchmarks/peer.py makes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.peer import trl_python
from benchmarks.serve import ROOT, Server

PROBLEM = {"style": "call", "entry_point": "f", "tests": [{"input": [1], "output": 2}]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "peer", help="where TRL's environment is kept")
    parser.add_argument("--child", nargs=2, metavar=("URL", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        train(*options.child)
        return 0
    python = trl_python(options.cache.resolve())
    server = Server()
    try:
        with tempfile.TemporaryDirectory() as folder:
            words = [python, "-m", "benchmarks.serve_trl", "--child", server.url, folder]
            return subprocess.run(words, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False).returncode
    finally:
        server.stop()


def train(url: str, folder: str) -> None:
    """In TRL's environment."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportMissingImports]

    from stepcoder.deploy.adapters.trl import CodeReward
    from tests.tools.tiny_model import build_tiny_model

    model = Path(folder, "model")
    build_tiny_model(model)
    rows = [{"prompt": "def f(x):", "problem": json.dumps(PROBLEM)}] * 8
    settings = GRPOConfig(
        output_dir=folder, max_steps=2, per_device_train_batch_size=4, num_generations=4, max_completion_length=16,
        use_cpu=True, bf16=False, logging_steps=1, report_to=[], save_strategy="no",
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=str(model), reward_funcs=CodeReward(url), args=settings, train_dataset=Dataset.from_list(rows)
    )
    trainer.train()
    steps = [entry for entry in trainer.state.log_history if "reward" in entry]
    print([(entry["rewards/code_reward/mean"], entry["passed"]) for entry in steps])
    if len(steps) != 2:
        raise RuntimeError(f"{len(steps)} steps were logged, not 2")


if __name__ == "__main__":
    sys.exit(main())
