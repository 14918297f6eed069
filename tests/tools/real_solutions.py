"""Solutions of the data sets beside the repository, as plain texts, and of the starter problems, always there."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stepcoder.curriculum.problems.load import load_problems
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.executor.suite import Case, Suite

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SUITE = Suite("stdin", (Case("1\n", "1\n"),))


@dataclass(frozen=True, slots=True)
class DataSet:
    """A file, where a row keeps its id and solution, and the mark after which its statement shows the starter code."""

    file: str
    id: str
    solution: str
    starter: tuple[str, str] | None = None


DATA_SETS = (
    DataSet("leetcode-v0.2.0-train.jsonl.gz", "task_id", "completion", ("query", "```python\n")),
    DataSet("mbpp.jsonl.gz", "task_id", "code"),
    DataSet("codecontests.jsonl.gz", "id", "solution"),
)


def starter_problems() -> list[Problem]:
    return [problem for name in ("train", "heldout") for problem in load_problems(f"starter:{name}")]


def real_problems() -> list[Problem]:
    """About 3,000, with a test that means nothing; skips where the data sets are not there."""
    if not all((DATA / data_set.file).is_file() for data_set in DATA_SETS):
        pytest.skip(f"no data sets in {DATA}: the starter problems alone are tested")
    return [problem for data_set in DATA_SETS for problem in _problems(data_set)]


def _problems(data_set: DataSet) -> Iterator[Problem]:
    with gzip.open(DATA / data_set.file, "rt", encoding="utf-8", newline="\n") as stream:
        for line in stream:
            row: dict[str, Any] = json.loads(line)
            starter = ""
            if data_set.starter is not None:
                key, mark = data_set.starter
                starter = row[key].rpartition(mark)[2].removesuffix("```")
            name = f"{data_set.file}/{row[data_set.id]}"
            yield Problem(name, "test", "interview", "Do it.", starter, row[data_set.solution], SUITE)
