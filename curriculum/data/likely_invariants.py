"""What the inputs of a problem's tests have in common: a guess at the constraints that its statement puts on them.

An input is a list of arguments: numbers, texts, None, lists, dictionaries. What holds for every given one is taken for
a rule: types, ranges, lengths, letters, order, distinctness, and relations between arguments. Few inputs give narrow
rules. A guess may still be too wide: no two numbers tell that a third has to be prime. Pure functions.
Source of the idea: Ernst et al., Dynamically Discovering Likely Program Invariants, ICSE 1999.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Path = tuple[int | str, ...]  # argument, then the place in a record or "*" for any place in a list

_RECORD = 4  # lists of one length up to this, at least two of them, are records: each place has a meaning of its own


class Seen:
    """Everything at one path of all inputs; what is derived from it is asked for when it is complete."""

    def __init__(self) -> None:
        self.kinds: set[type] = set()
        self.values: list[Any] = []  # all that are neither None nor lists nor dictionaries
        self.lists: list[list[Any]] = []

    @cached_property
    def texts(self) -> list[str]:
        return [value for value in self.values if isinstance(value, str)]

    @cached_property
    def letters(self) -> frozenset[str]:
        return frozenset().union(*self.texts)

    @cached_property
    def range(self) -> tuple[Any, Any]:
        numbers = [value for value in self.values if is_number(value)]
        return min(numbers), max(numbers)

    @cached_property
    def text_lengths(self) -> tuple[int, int]:
        return min(map(len, self.texts)), max(map(len, self.texts))

    @cached_property
    def list_lengths(self) -> tuple[int, int]:
        return min(map(len, self.lists)), max(map(len, self.lists))


class Invariants:
    """Of given inputs, all with the same number of arguments; at least one."""

    def __init__(self, inputs: Sequence[list[Any]]) -> None:
        self.seen: dict[Path, Seen] = {}
        self._records = _record_paths(inputs)
        for arguments in inputs:
            for path, value in self.walk(arguments):
                seen = self.seen.setdefault(path, Seen())
                seen.kinds.add(type(value))
                if isinstance(value, list):
                    seen.lists.append(value)
                elif value is not None and not isinstance(value, dict):
                    seen.values.append(value)
        self._orders = {path: _common_orders(seen.lists) for path, seen in self.seen.items() if seen.lists}
        self._features = [_features(arguments) for arguments in inputs]
        self._relations = list(_common_relations(self._features))

    def walk(self, arguments: list[Any]) -> Iterator[tuple[Path, Any]]:
        for number, argument in enumerate(arguments):
            yield from self._walk((number,), argument)

    def _walk(self, path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
        yield path, value
        if isinstance(value, list):
            for number, part in enumerate(value):
                yield from self._walk(self.inside(path, number), part)
        elif isinstance(value, dict):
            for key, part in value.items():
                yield from self._walk((*path, str(key)), part)

    def inside(self, path: Path, number: int) -> Path:
        return (*path, number if path in self._records else "*")

    def hold(self, arguments: list[Any]) -> bool:
        """Whether an input looks like the given ones."""
        for path, value in self.walk(arguments):
            seen = self.seen.get(path)
            if seen is None or type(value) not in seen.kinds or not _within(value, seen):
                return False
            if isinstance(value, list) and _telling(value) and not all(order(value) for order in self._orders[path]):
                return False
        found = _features(arguments)
        return all(left in found and right in found and holds(found[left], found[right])
                   for left, right, holds in self._relations)  # fmt: skip

    def is_tree(self, number: int) -> bool:
        """Whether an argument is a list of rows that is always one shorter than some number: most often a tree's edges,
        of which none may be changed by itself."""
        lists = self.seen[(number,)].lists
        if not lists or not all(isinstance(row, list) for rows in lists for row in rows):
            return False
        sizes = [name for name in self._features[0] if name[1] == "value"]
        return any(all(f.get(name, 0) - f.get((number, "len"), 0) == 1 for f in self._features) for name in sizes)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _within(value: Any, seen: Seen) -> bool:
    if is_number(value):
        low, high = seen.range
        return low <= value <= high
    if isinstance(value, str):
        low, high = seen.text_lengths
        return low <= len(value) <= high and seen.letters.issuperset(value)
    if isinstance(value, list):
        low, high = seen.list_lengths
        return low <= len(value) <= high
    return True


def _record_paths(inputs: Sequence[list[Any]]) -> set[Path]:
    """Paths, all with "*", of lists that are inside of lists and all of one small length."""
    lengths: dict[Path, list[int]] = {}

    def walk(path: Path, value: Any) -> None:
        if isinstance(value, list):
            lengths.setdefault(path, []).append(len(value))
            for part in value:
                walk((*path, "*"), part)

    for arguments in inputs:
        for number, argument in enumerate(arguments):
            walk((number,), argument)
    return {
        path
        for path, found in lengths.items()
        if len(path) > 1 and len(found) > 1 and len(set(found)) == 1 and 2 <= found[0] <= _RECORD
    }


# -- order within a list -----------------------------------------------------------------------------------------------

Order = Callable[[list[Any]], bool]


def _comparable(values: list[Any]) -> bool:
    return all(is_number(v) for v in values) or all(isinstance(v, str) for v in values) or all(
        isinstance(v, list) and all(map(is_number, v)) for v in values
    )  # fmt: skip


def _rising(values: list[Any]) -> bool:
    return _comparable(values) and all(a <= b for a, b in zip(values, values[1:], strict=False))


def _falling(values: list[Any]) -> bool:
    return _comparable(values) and all(a >= b for a, b in zip(values, values[1:], strict=False))


def _distinct(values: list[Any]) -> bool:
    texts = [repr(value) for value in values]
    return len(set(texts)) == len(texts)


def _turned(values: list[Any]) -> bool:
    """A rising list of which a part has gone from one end to the other."""
    falls = sum(a > b for a, b in zip(values, [*values[1:], *values[:1]], strict=True)) if _comparable(values) else 2
    return falls <= 1


def _numbered(values: list[Any]) -> bool:
    """Each of 0, 1, ... or of 1, 2, ... once."""
    if not all(isinstance(value, int) for value in values):
        return False
    return sorted(values) in (list(range(len(values))), list(range(1, len(values) + 1)))


def _even_rows(values: list[Any]) -> bool:
    return len({len(row) if isinstance(row, list | str) else -1 for row in values}) <= 1


def _telling(values: list[Any]) -> bool:
    """Whether it is long enough to have an order."""
    return len(values) > 1


def _common_orders(lists: list[list[Any]]) -> list[Order]:
    """What holds for all lists, and says something about one of them at least."""
    telling = [values for values in lists if _telling(values)]
    if not telling:
        return []
    orders = (_rising, _falling, _turned, _distinct, _numbered, _even_rows)
    return [order for order in orders if all(map(order, telling))]


# -- relations between arguments ---------------------------------------------------------------------------------------

Feature = tuple[int, str]


def _features(arguments: list[Any]) -> dict[Feature, Any]:
    """Numbers that describe the arguments: a value; a length, the first row's, the least and the largest number."""
    found: dict[Feature, Any] = {}
    for number, argument in enumerate(arguments):
        if is_number(argument):
            found[number, "value"] = argument
        elif isinstance(argument, list | str):
            found[number, "len"] = len(argument)
            if argument and isinstance(argument[0], list | str) and not isinstance(argument, str):
                found[number, "width"] = len(argument[0])
            if numbers := list(_numbers(argument)):
                found[number, "min"], found[number, "max"] = min(numbers), max(numbers)
    return found


