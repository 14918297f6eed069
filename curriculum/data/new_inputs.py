"""New inputs for a problem out of those that its tests have: changed in a few places, and alike in all else.

What is changed keeps to the likely invariants of the given inputs (likely_invariants), so that sizes, ranges
and letters stay inside those seen. A text on standard input keeps its lines and the number of words on each. Pure
functions; the same inputs and seed give the same answer.
"""

import copy
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from stepcoder.curriculum.data.likely_invariants import Invariants, Path, Seen, is_number
from stepcoder.executor.sandbox.values.structures import LinkedList, linked_list
from stepcoder.executor.suite import Case, Suite

_TRIES = 30  # for each input that is wanted
_CHANGES = 3
_ARGUMENTS = 30  # words that are looked at one by one; relations are sought between all pairs
_LARGEST = 4_000  # characters of an input that is changed, as Python text: small tests tell a person more
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})\Z", re.ASCII)
_BRACKETS = frozenset("()[]{}<>")


def new_cases(suite: Suite, seed: str, most: int) -> list[Case]:
    """At most `most` tests without an output, none equal to another or to a given one. None for assert style."""
    if suite.style == "assert":
        return []
    forms = _texts(suite.cases) if suite.style == "stdin" else _calls(suite.cases)
    if not forms:
        return []
    chooser = random.Random(seed)
    invariants = Invariants([form.arguments for form in forms])
    seen = {repr(form.arguments) for form in forms}
    small = [form for form in forms if len(repr(form.arguments)) <= _LARGEST]
    found: list[Case] = []
    for _ in range(_TRIES * most if small else 0):
        form = chooser.choice(small)
        arguments = copy.deepcopy(form.arguments)
        for _ in range(chooser.randint(1, _CHANGES)):
            _change(arguments, invariants, form, chooser)
        text = repr(arguments)
        if text not in seen and form.intact(arguments) and invariants.hold(arguments):
            seen.add(text)
            found.append(form.case(arguments))
            if len(found) == most:
                break
    return found


class _Form:
    """An input as arguments, and back. `rigid`: no list or text may change its length."""

    def __init__(self, arguments: list[Any], case: Callable[[list[Any]], Case], rigid: bool = False) -> None:
        self.arguments = arguments
        self.case = case
        self.rigid = rigid

    def intact(self, arguments: list[Any]) -> bool:
        """Whether other arguments are still of this form."""
        return True


class _Lines(_Form):
    """The words of the first line, and the other lines as one list of lists. Each line keeps its number of words, and
    what may be a count stays. The numbers below the first line stay inside their own range, as one on the first line
    may be its limit; one that may be keeps above them."""

    def intact(self, arguments: list[Any]) -> bool:
        before = [self.arguments[:-1], *self.arguments[-1]]
        now = [arguments[:-1], *arguments[-1]]
        if [len(row) for row in before] != [len(row) for row in now]:
            return False
        if any(before[line][word] != now[line][word] for line, word in _counts(before)):
            return False
        numbers = [value for row in before[1:] for value in row if is_number(value)]
        low, high = min(numbers, default=0), max(numbers, default=0)
        limits = [(old, new) for old, new in zip(before[0], now[0], strict=True) if is_number(old)]
        return all(low <= value <= high for row in now[1:] for value in row if is_number(value)) and all(
            is_number(new) and (old < high or new >= high) for old, new in limits
        )


# -- calls -------------------------------------------------------------------------------------------------------------


class _Tuple(list[Any]):
    """A tuple that can be changed."""


class _Nodes(list[Any]):
    """A linked list that can be changed."""


def _calls(cases: Sequence[Case]) -> list[_Form]:
    """The calls of the most common shape."""
    shapes = [(len(case.input), *case.keywords) for case in cases]
    usual = max(dict.fromkeys(shapes), key=shapes.count)
    return [_call(case) for case, shape in zip(cases, shapes, strict=True) if shape == usual]


def _call(case: Case) -> _Form:
    count, names = len(case.input), list(case.keywords)

    def back(arguments: list[Any]) -> Case:
        values = [_closed(value) for value in arguments]
        return Case(values[:count], None, dict(zip(names, values[count:], strict=True)))

    return _Form([_opened(value) for value in (*case.input, *case.keywords.values())], back)


def _opened(value: Any) -> Any:
    match value:
        case list():
            return [_opened(part) for part in value]
        case tuple():
            return _Tuple(_opened(part) for part in value)
        case LinkedList():
            return _Nodes(_opened(part) for part in value.values)
        case dict():
            return {key: _opened(part) for key, part in value.items()}
    return value


def _closed(value: Any) -> Any:
    match value:
        case _Tuple():
            return tuple(_closed(part) for part in value)
        case _Nodes():
            return linked_list([_closed(part) for part in value])
        case list():
            return [_closed(part) for part in value]
        case dict():
            return {key: _closed(part) for key, part in value.items()}
    return value


# -- standard input ----------------------------------------------------------------------------------------------------


def _texts(cases: Sequence[Case]) -> list[_Form]:
    """Each word an argument where all inputs have the same words on each line; else each word of the first line, and
    the other lines as one list of lists."""
    texts = [case.input.split("\n") for case in cases]
    words = [[line.split() for line in lines] for lines in texts]
    layouts = {tuple(map(len, lines)) for lines in words}
    if len({lines[0] for lines in layouts}) > 1:
        return []  # nothing is known of what the first line means
    alike = len(layouts) == 1 and sum(map(sum, layouts)) <= _ARGUMENTS
    return [_text(lines, found, alike) for lines, found in zip(texts, words, strict=True)]


