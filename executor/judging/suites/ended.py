"""Guarded code whose asserts stand in coroutines: a program may put something else in place of `asyncio.run`.

So what a coroutine of the test says runs within `_to_its_end`, and the test requires that one came to its end.
"""

import ast
from pathlib import Path

SUPPORT = (Path(__file__).parent / "support" / "coroutines.py").read_text()
REQUIRED = "_require_end()"


def watched(code: str) -> str:
    """The code of a test, which now fails where no coroutine of its own with an assert came to its end."""
    if "async def" not in code:
        return code
    tree = ast.parse(code)
    if not marked(tree):
        return code
    start = 0
    while start < len(tree.body) and isinstance(tree.body[start], ast.ImportFrom | ast.Expr):
        start += 1
    tree.body[start:start] = ast.parse(SUPPORT).body
    return f"{ast.unparse(ast.fix_missing_locations(tree))}\n{REQUIRED}\n"


def marked(tree: ast.Module) -> set[str]:
    """The coroutines whose end counts now: those with an assert that the code says the name of."""
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef) and node.name in named]
    found = [node for node in found if any(map(_asserts, ast.walk(node)))]
    for node in found:
        mark(node)
    return {node.name for node in found}


def _asserts(node: ast.AST) -> bool:
    return isinstance(node, ast.Assert) or getattr(node, "attr", "").startswith("assert")


def mark(node: ast.AsyncFunctionDef) -> None:
    """A return counts as the end, an exception does not."""
    within = ast.parse("with _to_its_end: pass").body[0]
    assert isinstance(within, ast.With)
    within.body, node.body = node.body, [within]


def left_to(coroutines: set[str], test: ast.AST) -> bool:
    """Whether a test that is none itself hands to one of these what it asks, and catches nothing that it raises."""
    named = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    return not coroutines.isdisjoint(named) and not _catches(test)


def _catches(node: ast.AST) -> bool:
    match node:
        case ast.Try() | ast.Name("_raises") | ast.Attribute(attr="assertRaises" | "assertRaisesRegex"):
            return True
    return any(_catches(part) for part in ast.iter_child_nodes(node) if not isinstance(part, ast.AsyncFunctionDef))
