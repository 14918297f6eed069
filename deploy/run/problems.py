"""The problems that a run trains on, beside its numbers: what somebody who looks at it wants to read.

`problems.parquet`, a row a problem; the rows that are read alone need few bytes each.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stepcoder.curriculum.config import ConditionalKind
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.stages.conditionals import conditionals
from stepcoder.files import Whole
from stepcoder.rollout.kept import storable

PROBLEMS = "problems.parquet"
_LONGEST = 20_000  # characters of a statement, of a solution
_TOGETHER = 256  # rows
_TEXT, _INT = pa.string(), pa.int32()
SCHEMA = pa.schema(
    [("id", _TEXT), ("level", _TEXT), ("source", _TEXT), ("conditionals", _INT), ("tests", _INT),
     ("statement", _TEXT), ("solution", _TEXT)]
)  # fmt: skip


def write_problems(run: Path, problems: Sequence[Problem], kind: ConditionalKind) -> None:
    """Whole or not at all; once for a run, whose problems do not change. Conditionals are those of the solution."""
    if (run / PROBLEMS).is_file():
        return
    rows = [
        {
            "id": storable(problem.id), "level": problem.level, "source": storable(problem.source),
            "conditionals": len(conditionals(problem.solution, kind)), "tests": len(problem.suite.cases),
            "statement": storable(problem.statement)[:_LONGEST], "solution": storable(problem.solution)[:_LONGEST],
        }
        for problem in problems
    ]  # fmt: skip
    with Whole(run / PROBLEMS) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), file.stream, _TOGETHER, compression="zstd")
        file.commit()
