"""Guarded code whose asserts stand in coroutines: a program may put something else in place of `asyncio.run`."""

import ast

_NAME = "_ended"


def watched(code: str) -> str:
    """The code of a test, which now fails where no coroutine of its own with an assert came to its end."""
    if "async def" not in code:
        return code
    tree = ast.parse(code)
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    marks = _Marks(named)
    tree = marks.visit(tree)
    if not marks.found:
        return code
    start = 0
    while start < len(tree.body) and isinstance(tree.body[start], ast.ImportFrom | ast.Expr):
        start += 1
    tree.body[start:start] = ast.parse(f"{_NAME} = 0").body
    tree.body += ast.parse(f"assert {_NAME}, 'a coroutine of the test did not come to its end'").body
    return ast.unparse(ast.fix_missing_locations(tree))


class _Marks(ast.NodeTransformer):
    def __init__(self, named: set[str]) -> None:
        self.found = False
        self._named = named
        self._marked = [False]  # by the functions around

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        marked = node.name in self._named and any(isinstance(part, ast.Assert) for part in ast.walk(node))
        self._within(node, marked)
        if marked:
            self.found = True
            node.body = [ast.Global([_NAME]), *node.body, *_mark()]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._within(node, False)

    def visit_Return(self, node: ast.Return) -> ast.AST | list[ast.stmt]:
        return [*_mark(), node] if self._marked[-1] else node

    def _within(self, node: ast.FunctionDef | ast.AsyncFunctionDef, marked: bool) -> ast.AST:
        self._marked.append(marked)
        self.generic_visit(node)
        self._marked.pop()
        return node


def _mark() -> list[ast.stmt]:
    return ast.parse(f"{_NAME} = {_NAME} + 1").body