def _text(lines: list[str], words: list[list[str]], alike: bool) -> _Form:
    blanks = [re.split(r"\S+", line) for line in lines]
    values = [[int(word) if _INTEGER.match(word) else word for word in line] for line in words]
    width = len(words[0])

    def back(arguments: list[Any]) -> Case:
        flat = iter(arguments)
        if alike:
            rows = [[next(flat) for _ in line] for line in words]
        else:
            rows = [arguments[:width], *arguments[width]]
        pairs = zip(blanks, rows, strict=True)
        return Case("\n".join("".join(_woven(between, row)) for between, row in pairs))

    if alike:
        return _Form([value for line in values for value in line], back, True)
    return _Lines([*values[0], values[1:]], back, True)


def _woven(blanks: list[str], row: list[Any]) -> Iterator[str]:
    for blank, word in zip(blanks, row, strict=False):
        yield f"{blank}{word}"
    yield blanks[-1]


def _counts(rows: list[list[Any]]) -> Iterator[tuple[int, int]]:
    """(line, word) of numbers that may be a count: of the words on the next line, of the letters of its first word, or
    of lines that follow, where these do not all look the same. On the first line: of any lines that follow."""
    for number, (row, following) in enumerate(zip(rows, rows[1:], strict=False)):
        sizes = {len(following), *(len(word) for word in following[:1] if isinstance(word, str))}
        different = number == 0 or any(len(other) != len(row) for other in rows[number + 1 :])
        later = len(rows) - number - 1 if different else -1
        for place, value in enumerate(row):
            if isinstance(value, int) and (value in sizes or 0 <= value <= later):
                yield number, place


# -- changes -----------------------------------------------------------------------------------------------------------


def _change(arguments: list[Any], invariants: Invariants, form: _Form, chooser: random.Random) -> None:
    """Changes one place, or nothing where the place that was drawn cannot be changed."""
    number = chooser.randrange(len(arguments)) if arguments else None
    if number is None:
        return
    holder: Any = arguments
    place: Any = number
    path: Path = (number,)
    tree = invariants.is_tree(number)
    while isinstance(value := holder[place], list | dict) and value and not tree and chooser.random() < 0.75:
        if isinstance(value, dict):
            inner: Any = chooser.choice(list(value))
            path = (*path, str(inner))
        else:
            inner = chooser.randrange(len(value))
            path = invariants.inside(path, inner)
        holder, place = value, inner
    seen = invariants.seen.get(path)
    if seen is None or type(value) not in seen.kinds:
        return
    if isinstance(value, list):
        reorders = (_swapped, _reversed, _shuffled)
        resizes = () if form.rigid or tree else (_without, _with_copy, _cut, _sorted)
        holder[place] = chooser.choice((*reorders, *resizes))(value, chooser)
    elif isinstance(value, bool):
        holder[place] = not value
    elif isinstance(value, int | float):
        holder[place] = _number(value, seen, chooser)
    elif isinstance(value, str):
        holder[place] = _string(value, seen, form.rigid, chooser)
    elif value is not None and seen.values:  # a tree and the like: another one that was seen
        holder[place] = chooser.choice(seen.values)


def _number(value: Any, seen: Seen, chooser: random.Random) -> Any:
    low, high = seen.range
    if isinstance(value, float):
        return chooser.choice((chooser.choice(seen.values), round(chooser.uniform(low, high), 2)))
    return chooser.choice((value - 1, value + 1, int(low), int(high), chooser.randint(int(low), int(high)),
                           chooser.choice(seen.values)))  # fmt: skip


def _string(value: str, seen: Seen, rigid: bool, chooser: random.Random) -> str:
    """Letters of a text that is written in one kind of letters only; else another text that was seen."""
    letters = seen.letters
    plain = (
        all(c.isalpha() for c in letters)
        or all(c.isdigit() for c in letters)
        or not any(c.isalnum() or c.isspace() or c in _BRACKETS for c in letters)
    )
    if not plain or not value or chooser.random() < 0.2:
        # none where an earlier change brought a text of another length here
        return chooser.choice([text for text in seen.texts if not rigid or len(text) == len(value)] or [value])
    characters = list(value)
    if chooser.random() < 0.3:
        characters[chooser.randrange(len(characters))] = chooser.choice(sorted(letters))
    else:
        changes = (_swapped, _reversed, _shuffled) + (() if rigid else (_without, _with_copy, _cut))
        characters = chooser.choice(changes)(characters, chooser)
    changed = "".join(characters)
    return value if _leading_zero(changed) and not any(map(_leading_zero, seen.texts)) else changed


def _leading_zero(text: str) -> bool:
    return text[:1] == "0" and len(text) > 1


def _swapped(values: list[Any], chooser: random.Random) -> list[Any]:
    if len(values) > 1:
        a, b = chooser.sample(range(len(values)), 2)
        values[a], values[b] = values[b], values[a]
    return values


def _reversed(values: list[Any], chooser: random.Random) -> list[Any]:
    values.reverse()
    return values


def _shuffled(values: list[Any], chooser: random.Random) -> list[Any]:
    chooser.shuffle(values)
    return values


def _sorted(values: list[Any], chooser: random.Random) -> list[Any]:
    try:
        values.sort()
    except TypeError:  # of several types
        pass
    return values


def _without(values: list[Any], chooser: random.Random) -> list[Any]:
    if values:
        del values[chooser.randrange(len(values))]
    return values


def _with_copy(values: list[Any], chooser: random.Random) -> list[Any]:
    if values:
        values.insert(chooser.randrange(len(values) + 1), copy.deepcopy(chooser.choice(values)))
    return values


def _cut(values: list[Any], chooser: random.Random) -> list[Any]:
    if values:
        del values[chooser.randint(1, len(values)) :]
    return values
