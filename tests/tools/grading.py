"""Two problems, programs of every verdict for them, and the command that grades these."""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

DOUBLE = {
    "id": "double", "source": "test", "level": "introductory", "statement": "Twice x.", "starter_code": "",
    "solution": "def f(x):\n    return 2 * x\n", "style": "call", "entry_point": "f",
    "tests": [{"input": [1], "output": 2}, {"input": [5], "output": 10}],
}  # fmt: skip
ECHO = {
    "id": "echo", "source": "test", "level": "interview", "statement": "Print the input.", "starter_code": "",
    "solution": "print(input())\n", "style": "stdin", "tests": [{"input": "a b\n", "output": "a b\n"}],
}  # fmt: skip
PROGRAMS = {
    "double": [
        ("def f(x):\n    return 2 * x\n", "passed", 1.0),
        ("def f(x):\n    if x > 1:\n        return 2 * x\n    print('no')\n    return 0\n", "wrong_answer", -0.3),
        ("def f(x):\n    return 1 / 0\n", "runtime_error", -0.6),
        ("def f(x:\n", "compile_error", -1.0),
        ("f = lambda x: x + x", "passed", 1.0),
    ],
    "echo": [
        ("print(input())", "passed", 1.0),
        ("print('no')", "wrong_answer", -0.3),
        ("import sys\nsys.exit(3)", "runtime_error", -0.6),
        ("import sys\nsys.stdout.write(sys.stdin.read())", "passed", 1.0),
        ("print(1", "compile_error", -1.0),
    ],
}


def write_lines(file: Path, rows: list[Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def samples(count: int) -> list[dict[str, Any]]:
    """Programs for both problems in turn, each with a comment of its own."""
    rows = []
    for number in range(count):
        problem = ("double", "echo")[number % 2]
        program, _, _ = PROGRAMS[problem][number // 2 % 5]
        rows.append({"problem_id": problem, "program": f"{program}\n# {number}\n", "id": number, "model": "m"})
    return rows


def command(folder: Path, *words: str) -> list[str]:
    files = [
        "--problems",
        str(folder / "P.jsonl"),
        "--samples",
        str(folder / "S.jsonl"),
        "--out",
        str(folder / "R.jsonl"),
    ]
    return [sys.executable, "-m", "stepcoder", "grade", *files, "--workers", "2", *words]


def fresh(folder: Path, rows: list[Any]) -> Path:
    folder.mkdir(exist_ok=True)
    write_lines(folder / "P.jsonl", [DOUBLE, ECHO])
    write_lines(folder / "S.jsonl", rows)
    return folder
