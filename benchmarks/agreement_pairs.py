"""Pairs of a program and a problem for benchmarks.agreement: solutions, mutants of them, and answers in other forms.

A form is a program that knows the answer to each input of its problem and gives it changed: with other blanks, other
numbers, another type. All judges see the same pairs; the same data gives the same pairs.
"""

import ast
import json
import math
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from stepcoder.curriculum.data.mutants import mutants
from stepcoder.curriculum.data.readers import reader
from stepcoder.curriculum.data.readers.record import Record
from stepcoder.executor.judging.asserts import Unsupported, constant

TESTS = 6  # of a problem, at most
_LARGEST = 20_000  # characters of a problem's tests


@dataclass(frozen=True, slots=True)
class Problem:
    """Tests that every judge understands. `entry`: a function or `Solution().method`; None: standard input.

    `inputs`: texts, or lists of arguments. `plain`: the values are those that JSON has.
    """

    id: str
    solution: str
    entry: str | None
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    plain: bool = True


@dataclass(frozen=True, slots=True)
class Pair:
    """`kind`: solution, or what was changed."""

    problem: Problem
    kind: str
    program: str

    @property
    def name(self) -> str:
        return f"{self.problem.id}: {self.kind}"


def text_problems(data: Path) -> list[Problem]:
    """Those that read standard input."""
    files = (("apps", "apps_samples"), ("codecontests", "codecontests.jsonl.gz"))
    found = (made for kind, file in files for record in _records(kind, data / file) if (made := _text_problem(record)))
    return list(found)


def value_problems(data: Path, methods: int = 0) -> list[Problem]:
    """Those that ask for a function. `methods`: as many methods of a class, and functions with JSON's values only."""
    functions = [made for file in ("mbpp.jsonl.gz", "HumanEval.jsonl.gz")
                 for record in _records(file.partition(".")[0].lower(), data / file)
                 if (made := _assert_problem(record))]  # fmt: skip
    if not methods:
        return functions
    calls = [made for kind, file in (("apps", "apps_samples"), ("leetcode", "leetcode-v0.2.0-train.jsonl.gz"))
             for record in _records(kind, data / file) if (made := _call_problem(record)) and made.plain]  # fmt: skip
    both = zip(calls[:methods], (problem for problem in functions if problem.plain), strict=False)
    return [problem for pair in both for problem in pair]


def _records(kind: str, path: Path) -> Iterator[Record]:
    yield from (entry for entry in reader(kind)(path) if isinstance(entry, Record))


def _text_problem(record: Record) -> Problem | None:
    suite = record.problem.suite
    if suite.style != "stdin":
        return None
    return _problem(record, None, [(case.input, case.output) for case in suite.cases])


def _call_problem(record: Record) -> Problem | None:
    suite = record.problem.suite
    if suite.style != "call" or suite.answer is not None or "Node" in record.problem.solution:
        return None
    pairs = [([*case.input, *case.keywords.values()], case.output) for case in suite.cases]
    return _problem(record, suite.entry_point, pairs)


def _assert_problem(record: Record) -> Problem | None:
    """Of asserts that compare a call with a constant; the others are left out."""
    found: list[tuple[str, list[Any], Any]] = []
    for case in record.problem.suite.cases:
        body = ast.parse(case.input).body if isinstance(case.input, str) else []
        match body[-1:]:
            case [ast.Assert(test=ast.Compare(
                left=ast.Call(func=ast.Name(name), args=args, keywords=[]), ops=[ast.Eq()], comparators=[wanted]
            ))]:  # fmt: skip
                try:
                    found.append((name, [constant(arg) for arg in args], constant(wanted)))
                except Unsupported:
                    continue
    names = {name for name, _, _ in found}
    return _problem(record, names.pop(), [(args, wanted) for _, args, wanted in found]) if len(names) == 1 else None


