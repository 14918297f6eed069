"""A few entries of data sets, and files of JSON lines."""

import json
from pathlib import Path
from typing import Any

DOUBLE: dict[str, Any] = {
    "id": "double", "source": "test", "level": "introductory", "starter_code": "",
    "statement": "Give twice the number that is passed, also where it is negative or has very many digits.",
    "solution": "def f(x):\n    if x < 0:\n        return 2 * x\n    return x + x\n",
    "style": "call", "entry_point": "f",
    "tests": [{"input": [1], "output": 2}, {"input": [5], "output": 10}],
}  # fmt: skip
ECHO: dict[str, Any] = {
    "id": "echo", "source": "test", "level": "interview", "starter_code": "",
    "statement": "Read a line from standard input and print it on standard output without any change to it at all.",
    "solution": "print(input())\n", "style": "stdin", "tests": [{"input": "a b\r\n", "output": "a b"}],
}  # fmt: skip
APPS: dict[str, Any] = {
    "problem_id": 7, "question": "Double the number on standard input.", "difficulty": "interview", "starter_code": "",
    "solutions": json.dumps(["print(3 * int(input()))", "n = int(input())\nif n:\n    n += n\nprint(n)",
                             "print(2 * int(input()))"]),
    "input_output": json.dumps({"inputs": ["1\n"], "outputs": ["2\n"]}),
}  # fmt: skip


def write_lines(file: Path, *rows: Any) -> Path:
    file.write_bytes(b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows))
    return file


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
