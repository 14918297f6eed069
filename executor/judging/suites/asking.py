"""Whether the code of a test asks anything where it runs: a function that nothing calls lets every program pass."""

import ast
from collections.abc import Iterable, Iterator

from stepcoder.executor.judging.asserts import Unsupported, constant

Function = ast.FunctionDef | ast.AsyncFunctionDef
# With these a function is called whose name does not stand there.
_BY_ANY_NAME = {"globals", "locals", "vars", "dir", "getattr", "eval", "exec"}
NOTHING = "the code has no assert that asks anything, so it could not fail"
UNCALLED = "its asserts stand where nothing runs them, as in a function that is not called, so it could not fail"
LOST = (
    "an `except` takes what its asserts raise, a thread runs them, or they stand in a class of unittest, which belongs "
    "in `pytest` style, so it could not fail"
)
_TAKING = {"AssertionError", "Exception", "BaseException"}  # of an assert that fails
_LEAVING = (ast.Return, ast.Break, ast.Continue)
_FAILING = ("assert", "fail", "exit", "quit", "_exit", "_fail", "_raises")  # the last two of a module of tests


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
        self._begun: set[str] = set()  # names of which nothing more than a call stands there, whose value nobody takes
        self._classes: list[str] = []
        self._waiting: list[tuple[set[str], Function]] = []

    def read(self, body: Iterable[ast.AST]) -> None:
        self._each(body)
        while called := [function for function in self._waiting if self._called(*function)]:
            self._waiting = [function for function in self._waiting if function not in called]
            for _, function in called:
                self._each(function.body)

    def _each(self, body: Iterable[ast.AST]) -> None:
        for node in _before_leaving(body):
            self.visit(node)

    def generic_visit(self, node: ast.AST) -> None:
        for _, part in ast.iter_fields(node):
            parts = part if isinstance(part, list) else [part]
            self._each(each for each in parts if isinstance(each, ast.AST))

    def _called(self, names: set[str], function: Function) -> bool:
        said = self._said if later(function) else self._said | self._begun
        return not said.isdisjoint(names | _BY_ANY_NAME)

    def _say(self, name: str) -> None:
        if self._heard:
            self._said.add(name)

    def _unheard(self, body: Iterable[ast.AST]) -> None:
        self.lost = True
        before, self._heard = self._heard, False
        self._each(body)
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
            case ast.Try(finalbody=last) if any(isinstance(part, _LEAVING) for part in last):
                self._unheard([*node.body, *node.handlers, *node.orelse])
                self._each(last)
            case ast.Try(body=body, handlers=handlers) if _taken(handlers):
                self._unheard(body)
                for part in (handlers, node.orelse, node.finalbody):
                    self._each(part)
            case ast.With(items=items, body=body) if any(map(_suppresses, items)):
                self._unheard(body)
            case ast.If(test=test) | ast.While(test=test) if _never(test):
                self._each(node.orelse)
            case ast.For(iter=over) if truth(over) is False:
                self._each(node.orelse)
            case ast.Expr(ast.Call(func=ast.Name(id=name)) as call) if self._heard:
                self.asks = self.asks or _can_fail(call)
                self._begun.add(name)
                self._each([*call.args, *call.keywords])
            case ast.Call(args=args, keywords=keywords) if _name(node) == "Thread":
                self._unheard([*args, *keywords])
            case ast.Name(id=name, ctx=ast.Load()):
                self._say(name)
            case ast.Attribute(attr=name):
                self._say(name)
                self.generic_visit(node)
            case _:
                self.generic_visit(node)


def _all(body: list[ast.stmt]) -> Iterable[ast.AST]:
    return (node for statement in body for node in ast.walk(statement))


def _before_leaving(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for node in body:
        yield node
        if isinstance(node, (*_LEAVING, ast.Raise)):
            return


def later(function: Function) -> bool:
    """Whether its body does not run when it is called: that of a coroutine or of a generator."""
    return isinstance(function, ast.AsyncFunctionDef) or any(map(_yields, function.body))


def _yields(node: ast.AST) -> bool:
    if isinstance(node, ast.Yield | ast.YieldFrom):
        return True
    within = () if isinstance(node, Function | ast.Lambda | ast.ClassDef) else ast.iter_child_nodes(node)
    return any(map(_yields, within))


def _never(test: ast.expr) -> bool:
    """`False` and the like, and `__name__ == "__main__"`: a test is imported."""
    named = (node.id for node in ast.walk(test) if isinstance(node, ast.Name))
    return truth(test) is False or "__name__" in named


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
        return _name(node).lower().startswith(_FAILING)
    return isinstance(node, ast.Raise) or (isinstance(node, ast.Assert) and truth(node.test) is not True)


def truth(test: ast.expr) -> bool | None:
    """What an expression is whatever the program does, whose functions may have any name; None: either."""
    match test:
        case ast.Lambda() | ast.GeneratorExp():
            return True
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts) | ast.Dict(values=parts):
            unpacked = all(isinstance(part, ast.Starred) for part in parts) or None in getattr(test, "keys", ())
            return None if parts and unpacked else bool(parts)
        case ast.JoinedStr(values=parts) if any(isinstance(part, ast.Constant) for part in parts):
            return True
        case ast.BoolOp(op=op, values=parts):
            found, decides = set(map(truth, parts)), isinstance(op, ast.Or)
            return decides if decides in found else None if None in found else not decides
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return None if (found := truth(operand)) is None else not found
        case ast.IfExp(test=asked, body=body, orelse=other):
            ways = {truth(body), truth(other)} if (found := truth(asked)) is None else {truth(body if found else other)}
            return ways.pop() if len(ways) == 1 else None
        case ast.NamedExpr(value=value):
            return truth(value)
    try:
        given = any(isinstance(node, ast.Name | ast.Call) for node in ast.walk(test))
        return None if given else bool(constant(test))
    except Unsupported:
        return None