def _problem(record: Record, entry: str | None, pairs: list[tuple[Any, Any]]) -> Problem | None:
    pairs = [pair for pair in pairs if len(repr(pair)) <= _LARGEST // TESTS][:TESTS]
    known = {repr(given) for given, _ in pairs}
    if not pairs or len(known) < len(pairs):
        return None
    inputs, outputs = zip(*pairs, strict=True)
    return Problem(record.problem.id, record.problem.solution, entry, inputs, outputs, _plain([inputs, outputs]))


def _plain(pairs: list[Any]) -> bool:
    """Whether JSON gives the same values back."""
    given = [list(part) for part in pairs]
    try:
        return json.loads(json.dumps(given)) == given
    except (TypeError, ValueError):
        return False


def dealt(problems: Sequence[Problem], count: int) -> list[Pair]:
    """`count` pairs, one of each problem in turn."""
    streams = [_pairs(problem) for problem in problems]
    found: list[Pair] = []
    while streams and len(found) < count:
        taken = [(stream, next(stream, None)) for stream in streams]
        found += [pair for _, pair in taken if pair is not None]
        streams = [stream for stream, pair in taken if pair is not None]
    return found[:count]


def _pairs(problem: Problem) -> Iterator[Pair]:
    """The solution; then mutants and forms in turn, in an order of the problem's own."""
    yield Pair(problem, "solution", problem.solution)
    order = random.Random(problem.id)
    changed = [Pair(problem, f"line {m.line}, {m.change}", m.source) for m in islice(mutants(problem.solution), 60)]
    formed = list(_forms(problem))
    order.shuffle(changed)
    order.shuffle(formed)
    while changed or formed:
        if changed:
            yield changed.pop()
        if formed:
            yield formed.pop()


def _forms(problem: Problem) -> Iterator[Pair]:
    forms: dict[str, Callable[[Any], Any]] = TEXT_FORMS if problem.entry is None else VALUE_FORMS
    for name, change in forms.items():
        try:
            outputs = [change(output) for output in problem.outputs]
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        if repr(outputs) != repr(list(problem.outputs)):
            yield Pair(problem, name, _answering(problem, outputs))


def _answering(problem: Problem, outputs: list[Any]) -> str:
    """A program that knows the answers."""
    if problem.entry is None:
        known = dict(zip(problem.inputs, outputs, strict=True))
        return f"import sys\nanswers = {known!r}\nsys.stdout.write(answers[sys.stdin.read()])\n"
    known = {repr(given): output for given, output in zip(problem.inputs, outputs, strict=True)}
    table = f"inf, nan = float('inf'), float('nan')\nanswers = {known!r}\n"
    if "()." not in problem.entry:
        return f"{table}def {problem.entry}(*given):\n    return answers[repr(list(given))]\n"
    owner, _, method = problem.entry.partition("().")
    return f"{table}class {owner}:\n    def {method}(self, *given):\n        return answers[repr(list(given))]\n"


# -- forms of a text ---------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"(?<!\S)[+-]?\d+(\.\d+)?(?!\S)")
_WHOLE = re.compile(r"(?<!\S)-?\d+(?!\S)")


def _numbers(change: Callable[[str], str], of: re.Pattern[str] = _NUMBER) -> Callable[[str], str]:
    return lambda text: of.sub(lambda match: change(match[0]), text)


def _lines(change: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    return lambda text: "".join(line + "\n" for line in change(text.rstrip("\n").split("\n")))


TEXT_FORMS: dict[str, Callable[[str], str]] = {
    "blanks at line ends": _lines(lambda lines: [line + "  " for line in lines]),
    "blanks at line starts": _lines(lambda lines: ["  " + line for line in lines]),
    "tabs for blanks": lambda text: text.replace(" ", "\t"),
    "double blanks": lambda text: text.replace(" ", "  "),
    "no-break blanks": lambda text: text.replace(" ", "\N{NO-BREAK SPACE}"),
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "form feeds": lambda text: text.replace("\n", "\f\n"),
    "no line end at the end": lambda text: text.rstrip("\n"),
    "blank lines at the end": lambda text: text + "\n\n \n",
    "blank lines at the start": lambda text: "\n\n" + text,
    "blank lines between": lambda text: text.replace("\n", "\n\n"),
    "one line": lambda text: " ".join(text.split()),
    "a token a line": lambda text: "\n".join(text.split()),
    "integers with .0": _numbers(lambda number: number + ".0", _WHOLE),
    "integers with zeros in front": _numbers(lambda number: "0" + number, _WHOLE),
    "integers with a plus": _numbers(lambda number: "+" + number, re.compile(r"(?<!\S)\d+(?!\S)")),
    "integers with underscores": _numbers(lambda number: f"{int(number):_}", _WHOLE),
    "integers as exponents": _numbers(lambda number: f"{int(number):e}", _WHOLE),
    "integers one larger": _numbers(lambda number: str(int(number) + 1), _WHOLE),
    "integers with another sign": _numbers(lambda number: str(-int(number)), _WHOLE),
    "full-width digits": _numbers(lambda n: n.translate({ord("0") + d: 0xFF10 + d for d in range(10)}), _WHOLE),
    "numbers with more digits": _numbers(lambda number: f"{float(number):.12f}"),
    "numbers with three digits": _numbers(lambda number: f"{float(number):.3f}"),
    "numbers 1e-7 off": _numbers(lambda number: f"{float(number) * (1 + 1e-7) + 1e-7:.12f}"),
    "numbers 1e-5 off": _numbers(lambda number: f"{float(number) * (1 + 2e-5) + 2e-5:.12f}"),
    "numbers 1e-2 off": _numbers(lambda number: f"{float(number) * 1.01 + 0.01:.12f}"),
    "not a number": _numbers(lambda number: "nan"),
    "infinite": _numbers(lambda number: "inf"),
    "upper case": str.upper,
    "lower case": str.lower,
    "lines in reverse": _lines(lambda lines: lines[::-1]),
    "tokens in reverse": _lines(lambda lines: [" ".join(line.split()[::-1]) for line in lines]),
    "a line less": _lines(lambda lines: lines[:-1]),
    "a line twice": _lines(lambda lines: [*lines, lines[-1]]),
    "a token more": lambda text: text.rstrip("\n") + " 0\n",
    "a token less": lambda text: " ".join(text.split()[:-1]) + "\n",
    "commas": _lines(lambda lines: [", ".join(line.split()) for line in lines]),
    "brackets": _lines(lambda lines: [f"[{line}]" for line in lines]),
    "quotes": _lines(lambda lines: [f"'{line}'" for line in lines]),
    "nothing": lambda text: "",
}


# -- forms of a value --------------------------------------------------------------------------------------------------


def _deep(change: Callable[[Any], Any], of: type | tuple[type, ...]) -> Callable[[Any], Any]:
    """Changes every part of such a type, from the inside."""

    def changed(value: Any) -> Any:
        if isinstance(value, list | tuple):
            value = type(value)(changed(part) for part in value)
        elif isinstance(value, dict):
            value = {key: changed(part) for key, part in value.items()}
        return change(value) if isinstance(value, of) and not (type(value) is bool and of is int) else value

    return changed


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return list(value)


def _near(share: float) -> Callable[[Any], Any]:
    return _deep(lambda number: number * (1 + share) if math.isfinite(number) else number, float)


VALUE_FORMS: dict[str, Callable[[Any], Any]] = {
    "tuples for lists": _deep(tuple, list),
    "lists for tuples": _deep(list, tuple),
    "a tuple": lambda value: tuple(_listed(value)),
    "a set": lambda value: set(_listed(value)),
    "in reverse": lambda value: _listed(value)[::-1],
    "sorted": lambda value: sorted(_listed(value)),
    "an item less": lambda value: _listed(value)[:-1],
    "an item more": lambda value: [*_listed(value), 0],
    "the first item": lambda value: _listed(value)[0],
    "in a list": lambda value: [value],
    "in a tuple": lambda value: (value,),
    "floats for integers": _deep(float, int),
    "floats for integers, off by little": _deep(lambda number: number * (1 + 1e-8), int),
    "integers for floats": _deep(round, float),
    "floats 1e-9 off": _near(1e-9),
    "floats 1e-4 off": _near(1e-4),
    "integers for bools": _deep(int, bool),
    "bools for integers": _deep(bool, int),
    "integers one larger": _deep(lambda number: number + 1, int),
    "texts": str,
    "texts of the parts": lambda value: [str(part) for part in _listed(value)],
    "bytes": _deep(str.encode, str),
    "upper case": _deep(str.upper, str),
    "blanks around": _deep(lambda text: f" {text} ", str),
    "None": lambda value: None,
    "not a number": _deep(lambda _: math.nan, (int, float)),
    "complex": _deep(complex, (int, float)),
    "an empty list": lambda value: [],
    "keys as texts": _deep(lambda table: {str(key): part for key, part in table.items()}, dict),
}
