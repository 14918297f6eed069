"""A program line by line, as a person is to see it: what was given, what ran, and what the loss made of each token.

Pure. What is shown is bounded, whatever a program is: so many lines, so many characters of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pygments.lexers.python import PythonLexer
from pygments.token import STANDARD_TYPES

from stepcoder.executor.spans import executed_spans, line_spans

State = Literal["executed", "not", "both", "blank", "unknown"]
LEVELS = 4  # shades of either sign
_LINES, _LONGEST, _CHARS = 2_000, 1_000, 200_000


@dataclass(frozen=True, slots=True)
class Piece:
    """Characters of one colour: `kind` is Pygments' short name, `token` the response token that wrote them or -1."""

    text: str
    kind: str
    token: int
    shade: int


@dataclass(slots=True)
class Line:
    """`starts`: the model writes from here on. `more`: characters that are not shown."""

    number: int
    state: State
    given: bool
    starts: bool = False
    pieces: list[Piece] = field(default_factory=list)
    more: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """`more`: lines that are not shown. `located`: whether the file says which characters a token wrote."""

    lines: list[Line]
    more: int
    located: bool


def used(row: Mapping[str, Any]) -> list[float]:
    """[R] what the policy loss used of each token: advantage times mask, 0 where the loss did not see it."""
    advantages, credit = row.get("advantages"), row.get("credit")
    if not advantages or not credit:
        return [0.0] * len(row.get("response_ids") or ())
    pairs = zip(advantages, credit, strict=False)
    return [float(a) if a is not None and taken and a == a else 0.0 for a, taken in pairs]


def shades(values: Sequence[float]) -> list[int]:
    """-LEVELS ... LEVELS by size against the largest."""
    largest = max((abs(value) for value in values), default=0.0)
    if not largest:
        return [0] * len(values)
    return [int(np.sign(value) * np.ceil(LEVELS * abs(value) / largest)) for value in values]


def listing(row: Mapping[str, Any]) -> Listing:
    """Of one trajectory's columns; those that are missing cost what they would show."""
    program = str(row.get("program") or "")
    spans = line_spans(program)
    shown = program[:_CHARS]
    token, located = _tokens(row, len(shown))
    kinds, names = _kinds(shown)
    ran = _ran(row, program, spans)
    shade = np.append(np.asarray(shades(used(row)), dtype=np.int8), 0)  # the last stands for token -1
    prefix = int(row.get("prefix_chars") or 0)
    lines = [
        _line(shown, number, span, prefix, ran, (token, kinds, names, shade))
        for number, span in enumerate(spans[:_LINES], 1)
        if span[0] <= len(shown)
    ]
    written = next((line for line in lines if not line.given and (line.state != "blank" or line is lines[-1])), None)
    if written is not None and prefix:
        written.starts = True
    _put_errors(lines, row)
    return Listing(lines, len(spans) - len(lines), located)


def _tokens(row: Mapping[str, Any], size: int) -> tuple[np.ndarray, bool]:
    """[C] the token that wrote each character, -1 for none."""
    found = np.full(size, -1, dtype=np.int32)
    starts, ends = row.get("token_starts"), row.get("token_ends")
    if not starts or not ends:
        return found, False
    for number, (start, end) in enumerate(zip(starts, ends, strict=False)):
        found[max(start or 0, 0) : max(end or 0, 0)] = number
    return found, True


def _kinds(text: str) -> tuple[np.ndarray, list[str]]:
    """[C] place in a list of Pygments' short names."""
    found, names = np.zeros(len(text), dtype=np.int16), [""]
    for start, kind, value in PythonLexer().get_tokens_unprocessed(text):
        name = next(STANDARD_TYPES[known] for known in reversed(kind.split()) if known in STANDARD_TYPES)
        if name not in names:
            names.append(name)
        found[start : start + len(value)] = names.index(name)
    return found, names


def _ran(row: Mapping[str, Any], program: str, lines: Sequence[tuple[int, int]]) -> np.ndarray | None:
    """[C] whether a test executed a character; None where nothing is known of it."""
    if row.get("coverage_trusted") is False:
        return None
    found = np.zeros(len(program), dtype=bool)
    executed = row.get("executed_lines")
    if executed is not None and len(program) <= _CHARS:
        for start, end in executed_spans(program, executed):
            found[start:end] = True
        return found
    places = row.get("token_lines") or ()  # an earlier version's file: of written lines alone
    ran = {line for line, seen in zip(places, row.get("executed") or (), strict=False) if seen}
    for number in ran | set(executed or ()):
        if 0 < number <= len(lines):
            found[slice(*lines[number - 1])] = True
    return found


def _line(
    text: str, number: int, span: tuple[int, int], prefix: int, ran: np.ndarray | None, colours: tuple[Any, ...]
) -> Line:
    start, end = span[0], min(span[1], len(text), span[0] + _LONGEST)
    line = Line(number, _state(text, start, end, ran), span[1] <= prefix and prefix > 0, more=span[1] - end)
    token, kinds, names, shade = colours
    own, kind = token[start:end], kinds[start:end]
    changes = np.flatnonzero((np.diff(own) != 0) | (np.diff(kind) != 0)) + 1
    for a, b in zip([0, *changes], [*changes, end - start], strict=True):
        if b > a:
            wrote = int(own[a]) if own[a] < len(shade) - 1 else -1
            line.pieces.append(Piece(text[start + a : start + b], names[kind[a]], wrote, int(shade[wrote])))
    return line


def _state(text: str, start: int, end: int, ran: np.ndarray | None) -> State:
    seen = [place for place in range(start, end) if not text[place].isspace()]
    if not seen:
        return "blank"
    if ran is None:
        return "unknown"
    count = int(ran[seen].sum())
    return "executed" if count == len(seen) else "both" if count else "not"


def _put_errors(lines: Sequence[Line], row: Mapping[str, Any]) -> None:
    """The exceptions of the tests at their lines; one text once."""
    told = [(test.get("error_line"), test.get("error")) for test in row.get("tests") or ()]
    told.append((row.get("error_line"), row.get("error") or "the program failed here"))
    for number, text in told:
        if text and number and 0 < number <= len(lines) and not lines[number - 1].error:
            lines[number - 1].error = text
