"""Standard types beyond JSON's: which parts a value has, and the value again from its parts.

Both walks over values use this table: to data for another process (values.codec) and to a copy for the tests
beside the program (values.membrane). Parts are read through the type's own descriptors, so that nothing
that a subclass overrides is asked; a value is made of parts by its exact type, and ValueError or TypeError says that
these are none of such a value.
"""

import datetime
import decimal
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

MOST_BITS = 1 << 17  # of an integer: what is done with many of them in the parent stays cheap
_MOST_DIGITS = 39_000  # of a decimal, its exponent included: about as many
_MAX_COLLISIONS = 1000
_FACTORIES = {kind.__name__: kind for kind in (int, float, str, bool, list, dict, set, tuple)}
_KEYS, _VALUES, _ITEMS = type({}.keys()), type({}.values()), type({}.items())
MOST_PARTS = 2_000_000  # of a value
Parts = list[Any]


class TooLarge(Exception):
    """A value that is nested too deep (also: cyclic) or has too many parts."""


class Collided(ValueError):
    """Keys that the program's own classes tell apart are one key as data: there is no such table."""


def refuse_collisions(values: list[Any]) -> None:
    """ValueError for keys that were chosen so that a table of them takes quadratic time."""
    if len(values) > _MAX_COLLISIONS and max(Counter(map(hash, values)).values()) > _MAX_COLLISIONS:
        raise ValueError(f"more than {_MAX_COLLISIONS} keys have the same hash")


def distinct(values: list[Any]) -> list[Any]:
    """Keys or members as data; Collided where two of them are one."""
    values = [_hashable(value) for value in values]
    refuse_collisions(values)
    if len(set(values)) < len(values):
        raise Collided
    return values


def table(pairs: list[Any]) -> dict[Any, Any]:
    keys = distinct([key for key, _ in pairs])
    return {key: value for key, (_, value) in zip(keys, pairs, strict=True)}


def _hashable(value: Any) -> Any:
    """Keys and members may come back as sets or lists inside a subclass that is hashable: freeze them."""
    if isinstance(value, set):
        return frozenset(value)
    if isinstance(value, list):
        return tuple(_hashable(v) for v in value)
    return value


def _field(kind: Any, name: str) -> Callable[[Any], Any]:
    return vars(kind)[name].__get__


def _fields(kind: type, *names: str) -> Callable[[Any], Parts]:
    getters = [_field(kind, name) for name in names]
    return lambda value: [get(value) for get in getters]


def _pairs(value: Any) -> Parts:
    return [[key, item] for key, item in dict.items(value)]


def _in_order(value: Any) -> Parts:
    return [[key, item] for key, item in OrderedDict.items(value)]


_default_factory = _field(defaultdict, "default_factory")


def _factory_and_pairs(value: Any) -> Parts:
    factory = _default_factory(value)
    name = next((name for name, kind in _FACTORIES.items() if kind is factory), None)
    return [name, _pairs(value)]


def _with_factory(parts: Parts) -> Any:
    name, pairs = parts
    return defaultdict(_FACTORIES[name] if name in _FACTORIES else None, table(pairs))


def _queue(parts: Parts) -> Any:
    longest, items = parts
    return deque(items, longest)


_longest = _field(deque, "maxlen")


def _range(parts: Parts) -> range:
    value = range(*parts)
    if span(value) > MOST_PARTS:
        raise ValueError(f"a range of more than {MOST_PARTS} numbers")
    return value


def span(value: Any) -> int:
    """Members of a range, whose length Python refuses to give where it is large."""
    step = value.step
    return max(0, (value.stop - value.start + step - (1 if step > 0 else -1)) // step)


_counts = _fields(Fraction, "_numerator", "_denominator")


def _fraction(parts: Parts) -> Fraction:
    numerator, denominator = parts
    if type(numerator) is not int or type(denominator) is not int or denominator <= 0:
        raise ValueError("no fraction")
    return Fraction(numerator, denominator)


def _digits(value: Any) -> Parts:
    _bounded(value)
    return [Decimal.__str__(value)]


def _decimal(parts: Parts) -> Decimal:
    (text,) = parts
    if type(text) is not str or len(text) > 2 * _MOST_DIGITS:
        raise ValueError("no decimal")
    try:
        value = Decimal(text)
        _bounded(value)
    except (decimal.DecimalException, TooLarge) as error:
        raise ValueError("no decimal") from error
    return value


def _bounded(value: Any) -> None:
    """TooLarge for a decimal that is long as an integer or as a fraction."""
    _, digits, exponent = Decimal.as_tuple(value)
    if len(digits) + (abs(exponent) if isinstance(exponent, int) else 0) > _MOST_DIGITS:
        raise TooLarge(f"a decimal of more than {_MOST_DIGITS} digits")


_DATE, _TIME = ("year", "month", "day"), ("hour", "minute", "second", "microsecond", "tzinfo", "fold")
_day, _clock = _fields(datetime.date, *_DATE), _fields(datetime.datetime, *_TIME)
_offset = datetime.timezone.utcoffset


# A subclass of several is read as the first of them in this order.
STANDARD: dict[type, tuple[Callable[[Any], Parts], Callable[[Parts], Any]]] = {
    Counter: (_pairs, lambda pairs: Counter(table(pairs))),
    OrderedDict: (_in_order, lambda pairs: OrderedDict(table(pairs))),
    defaultdict: (_factory_and_pairs, _with_factory),
    frozenset: (lambda value: list(frozenset.__iter__(value)), lambda parts: frozenset(distinct(parts))),
    deque: (lambda value: [_longest(value), list(deque.__iter__(value))], _queue),
    range: (_fields(range, "start", "stop", "step"), _range),
    _KEYS: (lambda value: list(_KEYS.__iter__(value)), lambda parts: dict.fromkeys(distinct(parts)).keys()),
    _VALUES: (lambda value: list(_VALUES.__iter__(value)), lambda parts: dict(enumerate(parts)).values()),
    _ITEMS: (lambda value: [list(pair) for pair in _ITEMS.__iter__(value)], lambda pairs: table(pairs).items()),
    Fraction: (_counts, _fraction),
    Decimal: (_digits, _decimal),
    datetime.timezone: (lambda value: [_offset(value, None)], lambda parts: datetime.timezone(*parts)),
    datetime.timedelta: (
        _fields(datetime.timedelta, "days", "seconds", "microseconds"),
        lambda parts: datetime.timedelta(*parts),
    ),
    datetime.datetime: (
        lambda value: [*_day(value), *_clock(value)],
        lambda parts: datetime.datetime(*parts[:-1], fold=parts[-1]),
    ),
    datetime.date: (_day, lambda parts: datetime.date(*parts)),
    datetime.time: (_fields(datetime.time, *_TIME), lambda parts: datetime.time(*parts[:-1], fold=parts[-1])),
    bytearray: (lambda value: [bytes(bytearray.__getitem__(value, slice(None)))], lambda parts: bytearray(*parts)),
}
BY_NAME = {kind.__name__: kind for kind in STANDARD}
