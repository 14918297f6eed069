"""Line probes put into a program's syntax tree: `__cov__[line] = 1` before each statement.

Every probe is written before its statement runs, into memory that outlives the process,
so the executed lines are exact in every way of dying. Constructs without room for a
statement (`except X:`, `case P:`) get an expression that marks their line.
"""

import ast
from collections.abc import Iterator
from typing import Any

_Body = list[ast.stmt]


class Instrumented:
    """A program with probes: `tree` to compile, the probe's names, and the lines that can be recorded."""

    __slots__ = ("_capacity", "lines", "mark", "name", "tree")

    def __init__(self, source: str, capacity: int) -> None:
        """`capacity` is the number of lines that the map holds; later lines get no probe. Raises as ast.parse does."""
        self.name, self.mark = _free_names(source)
        self.lines: set[int] = set()
        self.tree = ast.parse(source, "<program>")
        self._capacity = capacity
        self._instrument()

    def _instrument(self) -> None:
        pending: list[ast.AST] = [self.tree]
        while pending:  # iterative: a tree may be deeper than the recursion limit
            node = pending.pop()
            for field, body in _bodies(node):
                pending.extend(body)
                setattr(node, field, self._probed(node, field, body))
            for handler in getattr(node, "handlers", ()):
                pending.append(handler)
                if handler.type is not None:
                    handler.type = self._marking(handler.lineno, handler.type)
            if isinstance(node, ast.Match):
                pending.extend(node.cases)
                node.cases = [new for case in node.cases for new in self._case(case)]

    def _probed(self, parent: ast.AST, field: str, body: _Body) -> _Body:
        """The suite with a probe before each statement, after what must stay first."""
        start = _leading(parent, body) if field == "body" else 0
        new: _Body = list(body[:start])
        scope_start = field == "body" and isinstance(parent, ast.Module | ast.ClassDef)
        if scope_start:
            # Without it a class body would ask its own namespace, and a module the slower unspecialised lookup.
            new.append(_at(ast.Global(names=[self.name, self.mark]), 1))
        if isinstance(parent, ast.Module):
            new.extend(p for s in body[:start] if isinstance(s, ast.ImportFrom) for p in self._probes(s))
        if isinstance(parent, ast.ExceptHandler) and parent.type is None and field == "body":
            new.extend(self._probe(parent.lineno, parent.lineno))
        for statement in body[start:]:
            if not isinstance(statement, ast.Global | ast.Nonlocal):
                new.extend(self._probes(statement))
            new.append(statement)
        return new

    def _probes(self, statement: ast.stmt) -> Iterator[ast.stmt]:
        lines = {statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", ()))}
        for line in sorted(lines):
            yield from self._probe(line, statement.lineno)

    def _probe(self, line: int, at: int) -> Iterator[ast.stmt]:
        if line < self._capacity:
            self.lines.add(line)
            place: dict[str, Any] = {"lineno": at, "col_offset": 0, "end_lineno": at, "end_col_offset": 0}
            name = ast.Name(self.name, ast.Load(), **place)
            target = ast.Subscript(name, ast.Constant(line, **place), ast.Store(), **place)
            yield ast.Assign([target], ast.Constant(1, **place), **place)

    def _marking(self, line: int, expression: ast.expr) -> ast.expr:
        """`expression`, marking `line` before it is evaluated."""
        if line >= self._capacity:
            return expression
        self.lines.add(line)
        call = ast.Call(ast.Name(self.mark, ast.Load()), [ast.Constant(line)], [])
        return _at(ast.BoolOp(ast.Or(), [call, expression]), line)

    def _case(self, case: ast.match_case) -> Iterator[ast.match_case]:
        """A wildcard whose guard marks the line and fails goes before each case, so that a case tried is recorded."""
        line = case.pattern.lineno
        if line < self._capacity:
            guard = self._marking(line, ast.Constant(False))
            yield ast.match_case(_at(ast.MatchAs(), line), _at(guard, line), [_at(ast.Pass(), line)])
        yield case


def _bodies(node: ast.AST) -> Iterator[tuple[str, _Body]]:
    for field in ("body", "orelse", "finalbody"):
        body = getattr(node, field, None)
        if isinstance(body, list) and body:
            yield field, body


def _leading(parent: ast.AST, body: _Body) -> int:
    """Statements that must stay first: the docstring, and in a module the imports from __future__."""
    start = 0
    scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if isinstance(parent, scope) and isinstance(body[0], ast.Expr):
        value = body[0].value
        start = int(isinstance(value, ast.Constant) and isinstance(value.value, str))
    if isinstance(parent, ast.Module):
        while start < len(body):
            statement = body[start]
            if not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
                break
            start += 1
    return start


def _free_names(source: str) -> tuple[str, str]:
    """Names that the program does not use; dunder on both sides, because others are mangled in classes."""
    suffix = ""
    while f"__cov{suffix}__" in source or f"__mark{suffix}__" in source:
        suffix = str(int(suffix or 0) + 1)
    return f"__cov{suffix}__", f"__mark{suffix}__"


def _at(node: Any, line: int) -> Any:
    """Gives `node` and what it contains the position `line`, where it has none."""
    for child in ast.walk(node):
        if "lineno" in child._attributes and not hasattr(child, "lineno"):
            for name, value in (("lineno", line), ("end_lineno", line), ("col_offset", 0), ("end_col_offset", 0)):
                setattr(child, name, value)
    return node
