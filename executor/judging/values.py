"""When a returned value, as data, agrees with the expected one. Pure; the value may be a hostile program's."""

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from stepcoder.executor.judging.matching import can_be_paired
from stepcoder.executor.judging.numbers import close
from stepcoder.executor.sandbox.values.codec import Opaque
from stepcoder.executor.sandbox.values.standard import STANDARD
from stepcoder.executor.sandbox.values.structures import BinaryTree, LinkedList
from stepcoder.executor.suite import Compare

# Equal to nothing of another type: JSON has none of them.
_APART = (Opaque, *(STANDARD.keys() - {Counter, OrderedDict, defaultdict, frozenset, bytearray}))
_LISTS = (range, deque, type({}.keys()), type({}.values()), type({}.items()))  # count as a list where one is expected
_SETS = (set, frozenset)  # count as a list whose order is free
_MOST_MATCHED = 500  # items of an unordered list, each compared with each


def same_data(expected: Any, actual: Any, how: Compare) -> bool:
    """By type and content. A tuple, a range, a view, a deque or what an iterator gave equals a list of its items, a set
    one whose order is free.

    Two floats may differ by rounding, a float and an integer are equal exactly; with a tolerance any two numbers may
    differ by it.
    """
    data = _Data(how.tolerance, fold=how.type == "yesno", deep=how.unordered == "deep")
    return data.same(expected, actual, free=bool(how.unordered))


def same_exactly(expected: Any, actual: Any) -> bool:
    """By type and content; floats are equal exactly, and of other types only a tuple equals a list."""
    return _Data(exact=True).same(expected, actual)


@dataclass(frozen=True, slots=True)
class _Data:
    """`fold`: the case of texts is ignored. `deep`: the order of every list is free."""

    tolerance: float | None = None
    fold: bool = False
    deep: bool = False
    exact: bool = False

    def same(self, expected: Any, actual: Any, free: bool = False) -> bool:
        """`free`: the order of this list is."""
        if isinstance(expected, list | tuple) and not self.exact:
            actual = list(actual) if (free or self.deep) and isinstance(actual, _SETS) else _listed(actual)
        if isinstance(expected, Opaque) or (isinstance(actual, _APART) and type(actual) is not type(expected)):
            return False
        if self._is_number(expected) or self._is_number(actual):
            return self._same_number(expected, actual)
        if isinstance(expected, list | tuple) and isinstance(actual, list | tuple):
            if len(expected) != len(actual):
                return False
            return self._same_items(expected, actual) if free or self.deep else all(map(self.same, expected, actual))
        if isinstance(expected, dict) and isinstance(actual, dict):
            return self._same_dict(expected, actual)
        if isinstance(expected, LinkedList | BinaryTree):
            return type(expected) is type(actual) and self.same(expected.values, actual.values)
        if self.fold and isinstance(expected, str) and isinstance(actual, str):
            return expected.lower() == actual.lower()
        return expected == actual

    def _is_number(self, value: Any) -> bool:
        """Whether more than `==` is to be asked."""
        return isinstance(value, float) or (self.tolerance is not None and type(value) is int)

    def _same_number(self, expected: Any, actual: Any) -> bool:
        if not all(isinstance(value, int | float) for value in (expected, actual)):
            return False
        if self.exact or expected == actual:
            return expected == actual
        if self.tolerance is None:
            return isinstance(expected, float) and isinstance(actual, float) and close(expected, actual)
        return not any(isinstance(v, bool) for v in (expected, actual)) and close(expected, actual, self.tolerance)

    def _same_items(self, expected: Iterable[Any], actual: Iterable[Any]) -> bool:
        """In any order: whether they can be paired so that each pair agrees.

        What is equal goes together first, which may be wrong where numbers agree that are not equal. Of numbers the
        smallest may then go with the smallest; anything else is matched, up to _MOST_MATCHED items.
        """
        wanted, got = sorted(expected, key=self._key), sorted(actual, key=self._key)
        left, right = _rest(wanted, got, self._key, self.same)
        if not left:
            return True
        kinds = {type(item) for item in (*wanted, *got)}
        if kinds == {float} or (self.tolerance is not None and kinds <= {int, float}):
            return all(map(self.same, wanted, got))
        if len(left) > _MOST_MATCHED:
            return all(map(self.same, left, right))
        if self._can_be_paired(left, right):
            return True
        near = self.tolerance is not None or any(map(_has_float, wanted))
        return near and len(left) < len(wanted) <= _MOST_MATCHED and self._can_be_paired(wanted, got)

    def _can_be_paired(self, expected: list[Any], actual: list[Any]) -> bool:
        rows = []
        for one in expected:
            rows.append([self.same(one, two) for two in actual])
            if not any(rows[-1]):
                return False
        return can_be_paired(rows)

    def _key(self, value: Any) -> Any:
        """To sort by; the same for values that are equal."""
        if isinstance(value, bool | int | float):
            return (0, value) if value == value else (1, 0)
        value = list(value) if self.deep and isinstance(value, _SETS) else _listed(value)
        if isinstance(value, str):
            return 2, value
        if isinstance(value, list | tuple):
            keys = [self._key(part) for part in value]
            return 3, sorted(keys) if self.deep else keys
        if isinstance(value, dict):
            return 4, sorted((str(_json_key(key)), self._key(part)) for key, part in value.items())
        return 5, type(value).__name__, repr(value) if not isinstance(value, Opaque) else ""

    def _same_dict(self, expected: dict[Any, Any], actual: dict[Any, Any]) -> bool:
        """JSON knows only string keys: where all expected ones are, the actual ones are read as JSON writes them."""
        if all(isinstance(key, str) for key in expected):
            size, actual = len(actual), {_json_key(key): value for key, value in actual.items()}
            if len(actual) < size:  # two of its keys are one in JSON
                return False
        return expected.keys() == actual.keys() and all(self.same(expected[key], actual[key]) for key in expected)


def _rest(
    wanted: list[Any], got: list[Any], key: Callable[[Any], Any], same: Callable[[Any, Any], bool]
) -> tuple[list[Any], list[Any]]:
    """What is left of two sorted lists without the pairs of equal items."""
    left, right, one, two = [], [], 0, 0
    keys = [key(value) for value in wanted], [key(value) for value in got]
    while one < len(wanted) and two < len(got):
        if keys[0][one] == keys[1][two]:
            if not same(wanted[one], got[two]):  # NaN, or keys of a dictionary that differ by type
                left.append(wanted[one])
                right.append(got[two])
            one, two = one + 1, two + 1
        elif keys[0][one] < keys[1][two]:
            left.append(wanted[one])
            one += 1
        else:
            right.append(got[two])
            two += 1
    return left + wanted[one:], right + got[two:]


def _has_float(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(_has_float, value)) if isinstance(value, list | tuple) else isinstance(value, float)


def _listed(value: Any) -> Any:
    """A list of what an iterator gave, a range, a view or a deque; anything else as it is."""
    if isinstance(value, Opaque) and isinstance(found := value.views.get("items"), list):
        return found
    return list(value) if isinstance(value, _LISTS) else value


def _json_key(key: Any) -> Any:
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return repr(key) if isinstance(key, int | float) else key
