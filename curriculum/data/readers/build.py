"""From the fields of a data set's entry to a problem; each step refuses what cannot judge a program."""

import ast
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any, get_args

from stepcoder.curriculum.data.readers.files import decoded, entries
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Pending, Reason, Record, Refuse, Rejected
from stepcoder.curriculum.problems.problem import Level, Problem
from stepcoder.curriculum.problems.sources import defaults
from stepcoder.curriculum.stages.conditionals import parse
from stepcoder.executor.grading.fences import blocks
from stepcoder.executor.judging.plan import plan
from stepcoder.executor.suite import Case, Suite

Entry = dict[str, Any]


def read_entries(
    path: Location, make: Callable[[Entry, int], Record], columns: Collection[str] | None = None
) -> Iterator[Record | Rejected]:
    """The problems that `make` gets out of a file's entries, which it is told with their number from 0.

    `columns`: what of a table `make` asks for; none for all.
    """
    yield from collect(entries(path, columns), make)


def collect(found: Iterable[tuple[str, Any]], make: Callable[[Entry, int], Record]) -> Iterator[Record | Rejected]:
    """A Record or a Rejected for each entry, in order; an id that comes again is refused."""
    seen: set[str] = set()
    for number, (where, entry) in enumerate(found):
        try:
            if isinstance(entry, Refuse):
                raise entry
            record = _made(make, entry, number)
            if record.problem.id in seen:
                raise Refuse(Reason.DUPLICATE_ID, record.problem.id)
        except Refuse as refusal:
            yield Rejected(refusal.reason, where, refusal.detail)
        else:
            seen.add(record.problem.id)
            yield record


def _made(make: Callable[[Entry, int], Record], entry: Entry, number: int) -> Record:
    try:
        return make(entry, number)
    except RecursionError:
        raise Refuse(Reason.TOO_LARGE, "a value is nested too deeply") from None


def record(
    id: str,
    source: str,
    level: Level,
    statement: str,
    starter_code: str,
    solutions: list[str],
    suite: Suite,
    pending: Pending | None = None,
    wrapped: bool = False,
    shown: int = 0,
) -> Record:
    """Refuse for an empty statement, or a suite that cannot judge. `solutions` may be empty.

    The first `shown` tests are in the statement. A suite that names no comparison is compared as its source does
    (curriculum.problems.sources).
    """
    if not statement.strip():
        raise Refuse(Reason.NO_STATEMENT)
    if pending and not solutions:
        raise Refuse(Reason.NO_SOLUTION, "it would give the expected outputs")
    usual = defaults(source, suite.style, suite.entry_point)
    kind = usual.compare if suite.compare.type == "strict" else suite.compare.type
    suite = replace(suite, compare=replace(suite.compare, type=kind), prelude=suite.prelude or usual.prelude)
    try:
        plan(suite)
    except ValueError as error:
        raise Refuse(Reason.BAD_TEST, str(error)) from error
    problem = Problem(
        id, source, level, statement, starter_code, solutions[0] if solutions else "", suite, tuple(range(shown))
    )
    return Record(problem, tuple(solutions), pending, wrapped)


def text(entry: Entry, *names: str, default: str | None = None) -> str:
    """The first of the named fields that is there. Refuse where none is, or where it is no text."""
    for name in names:
        if entry.get(name) is not None:
            if not isinstance(entry[name], str):
                raise Refuse(Reason.MISSING_FIELD, f"`{name}` is {type(entry[name]).__name__}, not a text")
            return entry[name]
    if default is None:
        raise Refuse(Reason.MISSING_FIELD, f"`{names[0]}`")
    return default


def name_of(entry: Entry, number: int, *fields: str) -> str:
    """What an entry is called: the first of these fields that is filled, else its number. Refuse for other types."""
    for field in fields:
        value = entry.get(field)
        if isinstance(value, float):  # of a column of integers in which some are missing
            value = int(value) if value.is_integer() else None if math.isnan(value) else value
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LONGEST_NUMBER:
            return str(value)
        if value not in (None, "") and not isinstance(value, str):
            raise Refuse(Reason.MISSING_FIELD, f"`{field}` is {told(value)}, neither a text nor a number")
    return str(number)


_LONGEST_NUMBER = 10**18


def told(value: Any) -> str:
    """A value for a person, however large it is."""
    if isinstance(value, int) and abs(value) >= _LONGEST_NUMBER:
        return "a huge integer"
    return f"{value!r:.60}" if value is None or isinstance(value, str | int | float) else type(value).__name__


def graded(level: Any) -> Level:
    """Refuse for what is not one of the three levels."""
    for known in get_args(Level):
        if level == known:
            return known
    raise Refuse(Reason.MISSING_FIELD, f"`difficulty` is {told(level)}")


def called(level: Any) -> Level:
    """The level of a difficulty in other words, in any case, or of a number; `competition` for what nobody graded."""
    if isinstance(level, int | float) and not isinstance(level, bool):
        return rated(level) if level >= _LEAST_RATING else counted(level)
    word = re.sub("[ -]", "_", level.strip().lower()).removesuffix("_difficulty") if isinstance(level, str) else "none"
    if word not in _WORDS or not isinstance(level, str | None):
        raise Refuse(Reason.MISSING_FIELD, f"`difficulty` is {told(level)}")
    return _WORDS[word]


