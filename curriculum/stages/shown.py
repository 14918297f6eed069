"""Where a solution first gives more than its prompt shows: a prefix that ends before is full generation over again.

The prompt shows the statement and the starter code. Beyond that, imports, docstrings, comments and the headers of
functions give nothing: a header that the prompt shows or names (the entry point), a wrapper without parameters
(`def main():`), `try:` and `if __name__ == "__main__":`. A helper with parameters is part of the solution.
"""

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.stages.conditionals import line_starts, parse

_HEADER = re.compile(r"\b(?:def|class)\s+(\w+)")
_SUITES = ("body", "handlers", "orelse", "finalbody")


def first_given_line(problem: Problem) -> int | None:
    """Line (1-based) of the first statement that the prompt does not show; None where there is none."""
    tree = parse(problem.solution)
    if tree is None:
        return None
    starts = [*line_starts(problem.solution), len(problem.solution)]
    lines = [problem.solution[a:b].strip() for a, b in zip(starts, starts[1:], strict=False)]
    text = f"{problem.statement}\n{problem.starter_code}"
    names = {*_HEADER.findall(text), *re.findall(r"\w+", problem.suite.entry_point or "")}
    return _Shown(lines, frozenset(map(str.strip, text.splitlines())) - {""}, frozenset(names)).first(tree.body)


@dataclass(frozen=True, slots=True)
class _Shown:
    """Lines of the solution; lines of the prompt; functions and classes that the prompt names."""

    solution: Sequence[str]
    lines: frozenset[str]
    names: frozenset[str]

    def first(self, suite: Iterable[ast.AST]) -> int | None:
        """In the order of the source; within a header that gives nothing, what its suites give."""
        for node in suite:
            if isinstance(node, ast.stmt) and not self._bare(node):
                return node.lineno
            for name in _SUITES:
                if found := self.first(getattr(node, name, ())):
                    return found
        return None

    def _bare(self, node: ast.stmt) -> bool:
        """Whether the statement, of a compound one its header, gives nothing."""
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Global() | ast.Nonlocal():
                return True
            case ast.Try() | ast.TryStar():
                return True
            case ast.Expr(value=ast.Constant()):
                return True
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return node.name in self.names or not _parameters(node.args)
            case ast.ClassDef():
                return node.name in self.names or not node.bases
            case ast.If(test=ast.Compare(left=left, comparators=[right])):
                if any(isinstance(side, ast.Name) and side.id == "__name__" for side in (left, right)):
                    return True
        body: list[ast.stmt] | None = getattr(node, "body", None)
        last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno or node.lineno
        return all(line in self.lines for line in self.solution[node.lineno - 1 : last] if line)


def _parameters(arguments: ast.arguments) -> list[ast.arg]:
    found = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [a for a in found if a is not None and a.arg not in ("self", "cls")]
