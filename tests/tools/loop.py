"""Small runs of the real loop, started as a user starts them."""

import contextlib
import itertools
import json
import os
import random
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import yaml

from stepcoder.executor.judging.reward import reward
from stepcoder.executor.report import Report

ROOT = Path(__file__).resolve().parents[2]
STEPS = 4


def write_config(folder: Path, model: Path, name: str, **changes: object) -> Path:
    """Two subtasks of four short completions a step, in fp32, a checkpoint every two steps."""
    config: dict[str, object] = {
        "model": str(model),
        "subtasks_per_step": 2,
        "max_staleness": 0,
        "data": {"limit": 6},
        "run": {"directory": str(folder / name), "steps": STEPS, "checkpoint_every": 2, "seed": 3},
        "eval": {"samples": 1, "train_limit": 2},
        "curriculum": {"schedule": {"visit_cap": 1}, "prompt": {"max_prompt_tokens": 900}},
        "rollout": {
            "group_size": 4, "max_new_tokens": 12, "temperature": 1.0, "top_p": 1.0, "max_model_len": 1024,
            "dtype": "float32", "kv_cache_gib": 1, "cpu_threads": "2",
        },
        # The last bits of the engine's log-probabilities depend on which requests shared a batch, so the loss must not
        # use them where two runs are compared bit for bit: no importance weights.
        "learner": {
            "precision": "fp32", "policy": {"lr": 1e-3}, "advantage": {"critic": {"layers": 1}}, "token_budget": 512,
            "old_logprobs": {"importance_cap": None},
        },
        "executor": {"workers": 1},
    }  # fmt: skip
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(config | changes))
    return file


_graded = itertools.count()


def coin(_: Report) -> float:
    """A reward for random models, whose programs all fail alike: heads or tails, but for a worker's first four."""
    n = next(_graded)
    return float(n > 3 and random.Random(n).random() < 0.5)


def held(report: Report) -> float:
    """The usual reward; once what HOLD names is there, it never comes, so that a run can be killed at that point."""
    while (place := os.environ.get("HOLD")) and Path(place).exists():
        time.sleep(0.1)
    return reward(report, "stepcoder")


def metrics(run: Path) -> dict[int, dict[str, object]]:
    """Step -> what its line says, without times and without the gap, which depends on how requests were batched."""
    unstable = ("seconds/", "tokens_per_s/", "gap/", "idle/", "queue/", "age/")
    return {
        step: {key: value for key, value in line.items() if not key.startswith(unstable)}
        for step, line in step_lines(run).items()
    }


def step_lines(run: Path) -> dict[int, dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if "eval" not in line}


def engine_processes(family: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those of `family` that an engine of either kind runs in."""
    found = []
    for process in family:
        with contextlib.suppress(psutil.Error):
            said = " ".join((process.name(), *process.cmdline()))
            if "EngineCore" in said or "spawn_main" in said:
                found.append(process)
    return found


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
