"""Study directories with runs whose numbers are drawn, as `stepcoder study` and its runs would leave them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stepcoder.deploy.shown.summary import evaluation
from stepcoder.deploy.study.plan import STUDY, run_directory

PROBLEMS = {"heldout": [f"h{i}" for i in range(12)], "train": [f"t{i}" for i in range(16)]}
LEVELS = {name: ("introductory", "interview")[i % 2] for found in PROBLEMS.values() for i, name in enumerate(found)}
STEPS, TOKENS, SAMPLES = 6, 1000, 4


def write_run(path: Path, seed: int, gain: float, ended: str | None = "tokens") -> None:
    """A run that raises the pass rate from 0.3 by `gain`, evaluated before, in the middle and at the end."""
    draw = np.random.default_rng([seed, round(1000 * gain)])
    path.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = []
    for step in range(STEPS + 1):
        if step:
            lines.append(
                {"step": step, "tokens/generated": float(TOKENS), "reward/mean": 0.1 * step, "seconds/train": 60.0}
            )
        if step in (0, STEPS // 2, STEPS):
            rate = 0.3 + gain * step / STEPS
            splits = {
                split: evaluation({p: (int(draw.binomial(SAMPLES, rate)), SAMPLES) for p in names}, LEVELS)
                for split, names in PROBLEMS.items()
            }
            lines.append({"step": step, "eval": splits, "seconds/eval": 30.0})
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (path / "config.yaml").write_text(yaml.safe_dump({"run": {"seed": seed, "steps": 1000}, "gain": gain}))
    (path / "provenance.jsonl").write_text(json.dumps({"commit": "0123456789", "dirty": False, "cpu": "CPU"}) + "\n")
    if ended is not None:
        (path / "report.json").write_text(json.dumps({"ended": ended}))


def write_study(directory: Path, gains: dict[str, float], seeds: int = 3) -> Path:
    """A study whose runs are all done."""
    directory.mkdir(parents=True, exist_ok=True)
    arms = {name: {"settings": {}, "seeds": list(range(seeds))} for name in gains}
    record = {"config": "/c.yaml", "budget": {"tokens": STEPS * TOKENS}, "start": {}, "arms": arms}
    (directory / STUDY).write_text(yaml.safe_dump(record, sort_keys=False))
    for name, gain in gains.items():
        for seed in range(seeds):
            write_run(run_directory(directory, name, seed), seed, gain)
    return directory
