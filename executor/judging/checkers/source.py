"""The source of a problem's checker as it is compiled."""

import ast
from pathlib import Path

_HELPERS = Path(__file__).with_name("helpers.py").read_text()


def source(checker: str) -> str:
    """What is compiled: the helpers, and the checker below them. ValueError for one that cannot decide.

    Imports of `__future__` have to come first.
    """
    try:
        tree = ast.parse(checker.removeprefix("\ufeff"))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"the checker does not compile: {error}") from error
    if not any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body):
        raise ValueError("the checker has no function check(input, output, expected)")
    first = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    tree.body = [node for node in tree.body if node not in first]
    return "\n".join([*map(ast.unparse, first), _HELPERS, ast.unparse(tree)])
