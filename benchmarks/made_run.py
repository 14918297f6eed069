"""A run directory without a run: the files that a run writes, by the same code, of numbers that are made up."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stepcoder.curriculum.problems.problem import Level, Problem
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.run.metrics import MetricsWriter
from stepcoder.deploy.run.problems import write_problems
from stepcoder.deploy.run.trajectories import GROUP_ROWS, trajectory_file, write_trajectories
from stepcoder.deploy.shown.summary import evaluation
from stepcoder.executor.report import Verdict
from stepcoder.executor.suite import Case, Suite
from stepcoder.learner.trained import Trained
from stepcoder.rollout.kept import KeptTest
from stepcoder.rollout.trajectory import Trajectory

LEVELS: tuple[Level, ...] = get_args(Level)
STAGES = 4
PREFIX = 'def calculate(a, op, b):\n    if op == "+":\n        return a + b\n'
WRITTEN = '    elif op == "-":\n        return a - b\n    elif op == "*":\n        return a * b\n    return None\n'


@dataclass(frozen=True, slots=True)
class Words:
    """What anybody may have put into a run."""

    id: str = "made/calculate"
    statement: str = "Write calculate(a, op, b)."
    prefix: str = PREFIX
    written: str = WRITTEN
    input: str = "1, '+', 2"
    expected: str = "3"
    got: str = "None"
    error: str = "ValueError: no such operation"
    prompt: str = "Write the function."
    setting: str = "some/model"
    metric: str = "my/own"
    split: str = "heldout"
    event: str = "a service was lost (one actor); starting again from the newest checkpoint"


def make_run(folder: Path, steps: int, groups: int, samples: int, problems: int = 500, words: Words = Words()) -> Path:
    """`steps` files of `groups` times `samples` completions."""
    chance = Random(0)
    ids = [words.id if n == 0 else f"{words.id}/{n}" for n in range(problems)]
    level: dict[str, Level] = {name: LEVELS[n % len(LEVELS)] for n, name in enumerate(ids)}
    config = load_config(None, ["--run.directory", str(folder), "--run.steps", str(steps)], {})
    with RunDirectory.open(config.model_copy(update={"model": words.setting})) as run:
        run.note(words.event)
    suite = Suite("call", (Case([1, "+", 2], 3),), "calculate")
    write_problems(folder, [Problem(name, "made", level[name], words.statement, "", words.prefix + words.written, suite)
                            for name in ids], "default")  # fmt: skip
    stage = {name: 1 + n % STAGES for n, name in enumerate(ids)}
    template: pa.Table | None = None
    with MetricsWriter(folder, loggers=()) as metrics:
        for step in range(steps + 1):
            skill = 1 - math.exp(-2 * step / max(steps, 1))
            if step % max(steps // 10, 1) == 0:
                counts = {name: [round(8 * min(1, skill * (0.4 + chance.random()))), 8] for name in ids[:200]}
                metrics.write_evaluation(
                    step, {words.split: evaluation(counts, level), "train": evaluation(counts, level)}
                )
            if step == 0:
                continue
            tried = [ids[(step * groups + n) % problems] for n in range(groups)]
            passed = [sum(chance.random() < 0.2 + 0.6 * skill for _ in range(samples)) for _ in tried]
            columns = {
                "ticket": [(step - 1) * groups + n for n in range(groups)], "problem": tried,
                "stage": [stage[name] for name in tried], "passed": passed, "total": [samples] * groups,
                "reward": [(1.3 * n / samples) - 0.3 for n in passed],
            }  # fmt: skip
            metrics.write(step, _numbers(step, skill, chance, stage, words))
            metrics.write_groups(step, columns)
            if template is None:
                template = _first(folder, columns, samples, level, words)
            _write(folder, step, template, columns, samples)
            for name, good in zip(tried, passed, strict=True):
                stage[name] = max(0, stage[name] - (good > samples * 0.7))
    (folder / "report.json").write_text(json.dumps({"steps": steps}), encoding="utf-8")
    return folder


def _numbers(step: int, skill: float, chance: Random, stage: dict[str, int], words: Words) -> dict[str, object]:
    noise = chance.gauss(0, 0.03)
    passed = min(max(0.2 + 0.6 * skill + noise, 0), 1)
    return {
        "reward/mean": 1.3 * passed - 0.4, "pass_rate": passed, "pass_rate/full": passed * 0.8,
        "tokens/generated": 50_000 + 1_000 * noise, "tokens_per_s/generate": 900 + 500 * noise,
        "tokens_per_s/train": 1_200 + 500 * noise,
        "seconds/generate": 40 + 60 * noise, "seconds/train": 55 + 60 * noise,
        "seconds/publish": 1.5, "verdict/passed": passed, "verdict/wrong_answer": (1 - passed) * 0.7,
        "verdict/runtime_error": (1 - passed) * 0.3, "executed_share": 0.8 + 0.1 * skill, "kl/reference": 0.1 * skill,
        "gap/logprob_abs_mean": 0.01 + abs(noise) / 10, "policy/entropy": 0.4 - 0.2 * skill,
        "curriculum/full_generation_share": sum(s == 0 for s in stage.values()) / len(stage),
        "curriculum/histogram": {s: sum(v == s for v in stage.values()) for s in range(STAGES + 1)}, words.metric: step,
    }  # fmt: skip


def _first(folder: Path, columns: dict[str, list], samples: int, level: Mapping[str, str], words: Words) -> pa.Table:
    """A step's rows by the code that writes them in a run; the other steps differ in few columns."""
    rows, used = [], []
    for ticket, problem, stage, passed in zip(
        *(columns[n] for n in ("ticket", "problem", "stage", "passed")), strict=True
    ):
        for sample in range(samples):
            one = completion(ticket, sample, problem, level[problem], stage, sample < passed, words)
            rows.append(one)
            used.append(loss_used(one))
    return pq.read_table(write_trajectories(folder / "trajectories", 1, rows, used))


