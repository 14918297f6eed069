"""open-r1/codeforces: statements in parts, official tests, and checkers in Python where several answers are right."""

from typing import Any

from stepcoder.curriculum.data.readers.build import Entry, name_of, objects, rated, record, stdin_cases, text
from stepcoder.curriculum.data.readers.files import structured
from stepcoder.curriculum.data.readers.limits import limits
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse
from stepcoder.curriculum.data.readers.suites import TOKENS
from stepcoder.curriculum.stages.conditionals import parse
from stepcoder.executor.suite import Suite

COLUMNS = (
    "id", "title", "description", "input_format", "output_format", "interaction_format", "note", "examples",
    "official_tests", "input_mode", "time_limit", "memory_limit", "rating", "generated_checker",
)  # fmt: skip
# Its checkers are scripts: `checker.py INPUT EXPECTED OUTPUT` prints 1, or 0.
_SCRIPT = """\
import contextlib
import io
import sys

SCRIPT = compile({script!r}, "checker.py", "exec")


def check(input, output, expected):
    files = {{"input.txt": input, "expected.txt": expected, "output.txt": output}}

    def open_text(name, *_, **__):
        return io.StringIO(files[str(name)])

    sys.argv = ["checker.py", *files]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        exec(SCRIPT, {{"__name__": "__main__", "open": open_text}})
    said = printed.getvalue().split()
    return float(said[-1]) >= 1, " ".join(said)
"""
_PARTS = {"input_format": "Input", "output_format": "Output", "note": "Note"}


def open_r1_codeforces(entry: Entry, number: int) -> Record:
    if text(entry, "interaction_format", default="").strip():
        raise Refuse(Reason.INTERACTIVE)
    mode = text(entry, "input_mode", default="stdio")
    if mode != "stdio":
        raise Refuse(Reason.FILE_IO, f"`input_mode` is {mode!r:.60}")
    checker = text(entry, "generated_checker", default="")
    if checker.strip() and parse(checker) is None:
        raise Refuse(Reason.CHECKER, "`generated_checker` is no Python")
    examples, tests = _tests(entry, "examples"), _tests(entry, "official_tests")
    whole = examples + [test for test in tests if test not in examples]
    cases = stdin_cases([given for given, _ in whole], [wanted for _, wanted in whole])
    return record(
        id=f"open_r1_codeforces/{name_of(entry, number, 'id')}",
        source="open_r1_codeforces",
        level=rated(entry.get("rating")),
        statement=_statement(entry, examples),
        starter_code="",
        solutions=[],
        shown=len(examples),
        suite=Suite(
            "stdin",
            cases,
            compare=TOKENS,
            checker=_SCRIPT.format(script=checker) if checker.strip() else "",
            limits=limits(entry.get("time_limit"), entry.get("memory_limit")),
        ),
    )


def _tests(entry: Entry, name: str) -> list[tuple[Any, Any]]:
    found = objects(structured(entry.get(name)) or [])
    if not isinstance(found, list) or not all(isinstance(test, dict) for test in found):
        raise Refuse(Reason.BAD_TEST, f"`{name}` is no list of objects")
    return [(test.get("input"), test.get("output")) for test in found]


def _statement(entry: Entry, examples: list[tuple[Any, Any]]) -> str:
    parts = [text(entry, "description", default="")]
    for name, heading in _PARTS.items():
        if name == "note":
            parts += [f"Example\n\nInput\n{given}\nOutput\n{wanted}" for given, wanted in examples]
        if body := text(entry, name, default="").strip():
            parts.append(f"{heading}\n\n{body}")
    return "\n\n".join(parts)