_WORDS: dict[str, Level] = {
    "introductory": "introductory", "very_easy": "introductory", "easy": "introductory",
    "interview": "interview", "medium": "interview", "medium_hard": "interview",
    "competition": "competition", "hard": "competition", "very_hard": "competition",
    "unknown": "competition", "": "competition", "none": "competition",
}  # fmt: skip


def rated(rating: Any) -> Level:
    """The level of a Codeforces rating."""
    if not isinstance(rating, int | float):
        return "competition"
    return "introductory" if rating <= _EASY_RATING else "interview" if rating <= _MEDIUM_RATING else "competition"


_LEAST_RATING, _EASY_RATING, _MEDIUM_RATING = 100, 1200, 1900


def counted(difficulty: Any) -> Level:
    """The level of a number as CodeContests has it: easy, medium, ... from 1, a contest's problems A, B, ... from 7."""
    if difficulty in (1, 7, 8):
        return "introductory"
    return "interview" if difficulty in (2, 9, 10) else "competition"


def solutions(value: Any) -> list[str]:
    """The solutions that are texts and not blank, each once, in order; from a text or a list."""
    found = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return list(dict.fromkeys(s for s in found if isinstance(s, str) and s.strip()))


def unfenced(code: str) -> str:
    """The last fenced block of an answer, or the text itself. Refuse where it names another language than Python."""
    text = code.replace("\r\n", "\n")
    found = list(blocks(text))
    if not found:
        return code
    if found[-1].language not in PYTHON:
        raise Refuse(Reason.LANGUAGE, f"the solution is written in {found[-1].language}")
    return found[-1].program(text)


def programs(codes: list[str]) -> list[str]:
    """Several answers without their fences, those in Python. Refuse where all name another language."""
    found, refusal = [], None
    for code in codes:
        try:
            found.append(unfenced(code))
        except Refuse as other:
            refusal = other
    if refusal and not found:
        raise refusal
    return solutions(found)


PYTHON = ("", "python", "python3", "py", "py3", "pypy3")


def asked_of(chat: Any) -> str:
    """The last message of the user, or of whoever speaks last where nobody is called so."""
    if isinstance(chat, str):
        if not chat.lstrip().startswith("[{"):
            return chat
        try:
            chat = decoded(written := chat)
        except Refuse:
            return written
    chat = objects(chat)
    turns = [turn for turn in chat if isinstance(turn, dict)] if isinstance(chat, list) else []
    turns = [turn for turn in turns if turn.get("role") == "user"] or turns
    content = turns[-1].get("content") if turns else None
    if isinstance(content, list):  # parts of a message
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if not isinstance(content, str):
        raise Refuse(Reason.NO_STATEMENT, "no message of a user")
    return content


def objects(value: Any) -> Any:
    """A list of objects, also where a table keeps it as an object of lists; anything else as it is."""
    if not isinstance(value, dict) or not all(isinstance(part, list) for part in value.values()):
        return value
    if len({len(part) for part in value.values()}) != 1:
        return value
    return [dict(zip(value, parts, strict=True)) for parts in zip(*value.values(), strict=True)]


def pairs(inputs: Any, outputs: Any) -> list[tuple[Any, Any]]:
    """Inputs with their outputs, from two lists that belong together."""
    if not isinstance(inputs, list) or not inputs:
        raise Refuse(Reason.NO_TESTS, "no list of inputs")
    if not isinstance(outputs, list) or not outputs:
        raise Refuse(Reason.MISSING_OUTPUT, "no list of outputs")
    if len(inputs) != len(outputs):
        raise Refuse(Reason.COUNT_MISMATCH, f"{len(inputs)} inputs, {len(outputs)} outputs")
    return list(zip(inputs, outputs, strict=True))


def stdin_cases(inputs: Any, outputs: Any) -> tuple[Case, ...]:
    """Tests of text in, text out; a list of lines is put together."""
    cases = []
    for given, wanted in pairs(inputs, outputs):
        if given is None or wanted is None:
            raise Refuse(Reason.MISSING_INPUT if given is None else Reason.MISSING_OUTPUT)
        cases.append(Case(_joined(given), _joined(wanted)))
    return tuple(cases)


def call_cases(inputs: Any, outputs: Any) -> tuple[Case, ...]:
    """Tests of arguments in, value out."""
    cases = []
    for given, wanted in pairs(inputs, outputs):
        if not isinstance(given, list):
            raise Refuse(Reason.BAD_TEST, f"an input is {type(given).__name__}, not a list of arguments")
        if not (_finite(given) and _finite(wanted)):
            raise Refuse(Reason.BAD_TEST, "a value is infinite or not a number")
        cases.append(Case(given, wanted))
    return tuple(cases)


def wrapper(solution: str, starter_code: str = "") -> str | None:
    """The function that holds a whole program: `def NAME():` which nothing calls, in a program that does no more.

    None where the program does something by itself, or where there is no such function.
    """
    tree = parse(solution)
    if tree is None or any(not isinstance(node, _PASSIVE) and not _is_text(node) for node in tree.body):
        return None
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and _no_parameters(node)]
    return next((name for name in names if f"def {name}(" in starter_code), names[-1] if names else None)


_PASSIVE = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)


def _no_parameters(node: ast.FunctionDef) -> bool:
    arguments = node.args
    count = len(arguments.args) + len(arguments.posonlyargs) + len(arguments.kwonlyargs)
    return count == 0 and not arguments.vararg and not arguments.kwarg


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _joined(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    if not isinstance(value, str):
        raise Refuse(Reason.BAD_TEST, f"a text was expected, not {type(value).__name__}")
    return value


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