def completion(
    ticket: int, sample: int, problem: str, level: str, stage: int, passed: bool, words: Words = Words()
) -> Trajectory:
    """Its tokens are of four characters each."""
    prefix = words.prefix if stage else ""
    program = prefix + words.written
    starts = np.arange(len(prefix), len(program), 4, dtype=np.int32)
    ends = np.minimum(starts + 4, len(program)).astype(np.int32)
    count, chance = len(starts), np.random.default_rng(ticket * 100 + sample)
    lines = np.array([program.count("\n", 0, start) + 1 for start in starts], dtype=np.int32)
    total = program.count("\n")
    ran = tuple(line for line in range(1, total + 1) if line != total - 1)
    verdict = Verdict.PASSED if passed else Verdict.RUNTIME_ERROR
    error = None if passed else words.error
    test = KeptTest(1, str(verdict), words.input, words.expected, words.expected if passed else words.got, words.got,
                    error, None if passed else total, 0.001, False)  # fmt: skip
    return Trajectory(
        ticket, sample, problem, level, stage, np.arange(40, dtype=np.int32), chance.integers(0, 9000, count, np.int32),
        -chance.exponential(0.3, count).astype(np.float32), np.isin(lines, ran), np.ones(count, bool), lines,
        None if passed else total, 1.0 if passed else -0.6, verdict, "eos", 0, program, True, len(prefix),
        prompt=words.prompt, response=words.written, token_starts=starts, token_ends=ends, executed_lines=ran,
        error=error, tests=(test,),
    )  # fmt: skip


def loss_used(one: Trajectory) -> Trained:
    chance = np.random.default_rng(one.ticket * 100 + one.sample + 1)
    noise = chance.normal(0, 0.2, len(one.logprobs)).astype(np.float32)
    return Trained(one.ticket, one.sample, noise + (0.5 if one.reward > 0 else -0.5), one.executed,
                   (one.logprobs + noise / 20).astype(np.float32), one.logprobs, noise)  # fmt: skip


def _write(folder: Path, step: int, template: pa.Table, columns: dict[str, list], samples: int) -> None:
    def each(values: Sequence) -> list:
        return [value for value in values for _ in range(samples)]

    passed = [sample < good for good in columns["passed"] for sample in range(samples)]
    changed = {
        "step": [step] * template.num_rows, "ticket": each(columns["ticket"]), "problem_id": each(columns["problem"]),
        "stage": each(columns["stage"]), "verdict": ["passed" if good else "runtime_error" for good in passed],
        "reward": [1.0 if good else -0.6 for good in passed],
    }  # fmt: skip
    table = template
    for name, values in changed.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    pq.write_table(table, trajectory_file(folder / "trajectories", step), GROUP_ROWS, compression="zstd")
