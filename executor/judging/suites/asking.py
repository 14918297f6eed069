"""Whether the code of a test asks anything where it runs: a function that nothing calls lets every program pass."""

import ast
from collections.abc import Iterable

from stepcoder.executor.judging.asserts import Unsupported, constant

Function = ast.FunctionDef | ast.AsyncFunctionDef
# With these a function is called whose name does not stand there.
_BY_ANY_NAME = {"globals", "locals", "vars", "dir", "getattr", "eval", "exec"}
NOTHING = "the code has no assert that asks anything, so it could not fail"
UNCALLED = "its asserts stand where nothing runs them, as in a function that is not called, so it could not fail"
LOST = (
    "an `except` takes what its asserts raise, or they stand in a class of unittest, which belongs in `pytest` style, "
    "so it could not fail"
)
_TAKING = {"AssertionError", "Exception", "BaseException"}  # of an assert that fails


def fault(body: list[ast.stmt]) -> str | None:
    """Why the code could not fail; None where it can."""
    reached = _Reached()
    reached.read(body)
    if reached.asks:
        return None
    if not any(map(_can_fail, _all(body))):
        return NOTHING
    return LOST if reached.lost else UNCALLED


class _Reached(ast.NodeVisitor):
    """Follows what runs: module and class bodies, and the functions whose name, or whose class's, is said there.

    `lost`: whether there is code whose failure nobody hears of.
    """

    def __init__(self) -> None:
        self.asks = self.lost = False
        self._heard = True
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

    def _say(self, name: str) -> None:
        if self._heard:
            self._said.add(name)

    def _unheard(self, body: list[ast.stmt]) -> None:
        self.lost = True
        before, self._heard = self._heard, False
        for node in body:
            self.visit(node)
        self._heard = before

    def visit(self, node: ast.AST) -> None:
        self.asks = self.asks or (self._heard and _can_fail(node))
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._waiting.append(({node.name, *self._classes}, node))
                for part in (*node.decorator_list, node.args):
                    self.visit(part)
            case ast.ClassDef() if any("TestCase" in ast.unparse(base) for base in node.bases):
                self.lost = True  # unless a method is called by its name, or `debug` calls it
                self._classes.append("debug")
                self.generic_visit(node)
                self._classes.pop()
            case ast.ClassDef():
                self._classes.append(node.name)
                self.generic_visit(node)
                self._classes.pop()
            case ast.Try(body=body, handlers=handlers) if _taken(handlers):
                self._unheard(body)
                for part in (*handlers, *node.orelse, *node.finalbody):
                    self.visit(part)
            case ast.With(items=items, body=body) if any(map(_suppresses, items)):
                self._unheard(body)
            case ast.If(test=test) | ast.While(test=test) if _never(test):
                for part in node.orelse:
                    self.visit(part)
            case ast.Name(id=name, ctx=ast.Load()):
                self._say(name)
            case ast.Attribute(attr=name):
                self._say(name)
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


def _taken(handlers: list[ast.ExceptHandler]) -> bool:
    """Whether what an assert raises ends there: the first handler that takes it cannot fail itself."""
    first = next((handler for handler in handlers if handler.type is None or _takes(handler.type)), None)
    return first is not None and not any(map(_can_fail, _all(first.body)))


def _takes(kind: ast.expr) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(ast.unparse(kind).rpartition(".")[2] in _TAKING for kind in kinds)


def _suppresses(item: ast.withitem) -> bool:
    call = item.context_expr
    return isinstance(call, ast.Call) and _name(call).endswith("suppress") and any(map(_takes, call.args))


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _can_fail(node: ast.AST) -> bool:
    """An assert, a `raise`, or a call of something like unittest's `assertEqual` and `fail`, or of `exit`.

    Not `assert 1 == 1`, nor `assert (f(1) == 2, "text")`, which asks a tuple.
    """
    if isinstance(node, ast.Call):
        return _name(node).lower().startswith(("assert", "fail", "exit", "quit", "_exit"))
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
