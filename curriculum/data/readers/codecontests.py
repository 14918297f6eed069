"""CodeContests (arXiv 2203.07814), CodeContests+ (arXiv 2506.05817) and CodeContests-O: standard input and output.

Columns: `name`, `description`, `difficulty`, `solutions` and three kinds of tests, each as parallel lists, a list of
objects or either as a text. `+` has `title`, `correct_submissions`, `test_cases` and a checker in C++, which is kept
where it is one that testlib comes with. `-O` has `corner_cases`, each text in an object, and no solutions. Flat: `id`,
`statement`, `solution`, `inputs`, `outputs`.
"""

import re
from dataclasses import replace
from typing import Any

from stepcoder.curriculum.data.readers.build import (
    Entry,
    counted,
    name_of,
    objects,
    pairs,
    record,
    solutions,
    stdin_cases,
    text,
    wrapper,
)
from stepcoder.curriculum.data.readers.files import decoded_list, structured
from stepcoder.curriculum.data.readers.limits import limits
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse
from stepcoder.curriculum.problems.problem import Level
from stepcoder.executor.suite import Compare, Limits, Suite

_PYTHON3, _PYTHON2 = 3, "PYTHON"  # of the column `language`, the second where it has names
_NAMED = ("3", "python3", "py3", "pypy3", "python")
_CODEFORCES = re.compile(r"\d+_([A-Za-z])(?![A-Za-z])")  # a name begins with the contest and the problem's letter
_A = 7  # of the column `difficulty`


COLUMNS = (
    "id", "name", "title", "statement", "description", "difficulty", "solution", "solutions", "correct_submissions",
    "inputs", "outputs", "public_tests", "private_tests", "generated_tests", "test_cases", "corner_cases", "checker",
    "input_file", "output_file", "time_limit", "memory_limit", "memory_limit_bytes", "is_interactive",
)  # fmt: skip
_TESTS = ("public_tests", "private_tests", "generated_tests", "test_cases", "corner_cases")


def codecontests(entry: Entry, number: int) -> Record:
    for name in ("input_file", "output_file"):
        if text(entry, name, default="").strip():
            raise Refuse(Reason.FILE_IO, f"`{name}` is {entry[name]!r:.60}")
    if entry.get("is_interactive"):
        raise Refuse(Reason.INTERACTIVE)
    found = [
        code
        for field in ("solution", "solutions", "correct_submissions")
        for code in solutions(_python3(decoded_list(entry.get(field))))
    ]
    name = name_of(entry, number, "id", "name")
    entry_point = wrapper(found[0]) if found else None
    public, tests = _public(entry), _tests(entry)
    cases = stdin_cases([given for given, _ in tests], [wanted for _, wanted in tests])
    suite = Suite("stdin", cases, entry_point)
    return record(
        id=f"codecontests/{name}",
        source="codecontests",
        level=_level(name, entry.get("difficulty")),
        statement=text(entry, "statement", "description", default=""),
        starter_code="",
        solutions=found,
        suite=replace(checked(suite, text(entry, "checker", default="")), limits=_limits(entry)),
        shown=public,
    )


def _limits(entry: Entry) -> Limits:
    """`+` counts milliseconds and MB, CodeContests a duration and bytes."""
    memory, size = entry.get("memory_limit"), 1.0
    if memory is None:
        memory, size = entry.get("memory_limit_bytes"), 2.0**-20
    return limits(entry.get("time_limit"), memory, seconds=1e-3, mebibytes=size)


def _python3(value: Any) -> Any:
    """The programs in Python 3 of parallel lists, of a list of objects, or of what names no language."""
    if isinstance(value, dict):
        value = objects(value)
    if isinstance(value, dict):
        raise Refuse(Reason.COUNT_MISMATCH, "as many languages as solutions were expected")
    if not isinstance(value, list):
        return value
    return [_code(program) if isinstance(program, dict) else program for program in value]


def _code(program: dict[str, Any]) -> str | None:
    language = program.get("language", _PYTHON3)
    known = language == _PYTHON3 or (isinstance(language, str) and language.lower() in _NAMED)
    known = known and language != _PYTHON2
    return (program.get("solution") or program.get("code")) if known else None


def _public(entry: Entry) -> int:
    """How many of the tests, which come first, are public."""
    tests = None if "inputs" in entry else structured(entry.get("public_tests"))
    tests = tests.get("input") if isinstance(tests, dict) else tests
    return len(tests) if isinstance(tests, list) else 0


def _tests(entry: Entry) -> list[tuple[Any, Any]]:
    """All kinds of tests, whatever form each is in."""
    if "inputs" in entry:
        return pairs(decoded_list(entry["inputs"]), decoded_list(entry.get("outputs")))
    found: list[tuple[Any, Any]] = []
    for name in _TESTS:
        tests = structured(entry.get(name))
        if isinstance(tests, dict) and tests.keys() <= {"input", "output"}:
            given, wanted = tests.get("input") or [], tests.get("output") or []
            found += pairs(given, wanted) if given or wanted else []
        elif isinstance(tests, list) and all(isinstance(test, dict) for test in tests):
            found += [(_text_of(test.get("input"), "stdin"), _text_of(test.get("output"), "stdout")) for test in tests]
        elif tests is not None:
            raise Refuse(Reason.NOT_KEPT, f"`{name}` is neither parallel lists nor a list of tests")
    if not found:
        raise Refuse(Reason.NO_TESTS)
    return found


def _text_of(value: Any, name: str) -> Any:
    """The one text of an object such as `{"stdin": "1"}`; anything else as it is."""
    said = {key for key, part in value.items() if part is not None} if isinstance(value, dict) else set()
    return value[name] if said == {name} else value


def checked(suite: Suite, checker: str) -> Suite:
    """The suite with what a checker in C++ compares, where it is one of testlib's own. Refuse for any other.

    Many keep the name of the one that they were made from: those that look at the input, or put in order, are others.
    """
    if not checker.strip():
        return suite
    named = re.search(r'setName\(\s*"([^"]*)"', checker)
    name = named[1] if named else ""
    compare = next((compare for start, compare in _TESTLIB.items() if name.startswith(start)), None)
    error = re.search(r"\bEPS\s*=\s*([0-9.]+(?:[eE]-?[0-9]+)?)", checker)
    if re.search("absolute or relative +error", name) and error:
        compare = Compare("tokens", float(error[1]))
    if compare is None or _OWN.search(checker):
        raise Refuse(Reason.CHECKER, f"in C++: {name}" if name else "in C++")
    return replace(suite, compare=compare)


_OWN = re.compile(r"\binf\b|\bsort\b|\b\w*(?:set|map)\s*<")
# The names that testlib's checkers give themselves: wcmp; ncmp, icmp, hcmp; fcmp; yesno, nyesno.
_TESTLIB = {
    "compare sequences of tokens": Compare("tokens", 0.0),
    "compare ordered sequences of signed int": Compare("tokens", 0.0),
    "compare two signed": Compare("tokens", 0.0),
    "compare files as sequence of lines": Compare("lines"),
    "compare two sequences of lines": Compare("lines"),
    "multiple YES/NO (case insensitive)": Compare("yesno"),
    "YES or NO (case insensitive)": Compare("yesno"),
}


def _level(name: str, difficulty: Any) -> Level:
    """Codeforces: problems A and B, C and D, later ones. Others by the column; `competition` for what nobody graded."""
    found = _CODEFORCES.match(name)
    if found:
        difficulty = _A + "abcdefghijklmnopqrstuvwxyz".index(found[1].lower())
    return counted(difficulty)
