"""Whether the code of a test asks anything where it runs: a function that nothing calls lets every program pass."""

import ast
from collections.abc import Iterable

from stepcoder.executor.judging.asserts import Unsupported, constant

Function = ast.FunctionDef | ast.AsyncFunctionDef
# With these a function is called whose name does not stand there.
_BY_ANY_NAME = {"globals", "locals", "vars", "dir", "getattr", "eval", "exec"}
NOTHING = "the code has no assert that asks anything, so it could not fail"
UNCALLED = "its asserts stand where nothing runs them, as in a function that is not called, so it could not fail"


def fault(body: list[ast.stmt]) -> str | None:
    """Why the code could not fail; None where it can."""
    reached = _Reached()
    reached.read(body)
    if reached.asks:
        return None
    return UNCALLED if any(map(_can_fail, _all(body))) else NOTHING


class _Reached(ast.NodeVisitor):
    """Follows what runs: module and class bodies, and the functions whose name, or whose class's, is said there."""

    def __init__(self) -> None:
        self.asks = False
        self._said: set[str] = set()
        self._classes: list[str] = []
        self._waiting: list[tuple[set[str], Function]] = []

    def read(self, body: Iterable[ast.AST]) -> None:
        for node in body:
            self.visit(node)
        while called := [function for function in self._waiting if self._called(function[0])]:
            self._waiting = [function for function in self._waiting if function not in called]
            for _, function in called:
                for node in function.body:
                    self.visit(node)

    def _called(self, names: set[str]) -> bool:
        return not self._said.isdisjoint(names | _BY_ANY_NAME)

    def visit(self, node: ast.AST) -> None:
        self.asks = self.asks or _can_fail(node)
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._waiting.append(({node.name, *self._classes}, node))
                for part in (*node.decorator_list, node.args):
                    self.visit(part)
            case ast.ClassDef():
                self._classes.append(node.name)
                self.generic_visit(node)
                self._classes.pop()
            case ast.If(test=test) | ast.While(test=test) if _never(test):
                for part in node.orelse:
                    self.visit(part)
            case ast.Name(id=name, ctx=ast.Load()):
                self._said.add(name)
            case ast.Attribute(attr=name):
                self._said.add(name)
                self.generic_visit(node)
            case _:
                self.generic_visit(node)


def _all(body: list[ast.stmt]) -> Iterable[ast.AST]:
    return (node for statement in body for node in ast.walk(statement))


def _never(test: ast.expr) -> bool:
    """`False` and the like, and `__name__ == "__main__"`: a test is imported."""
    if isinstance(test, ast.Constant):
        return not test.value
    return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(test))


def _can_fail(node: ast.AST) -> bool:
    """An assert, a `raise`, or a call of something like unittest's `assertEqual` and `fail`.

    Not `assert 1 == 1`, nor `assert (f(1) == 2, "text")`, which asks a tuple.
    """
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return name.lower().startswith(("assert", "fail"))
    match node:
        case ast.Assert(ast.Tuple(elts)):
            return not elts
        case ast.Assert(test):
            return not _holds(test)
    return isinstance(node, ast.Raise)


def _holds(test: ast.expr) -> bool:
    """Whether it is true whatever the program does, whose functions may have any name."""
    try:
        return not any(isinstance(node, ast.Name | ast.Call) for node in ast.walk(test)) and bool(constant(test))
    except Unsupported:
        return False
