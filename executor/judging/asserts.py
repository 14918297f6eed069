"""An assert as data: one call of the program with constant arguments, and a check of its answer.

`assert abs(f(2) - 0.5) < 1e-6` becomes the call `f(2)`, made beside the program, and the check `abs(answer - 0.5) <
1e-6`, made in the trusted parent on the data that the call returned. Nothing is evaluated but the operators
and functions named below, on bounded data, so a check is safe for answers of hostile programs. Python's own rules
hold: a tuple is no list, and floats are compared exactly. What has no data form (a generator, an object of a class of
the program) is asked, beside the program, for the texts, items or length that the check takes of it.
"""

import ast
import decimal
import json
import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from stepcoder.executor.sandbox.values.standard import refuse_collisions
from stepcoder.executor.sandbox.values.structures import binary_tree, linked_list

_ANSWER = "<answer>"  # no identifier
_SINGLETONS = (None, True, False)
_MAX_SIZE = 100_000  # parts of a constant; bits of a number that is a constant

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Not: operator.not_, ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Invert: operator.invert,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip


def _table(make: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    def build(*items: Any) -> Any:
        members = [member for item in items for member in item]
        refuse_collisions(members)
        return make(members)

    return build


# About linear in their arguments, whatever these are.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs, "all": all, "any": any, "bool": bool, "complex": complex, "float": float,
    "frozenset": _table(frozenset), "int": int, "len": len, "list": list, "max": max, "min": min, "repr": repr,
    "round": round, "set": _table(set), "sorted": sorted, "str": str, "sum": lambda items: sum(items), "tuple": tuple,
    "math.isclose": math.isclose, "math.fabs": math.fabs,
    "math.isnan": math.isnan, "math.floor": math.floor, "math.ceil": math.ceil, "math.sqrt": math.sqrt,
    "list_node": linked_list, "tree_node": binary_tree, "is_same_list": operator.eq, "is_same_tree": operator.eq,
}  # fmt: skip
# What of an object without a data form these functions take.
_VIEWS = {name: name for name in ("abs", "complex", "float", "int", "len", "repr", "round", "str")}
_VIEWS |= dict.fromkeys(("all", "any", "frozenset", "list", "max", "min", "set", "sorted", "sum", "tuple"), "items")
_VIEWS |= dict.fromkeys(("math.fabs", "math.isclose", "math.isnan", "math.sqrt"), "float")
_VIEWS |= {"math.floor": "floor", "math.ceil": "ceil"}
_MEMBER = ast.In | ast.NotIn
_BY_TEXT = {"globals", "locals", "vars", "dir", "eval", "exec"}  # the program's names are asked for otherwise
_NUMBERS = int | float | complex | Fraction | decimal.Decimal
_CONSTANTS = {"math.inf": math.inf, "math.nan": math.nan, "math.pi": math.pi, "math.e": math.e, "inf": math.inf}


class Unsupported(Exception):
    """The code is more than a call with constants and a check of its answer."""


@dataclass(frozen=True, slots=True)
class Check:
    """An expression over the answer of a call.

    `about`: the class that the call makes an object of, where its name has a capital: such a test takes its word.
    """

    expression: ast.expr
    about: str = ""

    def holds(self, answer: Any) -> bool:
        """Whether the assert passes for this answer; what raises in Python does not."""
        try:
            return bool(_evaluate(self.expression, answer))
        except (Unsupported, ArithmeticError, TypeError, ValueError, LookupError, AttributeError, RecursionError):
            return False

    def views(self) -> list[str]:
        """What the check takes of an answer without a data form, see executor.sandbox.values.codec.Opaque."""
        found: set[str | None] = set()
        for node in ast.walk(self.expression):
            match node:
                case ast.Call(func=function, args=args) if any(map(_mentions, args)):
                    view = _VIEWS.get(ast.unparse(function))
                    found.add(_view("round", *args[1:]) if view == "round" else view)
                case ast.Compare(ops=ops, comparators=sides):
                    pairs = zip(ops, sides, strict=True)
                    found.update("items" for op, right in pairs if isinstance(op, _MEMBER) and _mentions(right))
                case ast.Subscript(value=value, slice=index) if _is_answer(value):
                    found.add(_view("item", index))
        if self.about and any(map(_is_answer, _truths(self.expression))):
            found.add(_view("truth", ast.Constant(self.about)))
        return sorted(view for view in found if view)

    def equals(self) -> ast.expr | None:
        """The other side of a check that is `answer == constant`, of `is_same_list` and its like included."""
        match self.expression:
            case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
                sides = (left, right)
            case ast.Call(func=ast.Name("is_same_list" | "is_same_tree"), args=[left, right]):
                sides = (left, right)
            case _:
                return None
        others = [side for side in sides if not _is_answer(side)]
        return others[0] if len(others) == 1 else None


