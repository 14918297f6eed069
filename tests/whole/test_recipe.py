"""Every command of docs/recipe.md, in its order and in miniature: small files, a tiny model, a CPU."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tools.data_sets import write_lines
from tests.tools.patience import HANG_S
from tests.whole.test_docs import ROOT, commands

RECIPE = ROOT / "docs" / "recipe.md"
SMALL = {
    "learner.device": "cpu", "learner.precision": "fp32", "learner.zero_stage": "0", "learner.token_budget": "512",
    "learner.logprob_chunk": "512", "rollout.dtype": "float32", "rollout.max_new_tokens": "8",
    "rollout.max_model_len": "1024", "curriculum.prompt.max_prompt_tokens": "960", "rollout.cpu_threads": "1",
    "rollout.engine": "transformers",  # starts in seconds
    "eval.samples": "1", "eval.train_limit": "1", "executor.workers": "1", "run.checkpoint_every": "1",
}  # fmt: skip
EXTRA = {
    "doctor": {}, "eval": {},
    "sft": {"sft.batch_size": "64", "rollout.max_new_tokens": "256", "curriculum.prompt.max_prompt_tokens": "768"},
    "train": {"run.steps": "1", "eval.every": "1", "subtasks_per_step": "2", "rollout.group_size": "2"},
}  # fmt: skip


def apps(number: int) -> dict[str, Any]:
    """One of many problems that differ; every fifth is of a level that is left out."""
    factor, level = number + 2, "competition" if number % 5 == 4 else "interview"
    program = f"n = int(input())\nif n < 0:\n    print({number})\nelse:\n    print({factor} * n)"
    return {
        "problem_id": 2361 + number, "starter_code": "", "difficulty": level, "solutions": json.dumps([program]),
        "question": f"Multiply the number on standard input by {factor}; below zero print {number} alone.",
        "input_output": json.dumps({"inputs": ["1\n", "-1\n"], "outputs": [f"{factor}\n", f"{number}\n"]}),
    }  # fmt: skip


def write_data_sets(folder: Path) -> dict[str, str]:
    """A file in the place of each data set of the hub, by what the recipe calls it up to its first comma."""
    humaneval = {
        "task_id": "HumanEval/0", "entry_point": "half", "prompt": 'def half(x):\n    """Half of x, rounded down."""\n',
        "canonical_solution": "    return x // 2\n", "test": "def check(candidate):\n    assert candidate(5) == 2\n",
    }  # fmt: skip
    mbpp = {
        "task_id": 11, "text": "Write a function to add one to a number.", "code": "def up(x):\n    return x + 1",
        "test_list": ["assert up(1) == 2"], "test_setup_code": "", "challenge_test_list": [],
    }  # fmt: skip
    return {
        "hub:codeparrot/apps": str(write_lines(folder / "rows-apps.jsonl", *map(apps, range(60)))),
        "hub:openai/openai_humaneval": str(write_lines(folder / "rows-humaneval.jsonl", humaneval)),
        "hub:google-research-datasets/mbpp": str(write_lines(folder / "rows-mbpp.jsonl", mbpp)),
    }


def miniature(line: str, files: dict[str, str], model: Path) -> list[str]:
    """The command's words, with what makes it small in the place of its own."""
    _, *words = shlex.split(line)
    words = [files.get(word.partition(",")[0], word) for word in words]
    words = [str(ROOT / word) if word.startswith("configs/") else word for word in words]
    if words[0] not in EXTRA:
        return words
    changes = SMALL | EXTRA[words[0]] | ({} if "--model" in words or "--run" in words else {"model": str(model)})
    changes |= (
        {"placement": "auto"} if any("configs/coder" in word for word in words) else {}
    )  # that engine can't sleep
    kept = list[str]()
    for word in words:
        if kept and kept[-1].removeprefix("--") in changes:
            kept.pop()  # the setting that the word is the value of
        else:
            kept.append(word)
    return kept + [word for name, value in changes.items() for word in (f"--{name}", value)]


@pytest.mark.exhaustive
def test_the_recipe_ends_with_an_evaluated_checkpoint(tmp_path: Path, model: Path) -> None:
    files, lines = write_data_sets(tmp_path), commands(RECIPE)
    (tmp_path / "data").mkdir()
    assert {shlex.split(line)[1] for line in lines} == {"data", "courses", "doctor", "sft", "export", "train", "eval"}
    for line in lines:
        command = [sys.executable, "-m", "stepcoder", *miniature(line, files, model)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=HANG_S)
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    found = json.loads((tmp_path / "runs/coder-1.5b-80gb/humaneval-mbpp.json").read_text())
    assert found["heldout"]["n_problems"] == 2
    assert (tmp_path / "models/coder-1.5b/config.json").is_file()
