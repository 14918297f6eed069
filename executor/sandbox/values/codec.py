"""Python values as plain JSON data and back, by their built-in type only: no code of a program's class runs.

A subclass of a built-in is read through the built-in's own methods, so that overridden
comparison, hash or repr have no effect. What has no data form becomes `Opaque`. The nodes of LeetCode's lists and
trees are read by their attributes, whatever these do: what comes out is data again, and bounded.
JSON form: scalars and lists as they are; everything else a one-key object with a tag.
"""

import json
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from stepcoder.executor.sandbox.values.standard import BY_NAME, MOST_BITS, STANDARD, Collided, TooLarge, distinct, span
from stepcoder.executor.sandbox.values.standard import MOST_PARTS as MAX_PARTS
from stepcoder.executor.sandbox.values.structures import BinaryTree, LinkedList, list_values, tree_nodes

MAX_DEPTH = 200
_JSON_INT = 1 << 62
_MAX_HEX = MOST_BITS // 4  # digits of an integer
_namespace = vars(type)["__dict__"].__get__
# What decides whether an assert holds, by the methods with which a class of the program could take the decision.
_OPERATORS = {"==": ("__eq__", "__ne__"), "truth": ("__bool__", "__len__"), "in": ("__contains__",)}
# How a view is made of a value, and the methods of which its class needs one.
_VIEWS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "items": (iter, ("__iter__", "__getitem__")),
    "len": (len, ("__len__",)),
    "item": (operator.getitem, ("__getitem__",)),
    "abs": (abs, ("__abs__",)),
    "int": (int, ("__int__", "__index__", "__trunc__")),
    "float": (float, ("__float__", "__index__")),
    "complex": (complex, ("__complex__", "__float__", "__index__")),
    "round": (round, ("__round__",)),
    "floor": (math.floor, ("__floor__", "__float__", "__index__")),
    "ceil": (math.ceil, ("__ceil__", "__float__", "__index__")),
    "truth": (lambda value, _: bool(value), ("__bool__", "__len__")),
}
_ITEM = {"__getitem__", "__missing__"}
_PLAIN = {type(None), bool, int, float, str, list, tuple, dict, set, bytes, complex, LinkedList, BinaryTree, *STANDARD}


@dataclass(frozen=True, slots=True, eq=False)
class Opaque:
    """A value without a data form, by the name of its type; equal to nothing that a test expects.

    `own`: operators that its class defines (keys of `_OPERATORS`). What these say is the program's word: a check that
    asks them raises TypeError. `views`: what a check asked for, as data: `str`, `repr`, and keys of `_VIEWS` with an
    argument in JSON behind some, `item 0`.
    """

    kind: str
    own: frozenset[str] = frozenset()
    views: dict[str, Any] = field(default_factory=dict)

    def _view(self, name: str, kind: type) -> Any:
        if not isinstance(found := self.views.get(name), kind):
            raise TypeError(f"no {name} of a {self.kind!r} object")
        return found

    def _of_any(self, *name: Any) -> Any:
        return self._view(" ".join([name[0], *map(json.dumps, name[1:])]), object)

    def _refuse(self, operator: str) -> None:
        if operator in self.own:
            raise TypeError(f"a {self.kind!r} object's own {operator} decides nothing")

    def __eq__(self, other: object) -> bool:
        if other is not None:
            self._refuse("==")
        return self is other

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        if isinstance(says := self.views.get(f"truth {json.dumps(self.kind)}"), bool):
            return says
        self._refuse("truth")
        return True

    def __contains__(self, member: object) -> bool:
        self._refuse("in")
        return any(item is member or item == member for item in self)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._view("items", list))

    def __len__(self) -> int:
        return self._view("len", int)

    def __getitem__(self, key: Any) -> Any:
        return self._of_any("item", key)

    def __abs__(self) -> Any:
        return self._of_any("abs")

    def __int__(self) -> int:
        return self._view("int", int)

    def __float__(self) -> float:
        return self._view("float", float)

    def __complex__(self) -> complex:
        return self._view("complex", complex)

    def __round__(self, *digits: Any) -> Any:
        return self._of_any("round", *digits)

    def __floor__(self) -> Any:
        return self._of_any("floor")

    def __ceil__(self) -> Any:
        return self._of_any("ceil")

    def __str__(self) -> str:
        return self._view("str", str)

    def __repr__(self) -> str:
        return self._view("repr", str)


