"""The work that both sides of benchmarks.peer do and how they report it: every number that must be equal."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from stepcoder.curriculum.config import PromptConfig
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.prompts import Prompter
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.run import Config

ROOT = Path(__file__).resolve().parent.parent
PHASES = ("sync", "generate", "reward", "score", "train", "optimizer", "other")

# Over configs/starter.yaml. Instruct form: a reply opens its own fence and only the end token, or its length, ends it.
COMMON = {
    "curriculum.schedule.type": "none",
    "curriculum.prompt.form": "instruct",
    "rollout.group_size": 8,
    "rollout.max_new_tokens": 128,
    "rollout.temperature": 1.0,
    "rollout.top_p": 1.0,
    "rollout.max_model_len": 384,
    "rollout.max_num_seqs": 64,
    "rollout.kv_cache_gib": 1,
    "subtasks_per_step": 8,
    "max_staleness": 0,
    "rollout.dtype": "bfloat16",
    "learner.precision": "autocast",
    "learner.policy.lr": 1e-5,
    "learner.policy.warmup_steps": 0,
    "learner.minibatches": 1,
    "learner.credit.type": "all",
}
# The paper's group's GRPO: one number a completion, each completion weighs the same; no critic, no reference.
GRPO = {"algorithm": "grpo", "learner.kl.type": "none"}


def settings(changes: dict[str, Any]) -> Config:
    """The starter run's configuration with the common work and `changes`."""
    words = [f"--{key}={json.dumps(value) if isinstance(value, bool) else value}" for key, value in changes.items()]
    return load_config(ROOT / "configs" / "starter.yaml", words, {})


def prompts(tokenizer: Any, config: PromptConfig, problems: Sequence[Problem]) -> list[str]:
    """What the model is given, as text; the learner and TRL's trainer both get its token ids."""
    prompter = Prompter(tokenizer, config)
    return [prompter.text(problem, "") for problem in problems]


@dataclass(frozen=True, slots=True)
class Work:
    """What a child process does: `steps` measured steps after a warm-up, on problems that come in this order."""

    model: str
    steps: int
    seed: int
    problems: tuple[str, ...]
    settings: dict[str, Any]
    options: dict[str, Any]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return cls(**(fields | {"problems": tuple(fields["problems"])}))

    def chosen(self, problems: Sequence[Problem]) -> list[Problem]:
        by_id = {problem.id: problem for problem in problems}
        return [by_id[name] for name in self.problems]

    def batches(self, problems: Sequence[Problem], size: int) -> Iterator[list[Problem]]:
        """The problems of the warm-up and of each step."""
        chosen = self.chosen(problems)
        for start in range(0, len(chosen), size):
            yield chosen[start : start + size]


@dataclass(frozen=True, slots=True)
class Step:
    """One whole step: seconds by phase (what a side does not have is absent) and in all, tokens, what came out.

    `cpu_seconds` are those of all the side's processes, which other work on the machine changes less than seconds.
    `prompt_tokens` counts a prompt once a completion, as a trainer without sharing computes it. `gap`: mean absolute
    difference of the sampler's and the trainer's log-probabilities of the sampled tokens (nats), where it is known.
    """

    phases: dict[str, float]
    seconds: float
    cpu_seconds: float
    prompt_tokens: int
    completion_tokens: int
    reward: float
    gap: float | None = None

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


def cpu_seconds() -> float:
    """CPU time that this process, its descendants and those of them that have ended have taken (seconds)."""
    total, here = 0.0, psutil.Process()
    for process in (here, *here.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def write_steps(path: Path, steps: Sequence[Step], about: dict[str, Any]) -> None:
    path.write_text(json.dumps({"steps": [asdict(step) for step in steps], "about": about}), encoding="utf-8")


def read_steps(path: Path) -> tuple[list[Step], dict[str, Any]]:
    found = json.loads(path.read_text(encoding="utf-8"))
    return [Step(**step) for step in found["steps"]], found["about"]
