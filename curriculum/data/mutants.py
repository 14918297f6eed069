"""Programs that differ from a given one in a single place: a constant or a comparison. Pure functions of the source.

Tests that a mutant survives did not look at that place. Some mutants are equivalent to the program, so a score
never reaches 1 on all problems.
"""

import ast
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stepcoder.curriculum.stages.conditionals import parse

_SWAPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """`line` of the original program; `change` in words."""

    source: str
    line: int
    change: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant, in the order of the syntax tree; none for a program that does not parse.

    Integers and floats grow by 1, texts by a character, True and False change places, a comparison becomes its
    neighbour (`<` and `<=`) or its opposite (`==` and `!=`). Docstrings, annotations, f-strings and the test of
    `__name__` stay as they are.
    """
    tree = parse(source)
    if tree is not None:
        yield from (edit(tree) for edit in list(_edits(tree)))


def one_mutant(source: str) -> Mutant | None:
    """One of the mutants, chosen by a checksum of the source; None where there is none."""
    tree = parse(source)
    edits = [] if tree is None else list(_edits(tree))
    if tree is None or not edits:
        return None
    return edits[zlib.crc32(source.encode("utf-8", "surrogatepass")) % len(edits)](tree)


def some_mutants(source: str, most: int) -> list[Mutant]:
    """At most `most` of the mutants, evenly spaced over the program, and only these are made."""
    tree = parse(source)
    edits = [] if tree is None else list(_edits(tree))
    if tree is None:
        return []
    count = min(most, len(edits))
    return [edits[number * len(edits) // count](tree) for number in range(count)]


def _edits(node: ast.AST) -> Iterator[Callable[[ast.Module], Mutant]]:
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params") or isinstance(node, ast.JoinedStr | ast.MatchValue):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _is_text(child) or _is_main_test(child):
                continue
            if isinstance(child, ast.Constant) and isinstance(child.value, int | float | str):
                yield _constant(child, child.value)
            elif isinstance(child, ast.Compare):
                yield from (_comparison(child, place) for place in range(len(child.ops)))
            yield from _edits(child)


def _constant(node: ast.Constant, value: int | float | str) -> Callable[[ast.Module], Mutant]:
    changed = not value if isinstance(value, bool) else value + "_" if isinstance(value, str) else value + 1

    def edit(tree: ast.Module) -> Mutant:
        node.value = changed
        try:
            return Mutant(ast.unparse(tree), node.lineno, f"{value!r:.40} became {changed!r:.41}")
        finally:
            node.value = value

    return edit


def _comparison(node: ast.Compare, place: int) -> Callable[[ast.Module], Mutant]:
    old = node.ops[place]

    def edit(tree: ast.Module) -> Mutant:
        before = ast.unparse(node)
        node.ops[place] = _SWAPPED[type(old)]()
        try:
            return Mutant(ast.unparse(tree), node.lineno, f"{before:.80} became {ast.unparse(node):.80}")
        finally:
            node.ops[place] = old

    return edit


def _is_text(node: ast.AST) -> bool:
    """A docstring, or a text that stands alone."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_main_test(node: ast.AST) -> bool:
    return isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and node.left.id == "__name__"