@dataclass(frozen=True, slots=True)
class Question:
    """The call `function(*args, **keywords)` of a name or `Class().method`, and the check of its answer."""

    function: str
    check: Check
    args: list[Any] = field(default_factory=list)
    keywords: dict[str, Any] = field(default_factory=dict)


def question(code: str | list[ast.stmt]) -> Question:
    """The question that an assert asks; Unsupported where it is not one call with constants. Takes `code` apart."""
    body = ast.parse(code).body if isinstance(code, str) else code
    call = program_call(body)
    keywords = {keyword.arg: constant(keyword.value) for keyword in call.keywords if keyword.arg is not None}
    if len(keywords) != len(call.keywords):
        raise Unsupported("unpacked arguments")
    args = [constant(argument) for argument in call.args]
    expression = _Replace(call).visit(_single(body).test)
    _require(expression)
    about = call.func.id if isinstance(call.func, ast.Name) and call.func.id[0].isupper() else ""
    if about and any(map(_asks_object, ast.walk(expression))):
        raise Unsupported("an object's own operator")
    return Question(ast.unparse(call.func), Check(expression, about), args, keywords)


def program_call(body: list[ast.stmt]) -> ast.Call:
    """The one call of the program in an assert; Unsupported where there is none, or more than one."""
    calls = [node for node in ast.walk(_single(body).test) if isinstance(node, ast.Call)]
    instances = [node.func.value for node in calls if isinstance(node.func, ast.Attribute)]
    calls = [node for node in calls if node not in instances]
    own = [node for node in calls if _program_function(node) and ast.unparse(node.func) not in _FUNCTIONS]
    if not own:  # a program may be asked for a function that is called like a built-in one
        own = [node for node in calls if _program_function(node) and not _nested(node, calls)]
    if len(own) != 1 or ast.unparse(own[0].func) in _BY_TEXT:
        raise Unsupported(f"{len(own)} calls of the program, or one by text")
    return own[0]


def _single(body: list[ast.stmt]) -> ast.Assert:
    asserts = [node for node in body if not _imports_math(node)]
    if len(asserts) != 1 or not isinstance(asserts[0], ast.Assert):
        raise Unsupported("more than one assert")
    return asserts[0]


