"""Imports go one way: executor <- curriculum <- rollout <- learner <- deploy. Exits 1 naming each that does not."""

import ast
import sys
from pathlib import Path

ORDER = ("executor", "curriculum", "rollout", "learner", "deploy")
ROOT = Path(__file__).resolve().parents[2]


def imported(tree: ast.Module) -> list[tuple[int, str]]:
    """(line, folder of this project) of every import of it, wherever in the file it stands.

    Where a folder is imported without its package (`import executor`), two copies of it would run: it has the name "".
    """
    modules: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    words = [(line, [*name.split("."), ""]) for line, name in modules]
    ours = [(line, parts[1]) for line, parts in words if parts[0] == "stepcoder" and parts[1] in ORDER]
    return ours + [(line, "") for line, parts in words if parts[0] in ORDER]


def violations(root: Path = ROOT) -> list[str]:
    """One line for each import of a package to the right."""
    found = []
    for rank, package in enumerate(ORDER):
        for file in sorted((root / package).rglob("*.py")):
            for line, name in imported(ast.parse(file.read_text(encoding="utf-8"))):
                if not name:
                    found.append(f"{file.relative_to(root)}:{line}: import it as stepcoder.NAME")
                elif ORDER.index(name) > rank:
                    found.append(f"{file.relative_to(root)}:{line}: {package} must not import {name}")
    return found


if __name__ == "__main__":
    problems = violations()
    print("\n".join(problems) or "imports go one way")
    sys.exit(bool(problems))
