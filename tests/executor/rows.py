"""Tables of programs, as texts in `tests/executor/tables`: a row begins with `=== name`, `---` divides its parts."""

from pathlib import Path

# What a program may put in place of the runner of a test's coroutines.
RUNNERS = (
    "asyncio.run = lambda *a: None",
    "asyncio.run = lambda c: c.close()",
    "asyncio.Runner.run = lambda *a, **k: None",
    "def run(c):\n    try: c.send(None)\n    except BaseException: pass\nasyncio.run = run",
)


def rows(table: str) -> list[tuple[str, list[str]]]:
    """(name, parts) of each row, a part without its last line end."""
    text = (Path(__file__).parent / "tables" / f"{table}.txt").read_text().removesuffix("\n")
    found = [row.partition("\n") for row in ("\n" + text).split("\n=== ")[1:]]
    return [(name, rest.split("\n---\n")) for name, _, rest in found]


def pairs(table: str) -> list[tuple[str, str]]:
    """(program, test) of a table whose rows are a program and its tests."""
    return [(program + "\n", test) for _, (program, *tests) in rows(table) for test in tests]
