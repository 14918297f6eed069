"""`stepcoder data check` and `show`: whether a file of problems can be trained on, and what one looks like."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from stepcoder.bars import WorkProgress
from stepcoder.curriculum.data.examine import CHECKER_MUTANTS, NO_SOLUTION, Examination, Finding, as_it_is
from stepcoder.curriculum.data.files import read
from stepcoder.curriculum.data.judge import Effort, Pools, examined
from stepcoder.curriculum.data.readers.record import Record, Rejected
from stepcoder.curriculum.data.soundness import fault as fault_of
from stepcoder.errors import UserError
from stepcoder.executor.case_text import case_text, cut
from stepcoder.executor.config import ExecutorConfig
from stepcoder.words import plural

_TESTS_SHOWN = 20
_CELL = 200  # characters


@dataclass(slots=True)
class Checked:
    """`tests` and `levels` are those of the sound problems, `unsolved` counts those of them without a solution."""

    sound: int = 0
    unsolved: int = 0
    tests: int = 0
    levels: Counter[str] = field(default_factory=Counter)
    faults: list[Finding] = field(default_factory=list)


def check(path: Path, config: ExecutorConfig | None, progress: WorkProgress) -> Checked:
    """Every line of a file in the native format; with a config the solutions are run as well, where there are any.

    Nothing is repaired: what is called sound is what training and grading will judge by. Checkers are also asked about
    wrong answers.
    """
    checked = Checked()
    progress.begin(0, 0)
    entries = enumerate(read("native", path), 1)
    if config is None:
        findings = (_read(entry, f"entry {number}") for number, entry in entries)
    else:
        found = (as_it_is(entry, f"entry {number}") for number, entry in entries)
        findings = _run(found, config)
    for finding in findings:
        progress.advance()
        if finding.reason is not None:
            checked.faults.append(finding)
        else:
            checked.sound += 1
            checked.unsolved += finding.solution == NO_SOLUTION
            checked.tests += finding.tests
            checked.levels[finding.level] += 1
    if not checked.sound and not checked.faults:
        raise UserError(f"{path}: the file holds no problem")
    return checked


def _read(entry: Record | Rejected, where: str) -> Finding:
    """What can be said without running the solution."""
    if isinstance(entry, Rejected):
        return Finding("", "", entry.where, entry.reason, entry.detail)
    problem = entry.problem
    solution = 0 if problem.solution.strip() else NO_SOLUTION
    found = Finding(problem.id, problem.level, where, tests=len(problem.suite.cases), solution=solution)
    fault = fault_of(problem)
    return found if fault is None else replace(found, reason=fault.reason, detail=fault.detail)


def _run(examinations: Iterable[Examination], config: ExecutorConfig) -> Iterator[Finding]:
    with Pools(config, Effort(mutants=CHECKER_MUTANTS)) as pools:
        yield from examined(examinations, pools)


def problem_page(record: Record) -> RenderableType:
    """A problem for a terminal."""
    problem, suite = record.problem, record.problem.suite
    what = f"{problem.level}, {suite.style} style"
    what += f", calls {suite.entry_point}" if suite.entry_point else ""
    what += f", {len(record.solutions)} solutions" if len(record.solutions) > 1 else ""
    parts: list[RenderableType] = [
        Text(shown(problem.id), "bold"),
        Text(f"{what}; from {shown(problem.source)}", "dim"),
        Text(),
        Text(shown(problem.statement.strip())),
    ]
    for title, code in (("setup", suite.setup), ("starter code", problem.starter_code), ("solution", problem.solution)):
        if code.strip():
            parts += [Text(), Rule(title, style="dim", align="left")]
            parts.append(Syntax(shown(code), "python", theme="ansi_dark", line_numbers=True, word_wrap=True))
    parts += [Text(), _tests(record)]
    more = len(suite.cases) - _TESTS_SHOWN
    if more > 0:
        parts.append(Text(f"and {plural(more, 'more test')}", "dim"))
    return Group(*parts)


def _tests(record: Record) -> Table:
    suite = record.problem.suite
    table = Table(title=plural(len(suite.cases), "test"), title_justify="left", show_lines=suite.style != "call")
    table.add_column("#", justify="right", style="dim")
    for title in ("test",) if suite.style == "assert" else ("input", "expected"):
        table.add_column(title, overflow="fold")
    for number, case in enumerate(suite.cases[:_TESTS_SHOWN], 1):
        cells = case_text(suite, case)[: len(table.columns) - 1]
        table.add_row(str(number), *(Text(cut(shown(cell), _CELL)) for cell in cells))
    return table


def shown(text: str) -> str:
    """Nothing in a problem may steer the terminal."""
    return "".join(
        c if c.isprintable() or c == "\n" else "    " if c == "\t" else "\N{REPLACEMENT CHARACTER}"
        for c in text.replace("\r\n", "\n")
    )