def constant(node: ast.expr) -> Any:
    """The value of an expression without names; Unsupported for any other, or for one that is large or raises."""
    try:
        return _evaluate(node)
    except (ArithmeticError, TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise Unsupported(f"{type(error).__name__}: {error}") from error


def _imports_math(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import) and [(a.name, a.asname) for a in node.names] == [("math", None)]


def _program_function(node: ast.Call) -> bool:
    """`name(...)` or `Class().method(...)`."""
    match node.func:
        case ast.Name() | ast.Attribute(value=ast.Call(func=ast.Name(), args=[], keywords=[])):
            return True
    return False


def _nested(node: ast.Call, calls: list[ast.Call]) -> bool:
    return any(other is not node and other in calls for other in ast.walk(node))


class _Replace(ast.NodeTransformer):
    def __init__(self, call: ast.Call) -> None:
        self._call = call

    def visit_Call(self, node: ast.Call) -> ast.AST:
        return ast.Name(_ANSWER, ast.Load()) if node is self._call else self.generic_visit(node)


def _is_answer(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == _ANSWER


def _asks_object(node: ast.AST) -> bool:
    """Whether the answer is asked something that only its class can say, and that the test's data must go into."""
    match node:
        case ast.Compare(left=left, ops=[ast.In() | ast.NotIn() | ast.NotEq()], comparators=[right]):
            return _is_answer(right) or (isinstance(node.ops[0], ast.NotEq) and _is_answer(left))
    return False


def _truths(node: ast.expr) -> Iterator[ast.expr]:
    """What is asked for its truth, the expression itself included."""
    yield node
    for part in ast.walk(node):
        match part:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield operand
            case ast.BoolOp(values=values) | ast.Call(func=ast.Name("bool"), args=values):
                yield from values


def _view(name: str, *arguments: ast.expr) -> str | None:
    """With its arguments as JSON; None where they have no such form."""
    try:
        return " ".join([name, *(json.dumps(constant(argument)) for argument in arguments)])
    except (Unsupported, TypeError):
        return None


def _mentions(node: ast.expr) -> bool:
    return any(isinstance(child, ast.expr) and _is_answer(child) for child in ast.walk(node))


def _require(node: ast.expr) -> None:
    """Unsupported for a check that `_evaluate` could not make whatever the answer is."""
    if not _mentions(node):
        constant(node)
        return
    parts: list[ast.expr] = []
    match node:
        case ast.Name():
            return
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            parts = [left, *comparators]
            if any(isinstance(op, ast.Is | ast.IsNot) for op in ops) and not (
                len(parts) == 2 and any(isinstance(p, ast.Constant) and p.value in _SINGLETONS for p in parts)
            ):
                raise Unsupported("identity of what is not None, True or False")
        case ast.BoolOp(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts):
            pass
        case ast.UnaryOp(operand=operand):
            parts = [operand]
        case ast.BinOp(left=ast.Constant(value=str() | bytes()), op=ast.Mod()) | ast.Call(ast.Name("sum"), [_, _]):
            raise Unsupported("a format, or a sum of lists")
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            parts = [left, right]
        case ast.Subscript(value=value, slice=ast.Constant() | ast.UnaryOp()):
            parts = [value]
        case ast.Call(func=function, args=parts) if ast.unparse(function) in _FUNCTIONS:
            for keyword in node.keywords:
                constant(keyword.value)
        case _:
            raise Unsupported(type(node).__name__)
    for part in parts:
        _require(part)


def _evaluate(node: ast.expr, answer: Any = None) -> Any:  # noqa: C901  (one line a form)
    def value(part: ast.expr) -> Any:
        return _evaluate(part, answer)

    match node:
        case ast.Constant(value=plain):
            return plain
        case ast.Name(id="<answer>"):
            return answer
        case ast.Name() | ast.Attribute() if ast.unparse(node) in _CONSTANTS:
            return _CONSTANTS[ast.unparse(node)]
        case ast.List(elts=parts):
            return [value(part) for part in parts]
        case ast.Tuple(elts=parts):
            return tuple(value(part) for part in parts)
        case ast.Set(elts=parts):
            return {value(part) for part in parts}
        case ast.Dict(keys=keys, values=parts) if None not in keys:
            return {value(key): value(part) for key, part in zip(keys, parts, strict=True) if key is not None}
        case ast.UnaryOp(op=op, operand=operand):
            return _UNARY[type(op)](value(operand))
        case ast.BinOp(left=left, op=op, right=right):
            return _arithmetic(op, value(left), value(right))
        case ast.BoolOp(op=op, values=parts):
            result = None
            for part in parts:
                result = value(part)
                if bool(result) is isinstance(op, ast.Or):
                    break
            return result
        case ast.Compare(left=left, ops=ops, comparators=parts):
            values = [value(left), *map(value, parts)]
            pairs = zip(ops, values, values[1:], strict=False)
            return all(_COMPARE[type(op)](a, b) for op, a, b in pairs)
        case ast.Subscript(value=whole, slice=index):
            return value(whole)[value(index)]
        case ast.Call(func=function, args=parts, keywords=keywords) if ast.unparse(function) in _FUNCTIONS:
            named = {str(keyword.arg): value(keyword.value) for keyword in keywords}
            return _FUNCTIONS[ast.unparse(function)](*map(value, parts), **named)
    raise Unsupported(type(node).__name__)


def _arithmetic(op: ast.operator, left: Any, right: Any) -> Any:
    """Numbers, and texts or lists that are put together; nothing that grows faster than its operands."""
    numbers = isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS)
    if numbers and isinstance(op, ast.Pow):
        bits = abs(left).bit_length() if isinstance(left, int) else 64
        if isinstance(left, decimal.Decimal) or not (isinstance(right, int | float) and bits * abs(right) <= _MAX_SIZE):
            raise Unsupported("a large power")
        return left**right
    if isinstance(op, ast.Mult) and not numbers:
        sequence, times = (right, left) if isinstance(left, int) else (left, right)
        if not (isinstance(sequence, str | bytes | list | tuple) and isinstance(times, int)):
            raise TypeError("no product")
        if len(sequence) * times > _MAX_SIZE:
            raise Unsupported("a large constant")
        return sequence * times
    sets = isinstance(left, set | frozenset) and isinstance(right, set | frozenset)
    if not numbers and not isinstance(op, ast.Add) and not (sets and isinstance(op, ast.Sub)):
        raise TypeError("neither numbers nor sets")
    return _ARITHMETIC[type(op)](left, right)
