"""Python values as plain JSON data and back, by their built-in type only: no code of a program's class runs.

A subclass of a built-in is read through the built-in's own methods, so that overridden
comparison, hash or repr have no effect. What has no data form becomes `Opaque`. The nodes of LeetCode's lists and
trees are read by their attributes, whatever these do: what comes out is data again, and bounded.
JSON form: scalars and lists as they are; everything else a one-key object with a tag.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from executor.sandbox.structures import BinaryTree, LinkedList, TooLarge, list_values, tree_nodes

MAX_DEPTH = 200
MAX_PARTS = 2_000_000
_MAX_COLLISIONS = 1000
_JSON_INT = 1 << 62
_MAX_HEX = 1 << 15  # digits of an integer, 131,072 bits: what is done with many of them in the parent stays cheap


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value without a data form, by the name of its type; equal to nothing that a test expects."""

    kind: str


class _Encoder:
    def __init__(self, depth: int, parts: int) -> None:
        self.nodes, self.most, self.deepest = 0, parts, depth

    def encode(self, value: Any, depth: int = 0) -> Any:
        self.nodes += 1
        if depth > self.deepest or self.nodes > self.most:
            raise TooLarge(f"deeper than {self.deepest} or more than {self.most} parts")
        kind = type(value)
        if value is None or kind is bool:
            return value
        mro = type.mro(kind) if kind is not type else ()
        if int in mro:
            plain = int.__add__(value, 0)
            if int.bit_length(plain) > 4 * _MAX_HEX:
                raise TooLarge(f"an integer of more than {4 * _MAX_HEX} bits")
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
        if dict in mro:
            pairs = dict.items(value)
            return {"d": [[self.encode(k, depth + 1), self.encode(v, depth + 1)] for k, v in pairs]}
        if set in mro or frozenset in mro:
            base: Any = set if set in mro else frozenset
            return {"s": [self.encode(v, depth + 1) for v in base.__iter__(value)]}
        if bytes in mro or bytearray in mro:
            return {"b": (bytes if bytes in mro else bytearray).hex(value)}
        if complex in mro:
            return {"c": [self.encode(complex.__getattribute__(value, part)) for part in ("real", "imag")]}
        return self._other(value, kind, depth)

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
            return {"o": name}  # another class of that name
        return {"o": name}

    def _tree(self, root: Any, depth: int) -> list[Any]:
        """A node that holds None is no missing child: it becomes a value that equals nothing."""
        found: list[Any] = []
        for node in tree_nodes(root):
            value = None if node is None else self.encode(node.val, depth + 1)
            found.append({"o": "NoneType"} if node is not None and value is None else value)
            self.nodes += 1
            if self.nodes > self.most:
                raise TooLarge(f"a tree of more than {self.most} parts, or with a cycle")
        while found[-1] is None:
            found.pop()
        return found


def encode(value: Any, depth: int = MAX_DEPTH, parts: int = MAX_PARTS) -> Any:
    """JSON-able form of `value`; TooLarge where it nests deeper than `depth`, is cyclic, or has more than `parts`."""
    return _Encoder(depth, parts).encode(value)


def decode(data: Any) -> Any:
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
            keys = _distinct([decode(k) for k, _ in body])
            return {key: decode(v) for key, (_, v) in zip(keys, body, strict=True)}
        case "s":
            return set(_distinct([decode(v) for v in body]))
        case "b":
            return bytes.fromhex(body)
        case "c":
            real, imaginary = (decode(part) for part in body)
            return complex(_float(real), _float(imaginary))
        case "l":
            return LinkedList(tuple(decode(v) for v in body))
        case "n":
            return BinaryTree(tuple(decode(v) for v in body))
        case "o":
            return Opaque(str(body))
    raise ValueError(f"unknown tag {tag!r}")


def _float(value: Any) -> float:
    """Of a text or a float only: an integer may be too large for one."""
    if isinstance(value, str | float):
        return float(value)
    raise ValueError("a tagged number is a text or a float")


def refuse_collisions(values: list[Any]) -> None:
    """ValueError for keys that were chosen so that a table of them takes quadratic time."""
    if len(values) > _MAX_COLLISIONS and max(Counter(map(hash, values)).values()) > _MAX_COLLISIONS:
        raise ValueError(f"more than {_MAX_COLLISIONS} keys have the same hash")


def _distinct(values: list[Any]) -> list[Any]:
    values = [_hashable(v) for v in values]
    refuse_collisions(values)
    return values


def _hashable(value: Any) -> Any:
    """Keys and members may come back as sets or lists inside a subclass that is hashable: freeze them."""
    if isinstance(value, set):
        return frozenset(value)
    if isinstance(value, list):
        return tuple(_hashable(v) for v in value)
    return value