def _numbers(value: Any) -> Iterator[Any]:
    if is_number(value):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _numbers(part)


@dataclass(frozen=True, slots=True)
class _Apart:
    """Always so much more."""

    by: Any

    def __call__(self, left: Any, right: Any) -> bool:
        return left - right == self.by


@dataclass(frozen=True, slots=True)
class _Most:
    """Never more, or always less."""

    strictly: bool

    def __call__(self, left: Any, right: Any) -> bool:
        return left < right if self.strictly else left <= right


def _common_relations(
    found: list[dict[Feature, Any]],
) -> Iterator[tuple[Feature, Feature, Callable[[Any, Any], bool]]]:
    """Between features of different arguments: a constant difference, else an order, in every input."""
    common = [name for name in found[0] if all(name in features for features in found)]
    for left in common:
        for right in common:
            if left[0] == right[0]:
                continue
            pairs = [(features[left], features[right]) for features in found]
            by = pairs[0][0] - pairs[0][1]
            if len(set(pairs)) > 1 and all(_Apart(by)(*pair) for pair in pairs):
                yield left, right, _Apart(by)
            elif all(a < b for a, b in pairs):
                yield left, right, _Most(strictly=True)
            elif all(a <= b for a, b in pairs):
                yield left, right, _Most(strictly=False)
