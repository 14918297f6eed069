"""The source of a problem's checker as it is compiled."""

import ast
from pathlib import Path

_HELPERS = Path(__file__).with_name("helpers.py").read_text()


def source(checker: str) -> str:
    """What is compiled: the helpers, and the checker below them. ValueError for one that cannot decide."""
    try:
        body = ast.parse(checker).body
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"the checker does not compile: {error}") from error
    if not any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in body):
        raise ValueError("the checker has no function check(input, output, expected)")
    return f"{_HELPERS}\n\n{checker}\n"
