"""Executed lines of a program as executed character spans: the ground of the token mask.

Line events alone are a poor mask: `else:`, comments, docstrings, `global`, closing brackets and continuation lines
have none although control passed. Here each statement owns its source less that of its child statements,
a statement is executed as a whole, and what has no event takes the value of what it belongs to.
Invariant: the owned spans partition the program, so that every character has exactly one value.
"""

import ast
import bisect
import io
import re
import tokenize
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field

Span = tuple[int, int]
_NEWLINE = re.compile(r"\r\n|\r|\n")
_SUITES = ("body", "handlers", "cases", "orelse", "finalbody")


@dataclass(slots=True)
class _Unit:
    """A piece of the program with one value: a statement's own source, or the header of a clause.

    `value` is None while nothing is known of it; `inherits` marks what never has an event of its own.
    """

    start: int
    end: int
    lines: tuple[int, int]
    inherits: bool = False
    suites: list[list["_Unit"]] = field(default_factory=list)
    follows: bool = False  # `else:` and `finally:`: the value of the first statement of their suite
    value: bool | None = None


def executed_spans(program: str, executed_lines: Iterable[int]) -> list[Span]:
    """Half-open spans in characters, sorted and disjoint. A program that does not parse has none."""
    try:
        tree = _parse(program)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return []
    source = _Source(program)
    recorded = sorted(set(executed_lines))
    units = [_statement(statement, source) for statement in tree.body]
    root = _Unit(0, len(program), (0, 0), suites=[units], value=bool(recorded))
    _put_docstring(units, tree)
    _evaluate(root, recorded)
    return _merge(program, root, source)


def _parse(program: str) -> ast.Module:
    with warnings.catch_warnings():  # an odd escape in a program is no matter of ours
        warnings.simplefilter("ignore")
        return ast.parse(program)


class _Source:
    """Positions of the syntax tree (line, UTF-8 byte) as character offsets, and where code and comments lie."""

    def __init__(self, program: str) -> None:
        self.text = program
        self.starts = [0, *(m.end() for m in _NEWLINE.finditer(program))]
        self.comments = _comments(program, self)

    def offset(self, line: int, column: int) -> int:
        start = self.starts[line - 1]
        end = self.starts[line] if line < len(self.starts) else len(self.text)
        text = self.text[start:end]
        if text.isascii():
            return start + column
        return start + len(text.encode("utf-8")[:column].decode("utf-8"))

    def line(self, offset: int) -> int:
        return bisect.bisect_right(self.starts, offset)

    def first(self, node: ast.AST) -> int:
        decorators = getattr(node, "decorator_list", None)
        if decorators:
            return self.text.rindex("@", 0, self.offset(decorators[0].lineno, decorators[0].col_offset))
        if isinstance(node, ast.match_case):
            pattern = node.pattern
            return self.text.rindex("case", 0, self.offset(pattern.lineno, pattern.col_offset))
        return self.offset(node.lineno, node.col_offset)  # type: ignore[attr-defined]

    def last(self, node: ast.AST) -> int:
        if isinstance(node, ast.match_case):
            return self.last(node.body[-1])
        return self.offset(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def indent(self, place: int) -> int:
        """The indentation of the line that `place` is on, tabs as the interpreter counts them."""
        start = end = self.starts[self.line(place) - 1]
        while end < len(self.text) and self.text[end] in " \t\f":
            end += 1
        return len(self.text[start:end].expandtabs(8))

    def code_end(self, start: int, end: int) -> int:
        """Where the code in [start, end) ends, without the blanks and comments behind it."""
        while end > start:
            if self.text[end - 1].isspace():
                end -= 1
                continue
            place = bisect.bisect_left(self.comments, (end,)) - 1
            if place < 0 or self.comments[place][1] != end:
                return end
            end = self.comments[place][0]
        return end

    def keyword(self, word: str, start: int, end: int) -> int:
        """The last place of `word` in [start, end) that is neither in a comment nor part of a name."""
        for match in reversed(list(re.finditer(rf"\b{word}\b", self.text[start:end]))):
            place = start + match.start()
            if not any(a <= place < b for a, b in self.comments):
                return place
        raise ValueError(f"no {word!r} between {start} and {end}")


def _comments(program: str, source: _Source) -> list[Span]:
    found: list[Span] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(program, newline="").readline):
            if token.type == tokenize.COMMENT:
                start = source.starts[token.start[0] - 1] + token.start[1]
                found.append((start, start + len(token.string)))
    except (tokenize.TokenError, SyntaxError, IndexError):
        return found
    return found


def _statement(node: ast.stmt | ast.ExceptHandler | ast.match_case, source: _Source) -> _Unit:
    start, end = source.first(node), source.last(node)
    unit = _Unit(start, end, (source.line(start), source.line(max(start, end - 1))))
    unit.inherits = isinstance(node, ast.Global | ast.Nonlocal)
    header_end = end
    previous_end = start
    for name in _SUITES:
        parts = getattr(node, name, None)
        if not isinstance(parts, list) or not parts:
            continue
        units = [_statement(part, source) for part in parts]
        if name == "body":
            _put_docstring(units, node)
        if name in ("orelse", "finalbody") and not _is_elif(node, name, source):
            word = "else" if name == "orelse" else "finally"
            place = source.keyword(word, previous_end, units[0].start)
            clause = _Unit(place, units[-1].end, (0, 0), follows=True, suites=[units])
            units = [clause]
        header_end = min(header_end, units[0].start)
        previous_end = units[-1].end
        unit.suites.append(units)
    if unit.suites:
        unit.lines = (unit.lines[0], source.line(source.code_end(start, header_end) - 1))
    return unit