def methods(kind: type) -> set[str]:
    """Names that a type's classes define, `object` aside; no metaclass is asked."""
    return {name for part in type.mro(kind)[:-1] for name in _namespace(part)} if kind is not type else set()


def own_operators(names: set[str]) -> list[str]:
    """Those of `_OPERATORS` that a type with these methods answers itself."""
    return [operator for operator, methods in _OPERATORS.items() if not names.isdisjoint(methods)]


def _looks_up(mro: Sequence[type]) -> bool:
    """Whether a class of the program, made from a built-in one, gives its items in its own way."""
    own = [part for part in mro if part not in _PLAIN]
    return len(own) < len(mro) and any(not _ITEM.isdisjoint(_namespace(part)) for part in own)


class _Encoder:
    def __init__(self, depth: int, parts: int, views: Iterable[str], listed: bool = False) -> None:
        self.nodes, self.most, self.deepest, self.views, self.listed = 0, parts, depth, tuple(views), listed
        self.as_text = not {"str", "repr"}.isdisjoint(self.views)
        self.by_item = any(view.startswith("item ") for view in self.views)

    def encode(self, value: Any, depth: int = 0) -> Any:
        self.nodes += 1
        if depth > self.deepest or self.nodes > self.most:
            raise TooLarge(f"deeper than {self.deepest} or more than {self.most} parts")
        kind = type(value)
        if value is None or kind is bool:
            return value
        mro = type.mro(kind) if kind is not type else ()
        if kind not in _PLAIN and (self.as_text or (self.by_item and not depth and _looks_up(mro))):
            return self._opaque(value, kind, str(type.__getattribute__(kind, "__name__")), depth)
        if int in mro:
            plain = int.__add__(value, 0)
            if int.bit_length(plain) > MOST_BITS:
                raise TooLarge(f"an integer of more than {MOST_BITS} bits")
            return plain if -_JSON_INT < plain < _JSON_INT else {"i": hex(plain)}
        if str in mro:
            return str.__str__(value)
        if float in mro:
            plain = float.__add__(value, 0.0)
            return plain if math.isfinite(plain) else {"f": repr(plain)}
        if list in mro:
            return [self.encode(v, depth + 1) for v in list.__iter__(value)]
        if tuple in mro:
            return {"t": [self.encode(v, depth + 1) for v in tuple.__iter__(value)]}
        for base in mro:
            if base in STANDARD:
                return self._standard(value, base, depth)
        if dict in mro:
            pairs = dict.items(value)
            return {"d": [[self.encode(k, depth + 1), self.encode(v, depth + 1)] for k, v in pairs]}
        if set in mro:
            return {"s": [self.encode(v, depth + 1) for v in set.__iter__(value)]}
        if bytes in mro:
            return {"b": bytes.hex(value)}
        if complex in mro:
            return {"c": [self.encode(complex.__getattribute__(value, part)) for part in ("real", "imag")]}
        return self._other(value, kind, depth)

    def _standard(self, value: Any, base: type, depth: int) -> Any:
        if base is range:
            self.nodes += span(value)
        parts = STANDARD[base][0](value)
        return {"x": [base.__name__, *(self.encode(part, depth + 1) for part in parts)]}

    def _other(self, value: Any, kind: type, depth: int) -> Any:
        module = type.__getattribute__(kind, "__module__") if isinstance(kind, type) else ""
        if isinstance(module, str) and module.split(".")[0] == "numpy" and hasattr(value, "tolist"):
            return self.encode(value.tolist(), depth + 1)
        name = str(type.__getattribute__(kind, "__name__"))
        if kind is LinkedList:
            return {"l": [self.encode(v, depth + 1) for v in value.values]}
        if kind is BinaryTree:
            return {"n": [self.encode(v, depth + 1) for v in value.values]}
        try:
            if name == "ListNode":
                return {"l": [self.encode(v, depth + 1) for v in list_values(value)]}
            if name == "TreeNode":
                return {"n": self._tree(value, depth)}
        except AttributeError:
            pass  # another class of that name
        return self._opaque(value, kind, name, depth)

    def _opaque(self, value: Any, kind: type, name: str, depth: int) -> Any:
        """Its views run code of the program, whose texts and numbers they take as data."""
        names, views = methods(kind), {}
        if self.listed and {"__iter__", "__next__"} <= names:
            views["items"] = [self.encode(item, depth + 1) for item in value]
        for view in self.views:
            if view in ("str", "repr"):  # what is inside of something shows its repr
                shown = str(value) if view == "str" and not depth else repr(value)
                views["repr" if depth else view] = self.encode(shown, depth + 1)
                continue
            how, _, argument = view.partition(" ")
            made, needed = _VIEWS[how]
            if depth or names.isdisjoint(needed) or (how == "truth" and json.loads(argument) != name):
                continue
            found = made(value, *([json.loads(argument)] if argument else ()))
            views[view] = [self.encode(item, 1) for item in found] if how == "items" else self.encode(found, 1)
        return {"o": [name, own_operators(names), views] if views else [name, own_operators(names)]}

    def _tree(self, root: Any, depth: int) -> list[Any]:
        """A node that holds None is no missing child: it becomes a value that equals nothing."""
        found: list[Any] = []
        for node in tree_nodes(root):
            value = None if node is None else self.encode(node.val, depth + 1)
            found.append({"o": ["NoneType", []]} if node is not None and value is None else value)
            self.nodes += 1
            if self.nodes > self.most:
                raise TooLarge(f"a tree of more than {self.most} parts, or with a cycle")
        while found[-1] is None:
            found.pop()
        return found


