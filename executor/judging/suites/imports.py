"""Puts what a module of tests calls pytest's and unittest's things by into one form: `pytest.NAME`, `unittest.NAME`."""

import ast

_ROOTS = ("pytest", "unittest")


class Canonical(ast.NodeTransformer):
    """Takes imports of both away (`import pytest as p`, `from pytest import mark`); what they bound is named in full.

    Imports of `__future__`, which have to come first, are kept in `first`. ValueError for parts of packages.
    """

    def __init__(self) -> None:
        self.first: list[str] = []
        self._bound: dict[str, str] = {}

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        for alias in node.names:
            root = alias.name.split(".")[0]
            if root in _ROOTS and root != alias.name:
                raise ValueError(f"`{ast.unparse(node)}` is not supported")
            if root in _ROOTS and alias.asname:
                self._bound[alias.asname] = root
        node.names = [alias for alias in node.names if alias.name not in _ROOTS]
        return node if node.names else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        if node.module == "__future__":
            self.first.append(ast.unparse(node))
            return None
        root = (node.module or "").split(".")[0]
        if root not in _ROOTS or node.level:
            return node
        if root != node.module or any(alias.name in ("*", "mock") for alias in node.names):
            raise ValueError(f"`{ast.unparse(node)}` is not supported")
        self._bound |= {alias.asname or alias.name: f"{root}.{alias.name}" for alias in node.names}
        return None

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and (full := self._bound.get(node.id)):
            return ast.copy_location(ast.parse(full, mode="eval").body, node)
        return node