def _is_elif(node: ast.AST, name: str, source: _Source) -> bool:
    orelse = getattr(node, "orelse", [])
    if name != "orelse" or not isinstance(node, ast.If) or len(orelse) != 1 or not isinstance(orelse[0], ast.If):
        return False
    return source.text.startswith("elif", source.first(orelse[0]))


def _put_docstring(units: list[_Unit], node: ast.AST) -> None:
    scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    body = getattr(node, "body", [])
    if isinstance(node, scope) and body and isinstance(body[0], ast.Expr):
        value = body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            units[0].inherits = True


def _evaluate(unit: _Unit, recorded: list[int]) -> None:
    """Sets the value of everything below `unit`, whose own value is known."""
    for suite in unit.suites:
        for child in suite:
            if child.follows:
                continue
            if not child.inherits:
                child.value = _any_between(recorded, *child.lines)
        for child in suite:
            if child.follows:
                _evaluate_clause(child, recorded, bool(unit.value))
        _inherit(suite, bool(unit.value))
        for child in suite:
            if not child.follows:
                _evaluate(child, recorded)


def _evaluate_clause(clause: _Unit, recorded: list[int], parent: bool) -> None:
    suite = clause.suites[0]
    for child in suite:
        if not child.inherits:
            child.value = _any_between(recorded, *child.lines)
    _inherit(suite, parent)
    clause.value = suite[0].value
    for child in suite:
        _evaluate(child, recorded)


def _inherit(suite: list[_Unit], parent: bool) -> None:
    """Without an event of one's own: the next sibling's value, else the previous one's, else the parent's."""
    following: bool | None = None
    for child in reversed(suite):
        if child.value is None:
            child.value = following
        following = child.value if child.value is not None else following
    previous: bool | None = None
    for child in suite:
        if child.value is None:
            child.value = previous if previous is not None else parent
        previous = child.value


def _any_between(recorded: list[int], first: int, last: int) -> bool:
    place = bisect.bisect_left(recorded, first)
    return place < len(recorded) and recorded[place] <= last


def _merge(program: str, root: _Unit, source: _Source) -> list[Span]:
    """Paints the units outside in, settles what lies between them, and joins characters of equal value."""
    values, code = bytearray(len(program)), bytearray(len(program))
    units: list[_Unit] = []
    _paint(root, values, code, units, source)
    _settle_comments(values, code, units, source)
    _settle_rest(values, code, source)
    spans: list[Span] = []
    start: int | None = None
    for place, value in enumerate([*values, 0]):
        if value and start is None:
            start = place
        elif not value and start is not None:
            spans.append((start, place))
            start = None
    return spans


def _paint(unit: _Unit, values: bytearray, code: bytearray, units: list[_Unit], source: _Source) -> None:
    """Fills `values`, flags in `code` what a statement or header owns, and lists the units in order of their start."""
    for suite in unit.suites:
        for child in suite:
            values[child.start : child.end] = bytes([bool(child.value)]) * (child.end - child.start)
            inner = child.suites[0][0].start if child.suites else child.end
            owned = source.code_end(child.start, inner)
            code[child.start : owned] = b"\1" * (owned - child.start)
            units.append(child)
            _paint(child, values, code, units, source)


def _settle_comments(values: bytearray, code: bytearray, units: list[_Unit], source: _Source) -> None:
    """A comment behind code belongs to it; one on its own line to the next statement of its suite, else the last."""
    starts = [unit.start for unit in units]
    for start, end in source.comments:
        if code[start]:
            continue
        line_start = source.starts[source.line(start) - 1]
        before = source.text[line_start:start].rstrip()
        if before:
            value = bool(values[line_start + len(before) - 1])
        else:
            value = _of_comment(start, units, starts, source)
        values[start:end] = bytes([value]) * (end - start)


def _of_comment(place: int, units: list[_Unit], starts: list[int], source: _Source) -> bool:
    indent = source.indent(place)
    following = bisect.bisect_right(starts, place)
    if following < len(units) and source.indent(units[following].start) >= indent:
        return bool(units[following].value)
    for unit in reversed(units[:following]):
        if source.indent(unit.start) <= indent and not unit.follows:
            return bool(unit.value)
    return bool(units[following].value) if following < len(units) else False


def _settle_rest(values: bytearray, code: bytearray, source: _Source) -> None:
    """`;` goes with the statement before it, everything else (blanks, `\\`) with what comes next."""
    text, settled = source.text, bytearray(code)
    for start, end in source.comments:
        settled[start:end] = b"\1" * (end - start)
    last: int | None = None
    for place, character in enumerate(text):
        if code[place] and not character.isspace():
            last = place
        elif character == ";" and not settled[place] and last is not None:
            values[place], settled[place] = values[last], 1
    following: int | None = None
    for place in range(len(text) - 1, -1, -1):
        if settled[place]:
            if not text[place].isspace():
                following = values[place]
        elif following is not None:
            values[place] = following
    tail = len(text.rstrip())
    values[tail:] = bytes([values[tail - 1] if tail else 0]) * (len(text) - tail)