def encode(
    value: Any, depth: int = MAX_DEPTH, parts: int = MAX_PARTS, views: Iterable[str] = (), listed: bool = False
) -> Any:
    """JSON-able form of `value`; TooLarge where it nests deeper than `depth`, is cyclic, or has more than `parts`.

    `views`: of what has no data form, see `Opaque`; `items` and `len` of the value itself only.
    `listed`: iterators are read, wherever they are, and their items are a view.
    """
    return _Encoder(depth, parts, views, listed).encode(value)


class _Measuring(_Encoder):
    reached = 0

    def encode(self, value: Any, depth: int = 0) -> Any:
        self.reached = max(self.reached, depth)
        return super().encode(value, depth)


def measured(value: Any, depth: int) -> tuple[Any, int, int]:
    """(the JSON-able form, its levels, its parts) of a value of the parent's own; TooLarge where it nests deeper."""
    encoder = _Measuring(depth, 1 << 62, ())
    return encoder.encode(value), encoder.reached, encoder.nodes


def decode(data: Any) -> Any:  # noqa: C901  (one line a tag)
    """The inverse of `encode`, always making fresh objects. ValueError on a form that `encode` never makes."""
    if isinstance(data, list):
        return [decode(v) for v in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1:
        raise ValueError("a tagged value has exactly one key")
    ((tag, body),) = data.items()
    match tag:
        case "i":
            if not isinstance(body, str) or len(body) > _MAX_HEX + 3:  # the sign and 0x
                raise ValueError("an integer that is too long")
            return int(body, 16)
        case "f":
            return _float(body)
        case "t":
            return tuple(decode(v) for v in body)
        case "d":
            keys = [decode(k) for k, _ in body]
            try:
                return {key: decode(v) for key, (_, v) in zip(distinct(keys), body, strict=True)}
            except Collided:
                return Opaque("dict")
        case "s":
            try:
                return set(distinct([decode(v) for v in body]))
            except Collided:
                return Opaque("set")
        case "b":
            return bytes.fromhex(body)
        case "c":
            real, imaginary = (decode(part) for part in body)
            return complex(_float(real), _float(imaginary))
        case "x" if isinstance(body, list) and body:
            return _standard(*body)
        case "l":
            return LinkedList(tuple(decode(v) for v in body))
        case "n":
            return BinaryTree(tuple(decode(v) for v in body))
        case "o" if isinstance(body, list) and 2 <= len(body) <= 3:
            return _opaque(*body)
    raise ValueError(f"unknown tag {tag!r}")


def _standard(name: Any, *parts: Any) -> Any:
    """Parts that are none of such a value: the program put them into it."""
    if not isinstance(name, str) or name not in BY_NAME:
        raise ValueError("no standard type")
    try:
        return STANDARD[BY_NAME[name]][1]([decode(part) for part in parts])
    except (Collided, TypeError):
        return Opaque(name)


def _opaque(kind: Any, own: Any, views: Any = None) -> Opaque:
    if not isinstance(own, list) or not isinstance(views, dict | None):
        raise ValueError("no object")
    found = {str(name): decode(view) for name, view in (views or {}).items()}
    return Opaque(str(kind), frozenset(map(str, own)), found)


def _float(value: Any) -> float:
    """Of a text or a float only: an integer may be too large for one."""
    if isinstance(value, str | float):
        return float(value)
    raise ValueError("a tagged number is a text or a float")
