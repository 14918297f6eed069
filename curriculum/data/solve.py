"""Solutions for problems that have none: of the programs that somebody wrote, the shortest that passes.

Programs are those of a run's trajectories, or of a file of samples as `stepcoder grade` reads it. What is said of them
there is not believed: each is run. Only places of programs are in memory, the programs in a file without a name.
"""

import hashlib
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from stepcoder.bars import WorkProgress
from stepcoder.curriculum.data.files import LineFile
from stepcoder.curriculum.data.readers.tables import rows, table_files
from stepcoder.curriculum.problems.dump import problem_line
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.stages.conditionals import parse
from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.grading.fences import program_of
from stepcoder.executor.grading.files import read_samples
from stepcoder.executor.pool.local import LocalPool

_COLUMNS = ("problem_id", "program", "verdict")


@dataclass(slots=True)
class Solved:
    """Counts: problems without a solution, programs for these, programs run, problems that have one now.

    `unparsed`: texts for these problems that are no Python, so that they are no programs.
    """

    unsolved: int = 0
    programs: int = 0
    run: int = 0
    solved: int = 0
    unjudged: int = 0
    unparsed: int = 0


class _Programs:
    """Context manager. Distinct programs by problem, the shortest first."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()
        self._places: dict[str, dict[bytes, tuple[int, int, int]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, id: str, program: str) -> bool:
        """Whether it is one that was not there yet."""
        data = program.encode("utf-8", "surrogatepass")
        digest, places = hashlib.blake2b(data, digest_size=12).digest(), self._places.setdefault(id, {})
        if digest in places:
            return False
        places[digest] = (len(program), self._file.tell(), len(data))
        self._file.write(data)
        return True

    def of(self, id: str) -> Iterator[str]:
        for _, place, size in sorted(self._places.get(id, {}).values()):
            self._file.seek(place)
            yield self._file.read(size).decode("utf-8", "surrogatepass")


def solve(
    problems: list[Problem], samples: list[Path], out: Path, config: ExecutorConfig, progress: WorkProgress
) -> Solved:
    """Writes OUT, the problems in their order, with what was found. UserError where samples cannot be read."""
    open_ids = {problem.id for problem in problems if not problem.solution.strip()}
    found = Solved(unsolved=len(open_ids))
    with _Programs() as programs, LineFile(out) as file:
        for path in samples:
            for id, program in _samples(path, {problem.id for problem in problems}):
                if id not in open_ids:
                    continue
                if program.strip() and parse(program) is not None:
                    found.programs += programs.add(id, program)
                else:
                    found.unparsed += 1
        with LocalPool(config.model_copy(update={"coverage": False})) as pool:
            progress.begin(0, len(problems))
            for problem in problems:
                if problem.id in open_ids:
                    problem = replace(problem, solution=_shortest(problem, programs.of(problem.id), pool, found))
                file.write(problem_line(problem))
                progress.advance()
        file.commit()
    return found


def _shortest(problem: Problem, programs: Iterator[str], pool: LocalPool, found: Solved) -> str:
    for program in programs:
        report = pool.run(program, problem.suite)
        found.run += 1
        found.unjudged += not report.verdict.judged
        if report.passed:
            found.solved += 1
            return program
    return ""


def _samples(path: Path, known: Collection[str]) -> Iterator[tuple[str, str]]:
    """(problem id, program) of a folder or file of trajectories, those left out that failed, or of JSON lines."""
    tables = table_files(path)
    if not tables:
        for sample in read_samples(path, known, hashlib.sha256()):
            yield sample.problem_id, program_of(sample.program, "auto")
        return
    for table in tables:
        for number, row in enumerate(rows(table, _COLUMNS), 1):
            if not isinstance(row.get("problem_id"), str) or not isinstance(row.get("program"), str):
                raise UserError(f"{table}, row {number}: no `problem_id` and `program`: these are no trajectories")
            if row.get("verdict") in (None, "passed"):
                yield row["problem_id"], row["program"]
