"""Checks the starter problems: `python -m tests.tools.starter_problems`.

Tests are only worth a reward if they tell right from nearly right. So two things are run through the real
executor: every solution passes its tests, and every mutant of a solution, with one condition negated or one
comparison shifted, fails at least one of them. A mutant that never ends fails by its time limit. The
remaining promises (sizes, shown examples, disjoint families) are checked on the files.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stepcoder.curriculum.problems.load import load_problems
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.stages.conditionals import conditionals
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Report

SPLITS = ("train", "heldout")
MIN_TESTS = 8
MAX_SHOWN = 3
MAX_CONDITIONALS = 12
# A test of a solution takes milliseconds; mutants without end should not hold up the check. Nobody waits in one.
LIMITS = ExecutorConfig(cpu_s=0.5, wall_s=600, idle_s=600)

_SHIFTED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_OPPOSITE = _SHIFTED | {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A solution with one change; `change` says which, for a person."""

    change: str
    source: str


@dataclass(frozen=True, slots=True)
class _Site:
    """Where a change can be made: `node.field`, or `node.field[index]`."""

    node: ast.AST
    field: str
    index: int | None = None

    def get(self) -> ast.expr:
        value = getattr(self.node, self.field)
        return value if self.index is None else value[self.index]

    def set(self, value: ast.AST) -> None:
        if self.index is None:
            setattr(self.node, self.field, value)
        else:
            getattr(self.node, self.field)[self.index] = value


def mutants(source: str) -> list[Mutant]:
    """Every program that differs from `source` in one negated condition or one shifted comparison, each once.

    Conditions are the tests of if, while, ternary, comprehension, case guard and assert, and each operand of
    `and` and `or`. Shifting turns < into <=, > into >=, == into != and so on, and back.
    """
    found: dict[str, str] = {}
    for number in range(len(list(_conditions(ast.parse(source))))):
        tree = ast.parse(source)  # a fresh tree for each change
        site = list(_conditions(tree))[number]
        before = site.get()
        site.set(_negated(before))
        found.setdefault(_unparse(tree), f"line {before.lineno}: {ast.unparse(before)} negated")
    for number in range(len(list(_comparisons(ast.parse(source))))):
        tree = ast.parse(source)
        site = list(_comparisons(tree))[number]
        assert isinstance(site.node, ast.Compare)
        before = ast.unparse(site.node)
        site.set(_SHIFTED[type(site.get())]())  # pyright: ignore[reportArgumentType]
        found.setdefault(_unparse(tree), f"line {site.node.lineno}: {before} became {ast.unparse(site.node)}")
    return [Mutant(change, text) for text, change in found.items()]


def _conditions(tree: ast.AST) -> Iterator[_Site]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
            yield _Site(node, "test")
        elif isinstance(node, ast.match_case) and node.guard is not None:
            yield _Site(node, "guard")
        elif isinstance(node, ast.comprehension):
            yield from (_Site(node, "ifs", index) for index in range(len(node.ifs)))
        elif isinstance(node, ast.BoolOp):
            yield from (_Site(node, "values", index) for index in range(len(node.values)))


def _comparisons(tree: ast.AST) -> Iterator[_Site]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            yield from (_Site(node, "ops", index) for index in range(len(node.ops)))


def _negated(condition: ast.expr) -> ast.expr:
    if isinstance(condition, ast.Compare) and len(condition.ops) == 1:
        # Written as the opposite operator, the negation of == is the same text as its shift and runs once.
        return ast.Compare(condition.left, [_OPPOSITE[type(condition.ops[0])]()], condition.comparators)
    return ast.UnaryOp(ast.Not(), condition)


def _unparse(tree: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def family(problem: Problem) -> str:
    """The task family, the middle part of the id `starter/FAMILY/NAME`."""
    return problem.id.split("/")[1]


def shown_tests(problem: Problem) -> int:
    """How many of the tests the statement gives away, in the form that the starter problems use."""
    shown = 0
    for case in problem.suite.cases:
        if problem.suite.style == "call":
            arguments = ", ".join(map(repr, case.input))
            example = f"`{problem.suite.entry_point}({arguments}) == {case.output!r}`"
        else:
            example = f"Input:\n{case.input.rstrip()}\nOutput:\n{case.output.rstrip()}\n"
        shown += example in problem.statement + "\n"
    return shown


def shape_faults(splits: dict[str, list[Problem]]) -> list[str]:
    """What is wrong with the files themselves, before anything runs."""
    faults: list[str] = []
    problems = [problem for split in splits.values() for problem in split]
    for problem in problems:
        cases = problem.suite.cases
        if len(problem.id.split("/")) != 3 or not problem.id.startswith("starter/"):
            faults.append(f"{problem.id}: the id is not starter/FAMILY/NAME")
        if len(cases) < MIN_TESTS or len({repr(case.input) for case in cases}) < len(cases):
            faults.append(f"{problem.id}: fewer than {MIN_TESTS} different tests")
        if not 1 <= shown_tests(problem) <= MAX_SHOWN:
            faults.append(f"{problem.id}: shows {shown_tests(problem)} tests, not 1 to {MAX_SHOWN}")
        if len(conditionals(problem.solution)) > MAX_CONDITIONALS:
            faults.append(f"{problem.id}: more than {MAX_CONDITIONALS} conditionals")
        if not problem.solution.startswith(problem.starter_code):
            faults.append(f"{problem.id}: the solution does not begin with the starter code")
    faults += [f"{name}: id used twice" for name, n in Counter(p.id for p in problems).items() if n > 1]
    in_both = set.intersection(*({family(problem) for problem in split} for split in splits.values()))
    faults += [f"family {name} is in more than one split" for name in sorted(in_both)]
    return faults


def solution_faults(problems: Sequence[Problem], pool: LocalPool) -> list[str]:
    """Solutions that fail a test."""
    faults: list[str] = []
    solutions = pool.map((problem.solution, problem.suite) for problem in problems)
    for problem, report in zip(problems, solutions, strict=True):
        if not _passed(report):
            faults.append(f"{problem.id}: the solution does not pass: {report.verdict} {report.error or ''}")
    return faults


def mutant_faults(problems: Sequence[Problem], pool: LocalPool) -> list[str]:
    """Mutants of solutions that pass all tests."""
    faults: list[str] = []
    changed = [(problem, mutant) for problem in problems for mutant in mutants(problem.solution)]
    reports = pool.map((mutant.source, problem.suite) for problem, mutant in changed)
    for (problem, mutant), report in zip(changed, reports, strict=True):
        if _passed(report):
            faults.append(f"{problem.id}: no test notices the mutant with {mutant.change}")
    return faults


def _passed(report: Report) -> bool:
    if not report.verdict.judged:
        raise RuntimeError(f"the sandbox failed, so nothing was checked: {report.error}; try `stepcoder doctor`")
    return report.passed


def main() -> int:
    splits = {name: load_problems(f"starter:{name}") for name in SPLITS}
    faults = shape_faults(splits)
    with LocalPool(LIMITS) as pool:
        for problems in splits.values():
            faults += solution_faults(problems, pool) + mutant_faults(problems, pool)
    for name, problems in splits.items():
        counts = Counter((problem.level, problem.suite.style) for problem in problems)
        print(f"{name}: {len(problems)} problems, {len({family(problem) for problem in problems})} families")
        for (level, style), count in sorted(counts.items()):
            print(f"  {level:12} {style:5} {count:4}")
    print(f"mutants: {sum(len(mutants(p.solution)) for problems in splits.values() for p in problems)}")
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(faults)} faults" if faults else "every solution passes, every mutant fails")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
