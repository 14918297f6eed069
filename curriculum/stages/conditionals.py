"""The conditional statements of a solution: the places where a prefix may be cut.

Invariant: `Span.line` is the first line of the logical line on which the conditional
starts, so that the text before it always consists of whole logical lines.
Source: arXiv 2402.01391, section on CCCS: `e = [(st, en), ...]`.
"""

import ast
import io
import re
import tokenize
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from stepcoder.curriculum.config import ConditionalKind

# Line ends as Python's own tokenizer sees them; `str.splitlines` also breaks at form feeds and the like.
_LINE_END = re.compile(r"\r\n|\r|\n")

_IF = (ast.If,)
_DEFAULT = (*_IF, ast.For, ast.AsyncFor, ast.While, ast.Match)
_EXTENDED = (*_DEFAULT, ast.Try, ast.TryStar, ast.IfExp)
_KINDS: dict[ConditionalKind, tuple[type[ast.AST], ...]] = {
    "if_only": _IF,
    "default": _DEFAULT,
    "extended": _EXTENDED,
}
# Where a node keeps statements: all that `if_only` and `default` look at, an eighth of a tree's nodes.
_SUITES = ("body", "orelse", "finalbody", "handlers", "cases")
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """One conditional: characters [start, end) of the solution; `line` (1-based) is where a prefix before it ends."""

    start: int
    end: int
    line: int


def line_starts(text: str) -> list[int]:
    """Character offset of the start of each line, as Python counts lines; line i (1-based) is at index i - 1."""
    return [0, *(match.end() for match in _LINE_END.finditer(text))]


@lru_cache(maxsize=1)
def parse(solution: str) -> ast.Module | None:
    """The syntax tree, or None for what this Python cannot parse (Python 2, bad indents, NUL or lone surrogates).

    It is kept for the next call: only read it. A byte order mark at the start, which a file may have and a string may
    not, is no part of it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's code are not our user's business
        try:
            return ast.parse(solution.removeprefix(_BOM))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def conditionals(solution: str, kind: ConditionalKind = "default") -> list[Span]:
    """Conditionals of `solution` by start; [] if there are none or it does not parse. An `elif` starts at its keyword.

    A ternary or comprehension condition (kind `extended`) spans its expression; several may share a line.
    """
    tree = parse(solution)
    if tree is None:
        return []
    text = solution.removeprefix(_BOM)
    shift = len(solution) - len(text)
    starts = line_starts(text)
    spans = []
    logical: list[int] = []
    for node in ast.walk(tree) if kind == "extended" else _statements(tree):
        if not isinstance(node, ast.stmt | ast.expr) or not _counts(node, kind):
            continue
        start = _offset(text, starts, node.lineno, node.col_offset)
        end = _offset(text, starts, node.end_lineno or node.lineno, node.end_col_offset or 0)
        line = node.lineno
        if not (isinstance(node, ast.stmt) and _begins_line(text, starts, line, start)):
            logical = logical or _logical_lines(text)
            line = logical[max(bisect_right(logical, line) - 1, 0)]
        spans.append(Span(shift + start, shift + end, line))
    return sorted(spans)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements of a tree, with the `except` and `case` clauses that hold some; expressions are left out."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        for suite in _SUITES:
            children = getattr(node, suite, ())
            yield from children
            waiting += children


def _counts(node: ast.AST, kind: ConditionalKind) -> bool:
    if isinstance(node, _KINDS[kind]):
        return True
    comprehension = isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp)
    return kind == "extended" and comprehension and any(part.ifs for part in node.generators)


def _offset(text: str, starts: list[int], line: int, column: int) -> int:
    """Character offset of an `ast` position, whose columns count UTF-8 bytes."""
    start = starts[line - 1]
    head = text[start : start + column]
    if head.isascii():
        return start + len(head)
    end = starts[line] if line < len(starts) else len(text)
    return start + len(text[start:end].encode()[:column].decode())


def _begins_line(text: str, starts: list[int], line: int, start: int) -> bool:
    """Whether only indent precedes a statement and no backslash joins its line to the one above: the common case."""
    if text[starts[line - 1] : start].strip():
        return False
    return line == 1 or not text[starts[line - 2] : starts[line - 1]].rstrip("\r\n").endswith("\\")


def _logical_lines(solution: str) -> list[int]:
    """First physical line of each logical line, ascending; [1] where the tokenizer refuses what the parser took."""
    skip = {tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.NL, tokenize.ENCODING}
    first: list[int] = []
    fresh = True
    lines = _LINE_END.sub("\n", solution).split("\n")
    try:
        for token in tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline):
            if token.type == tokenize.NEWLINE:
                fresh = True
            elif fresh and token.type not in skip:
                fresh = False
                row = token.start[0]
                while row > 1 and lines[row - 2].strip() == "\\":  # a lone backslash makes no token
                    row -= 1
                first.append(row)
    except (tokenize.TokenError, SyntaxError):
        return [1]
    return first
