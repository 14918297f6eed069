"""Imports go one way: executor <- curriculum <- rollout <- learner <- deploy. Exits 1 naming each that does not."""

import ast
import sys
from pathlib import Path

ORDER = ("executor", "curriculum", "rollout", "learner", "deploy")
ROOT = Path(__file__).resolve().parent.parent


def imported(tree: ast.Module) -> list[tuple[int, str]]:
    """(line, top-level name) of every absolute import, wherever in the file it stands."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name.split(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.lineno, node.module.split(".")[0]))
    return found


def violations(root: Path = ROOT) -> list[str]:
    """One line for each import of a package to the right."""
    found = []
    for rank, package in enumerate(ORDER):
        for file in sorted((root / package).rglob("*.py")):
            for line, name in imported(ast.parse(file.read_text(encoding="utf-8"))):
                if name in ORDER and ORDER.index(name) > rank:
                    found.append(f"{file.relative_to(root)}:{line}: {package} must not import {name}")
    return found


if __name__ == "__main__":
    problems = violations()
    print("\n".join(problems) or "imports go one way")
    sys.exit(bool(problems))
