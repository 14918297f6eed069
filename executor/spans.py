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
import sys
import tokenize
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field

Span = tuple[int, int]
_Part = ast.stmt | ast.ExceptHandler | ast.match_case
NEWLINE = re.compile(r"\r\n|\r|\n")  # what Python ends a line at
_BLANK_START = re.compile(r"(?:^|(?<=\n)|(?<=\r)(?!\n))[ \t\f]*")  # of each line
_SUITES = ("body", "handlers", "cases", "orelse", "finalbody")
_NO_LINES = (0, -1)
_FILE = "<spans>"
_NO_WARNINGS = ("ignore", None, Warning, re.compile(_FILE), 0)
_STRING_OR_COMMENT = re.compile(
    r'''"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"""'''
    r"|'''[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*'''"
    r"""|"[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*'|(\#[^\r\n]*)""",
    re.DOTALL,
)


@dataclass(slots=True)
class _Unit:
    """A piece of the program with one value: a statement's own source, or the header of a clause.

    `value` is None while nothing is known of it; `inherits` marks what has no event of its own, or not always.
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
        tree = parse(program)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return []
    source = _Source(program)
    recorded = sorted(set(executed_lines))
    root = _Unit(0, len(program), (0, 0), value=bool(recorded))
    _divide(root, tree, source)
    _evaluate(root, recorded)
    return _merge(root, source)


def line_spans(program: str) -> list[Span]:
    """Half-open, without line ends; one at the end of the program starts no line."""
    breaks = [match.span() for match in NEWLINE.finditer(program)]
    lines = list(zip([0, *(after for _, after in breaks)], [*(end for end, _ in breaks), len(program)], strict=True))
    return lines[:-1] if breaks and lines[-1][0] == len(program) else lines


def parse(program: str) -> ast.Module:
    """As ast.parse, without warnings: an odd escape in a program is no matter of this process."""
    if _NO_WARNINGS not in warnings.filters:  # `catch_warnings` is not for threads
        warnings.filterwarnings("ignore", module=_FILE)
    return ast.parse(program, _FILE)


def codeless_lines(program: str) -> set[int]:
    """Lines (from 1) that are blank or only a comment: none of them is ever executed. Of a program that compiles."""
    comments = {m.start(1) for m in _STRING_OR_COMMENT.finditer(program) if m.group(1) is not None}
    blank = (line for line in _BLANK_START.finditer(program))
    return {
        number
        for number, line in enumerate(blank, 1)
        if line.end() in comments or line.end() == len(program) or program[line.end()] in "\r\n"
    }


class _Source:
    """Positions of the syntax tree (line, UTF-8 byte) as character offsets, and where code and comments lie."""

    def __init__(self, program: str) -> None:
        self.text = program
        self.starts = [0, *(m.end() for m in NEWLINE.finditer(program))]
        self.comments = _comments(program, self.starts) if "#" in program else []
        self._ascii = program.isascii()

    def offset(self, line: int, column: int) -> int:
        start = self.starts[line - 1]
        if self._ascii:
            return start + column
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
            return self.before("@", self.offset(decorators[0].lineno, decorators[0].col_offset))
        if isinstance(node, ast.match_case):
            return self.before("case", self.offset(node.pattern.lineno, node.pattern.col_offset))
        return self.offset(node.lineno, node.col_offset)  # type: ignore[attr-defined]

    def last(self, node: ast.AST) -> int:
        while isinstance(node, ast.match_case):
            node = node.body[-1]
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

    def before(self, word: str, end: int) -> int:
        """The last place of `word` before `end` that is not in a comment."""
        place = self.text.rindex(word, 0, end)
        while (comment := bisect.bisect_right(self.comments, (place, len(self.text))) - 1) >= 0:
            start, behind = self.comments[comment]
            if place >= behind:
                break
            place = self.text.rindex(word, 0, start)
        return place


def _comments(program: str, starts: list[int]) -> list[Span]:
    """Of a program that parses. Comments inside a statement may be left out: they belong to it in any case."""
    if sys.version_info < (3, 12):
        return [m.span(1) for m in _STRING_OR_COMMENT.finditer(program) if m.group(1) is not None]
    found: list[Span] = []  # quotes nest inside f-strings: no expression finds their ends
    try:
        for token in tokenize.generate_tokens(io.StringIO(program, newline="").readline):
            if token.type == tokenize.COMMENT:
                start = starts[token.start[0] - 1] + token.start[1]
                found.append((start, start + len(token.string)))
    except (tokenize.TokenError, SyntaxError, IndexError):
        return found
    return found


def _divide(root: _Unit, tree: ast.Module, source: _Source) -> None:
    """Gives `root` the units of the whole program. Without recursion: a chain of `elif` nests as deep as it is long."""
    pending: list[tuple[_Unit, ast.AST]] = [(root, tree)]
    while pending:
        unit, node = pending.pop()
        header_end = unit.end
        for name in _SUITES:
            parts = getattr(node, name, None)
            if not parts or not isinstance(parts, list):
                continue
            units = [_own(part, source) for part in parts]
            pending.extend(zip(units, parts, strict=True))
            if name == "body":
                _put_docstring(units, node)
            if name in ("orelse", "finalbody") and not _is_elif(node, name, source):
                place = source.before("else" if name == "orelse" else "finally", units[0].start)
                units = [_Unit(place, units[-1].end, (0, 0), follows=True, suites=[units])]
            header_end = min(header_end, units[0].start)
            unit.suites.append(units)
        if unit.suites:
            unit.lines = (unit.lines[0], source.line(source.code_end(unit.start, header_end) - 1))


def _own(node: _Part, source: _Source) -> _Unit:
    start, end = source.first(node), source.last(node)
    if isinstance(node, ast.Global | ast.Nonlocal):
        return _Unit(start, end, _NO_LINES, inherits=True)
    unit = _Unit(start, end, (source.line(start), source.line(max(start, end - 1))))
    unit.inherits = isinstance(node, ast.AnnAssign) and node.value is None  # no event inside a function
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
            units[0].inherits, units[0].lines = True, _NO_LINES


def _evaluate(root: _Unit, recorded: list[int]) -> None:
    """Sets the value of everything below `root`, whose own value is known."""
    pending = [root]
    while pending:
        unit = pending.pop()
        for suite in unit.suites:
            for child in suite:
                if child.follows:
                    _evaluate_suite(child.suites[0], recorded, bool(unit.value))
                    child.value = child.suites[0][0].value
                    pending.extend(child.suites[0])
            _evaluate_suite(suite, recorded, bool(unit.value))
            pending.extend(child for child in suite if not child.follows)


def _evaluate_suite(suite: list[_Unit], recorded: list[int], parent: bool) -> None:
    for child in suite:
        if not child.follows:
            child.value = _any_between(recorded, *child.lines) or (None if child.inherits else False)
    _inherit(suite, parent)


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


def _merge(root: _Unit, source: _Source) -> list[Span]:
    """Paints the units outside in, settles what lies between them, and joins characters of equal value."""
    values, code = bytearray(len(source.text)), bytearray(len(source.text))
    units = _paint(root, values, code, source)
    settled = bytearray(code)
    for start, end in source.comments:
        settled[start:end] = b"\1" * (end - start)
    _settle_semicolons(values, code, settled, source)
    _settle_comments(values, code, units, source)
    _settle_rest(values, settled, source)
    return [match.span() for match in re.finditer(b"\1+", values)]


def _paint(root: _Unit, values: bytearray, code: bytearray, source: _Source) -> list[_Unit]:
    """Fills `values`, flags in `code` what a statement or header owns; returns the units in order of their start."""
    units: list[_Unit] = []
    pending = [child for suite in reversed(root.suites) for child in reversed(suite)]
    while pending:
        child = pending.pop()
        values[child.start : child.end] = bytes([bool(child.value)]) * (child.end - child.start)
        inner = child.suites[0][0].start if child.suites else child.end
        owned = source.code_end(child.start, inner)
        code[child.start : owned] = b"\1" * (owned - child.start)
        units.append(child)
        pending.extend(below for suite in reversed(child.suites) for below in reversed(suite))
    return units


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


def _settle_semicolons(values: bytearray, code: bytearray, settled: bytearray, source: _Source) -> None:
    """`;` goes with the statement before it."""
    place = source.text.find(";")
    while place >= 0:
        if not settled[place]:
            values[place], settled[place] = values[code.rindex(1, 0, place)], 1
        place = source.text.find(";", place + 1)


def _settle_rest(values: bytearray, settled: bytearray, source: _Source) -> None:
    """Everything else, blanks and `\\`, goes with what comes next."""
    for match in re.finditer(b"\0+", settled):
        start, end = match.span()
        if end < len(settled):
            values[start:end] = bytes([values[end]]) * (end - start)
    tail = len(source.text.rstrip())
    values[tail:] = bytes([values[tail - 1] if tail else 0]) * (len(values) - tail)
