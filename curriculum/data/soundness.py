"""What refinement decides about a problem: uniform tests, faults seen without running, and reasons read from reports.

Pure functions; curriculum.data.judge runs the programs. APPS+ (arXiv 2402.01391, section 4) was made from APPS by such
steps: drop what has no input, output or solution, make inputs and outputs uniform, drop what does not compile or run
or does not agree with its tests.
"""

import ast
import builtins
import importlib
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Literal, NamedTuple

from stepcoder.curriculum.data.readers.record import Cause, Reason
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.problems.sound import NO_OUTPUT, unsound
from stepcoder.curriculum.stages.conditionals import conditionals, line_starts
from stepcoder.executor.report import Ended, Report
from stepcoder.executor.spans import executed_spans
from stepcoder.executor.suite import Case, Suite

Preference = Literal["first", "shortest", "conditionals"]

_BOM = "\ufeff"
_DETAIL = 300  # characters of a detail, which is for a person


class Fault(NamedTuple):
    """Why a problem is dropped; `detail` is for a person."""

    reason: Cause
    detail: str = ""


class ExecutedShare(NamedTuple):
    """`executed` counts lines with executed code, `total` lines with any text; `missed` numbers the others of these."""

    executed: int
    total: int
    missed: list[int]


def uniform(problem: Problem) -> Problem:
    """LF line ends and no byte order mark everywhere; text on standard input and output ends with one line end.

    Blank lines at the end of an input stay, as a program may read them; those of an output mean nothing.
    """
    suite = problem.suite
    if suite.style == "stdin":
        cases = tuple(Case(_ended(plain(case.input)), _ended(plain(case.output).rstrip())) for case in suite.cases)
        suite = replace(suite, cases=cases)
    return replace(
        problem,
        statement=plain(problem.statement).strip(),
        starter_code=plain(problem.starter_code),
        solution=plain(problem.solution),
        suite=replace(suite, setup=plain(suite.setup)),
    )


def plain(text: str) -> str:
    return text.removeprefix(_BOM).replace("\r\n", "\n").replace("\r", "\n")


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def unwrapped(suite: Suite) -> Suite | None:
    """The suite with each expected value out of its list; None where they are not all lists of one value.

    APPS wraps the expected values of most call-style problems so, and its harness accepts either form.
    """
    wrapped = all(isinstance(case.output, list) and len(case.output) == 1 for case in suite.cases)
    if suite.style != "call" or not wrapped:
        return None
    return replace(suite, cases=tuple(replace(case, output=case.output[0]) for case in suite.cases))


def fault(problem: Problem) -> Fault | None:
    """What makes a problem useless whatever its programs do."""
    found = unsound(problem)
    if found is None:
        return None
    if found.field == "statement":
        return Fault(Reason.NO_STATEMENT)
    if found.reason == NO_OUTPUT:
        return Fault(Reason.MISSING_OUTPUT, found.reason)
    place = f"test {int(found.field.split('.')[1]) + 1}: " if found.field.startswith("tests.") else ""
    return Fault(Reason.BAD_TEST, place + found.reason)


def preferred(solutions: Sequence[str], preference: Preference) -> list[int]:
    """Numbers of the solutions in the order in which they are tried: the first that passes is kept.

    `shortest` counts characters, `conditionals` those that the curriculum can cut at (most first); ties keep the order.
    """
    numbers = [number for number, solution in enumerate(solutions) if solution.strip()]
    if preference == "shortest":
        return sorted(numbers, key=lambda number: len(solutions[number]))
    if preference == "conditionals":
        return sorted(numbers, key=lambda number: -len(conditionals(solutions[number])))
    return numbers


def reason_of(report: Report, program: str, suite: Suite) -> Fault:
    """Why a program that did not pass did not, in a data set's terms. ValueError for passed and infra_error."""
    number, case = next(
        ((n, suite.cases[n]) for n, test in enumerate(report.tests) if test.verdict is report.verdict), (0, None)
    )
    place = f"test {number + 1} of {len(suite.cases)}: " if case else ""
    error = report.error or ""
    match report.verdict.ended:
        case Ended.NOT_COMPILED:
            reason = Reason.PYTHON2 if is_python2(program) else Reason.DOES_NOT_COMPILE
            return Fault(reason, _told(error, report))
        case Ended.ERROR:
            return Fault(_of_exception(error, program), place + _told(error, report))
        case Ended.ANSWER if not report.passed:
            if case and suite.style == "stdin" and not case.output.strip():
                return Fault(Reason.MISSING_OUTPUT, f"{place}its expected output is empty, the solution prints")
            return Fault(Reason.WRONG_OUTPUT, place + _disagreement(report, number, case))
        case Ended.LIMIT:
            return Fault(report.verdict, place + _short(error))
    raise ValueError(report.verdict)


def _told(error: str, report: Report) -> str:
    told = _short(error)
    return (
        told if not report.error_line or f"line {report.error_line})" in told else f"{told} (line {report.error_line})"
    )


def _short(text: str) -> str:
    """One line that is the same in every run: no addresses of objects."""
    text = re.sub(r"0x[0-9a-f]{6,}", "0x...", " ".join(text.split()))
    return text if len(text) <= _DETAIL else f"{text[:_DETAIL]}..."


def _disagreement(report: Report, number: int, case: Case | None) -> str:
    if case is None or case.output is None:
        return "the assert does not hold" if case and isinstance(case.input, str) else "None was expected"
    if not isinstance(case.output, str):
        return f"{_value(case.output)} was expected"
    got, wanted = report.tests[number].stdout, case.output
    if not isinstance(case.input, str):
        return f"{_value(wanted)} was expected"
    return f"{_value(wanted.rstrip())} was expected, {_value(got.rstrip())} was printed"


def _value(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python shows
        text = "a value with a huge integer"
    return text if len(text) <= 80 else f"{text[:80]}..."


def executed_share(program: str, executed_lines: Sequence[int]) -> ExecutedShare:
    """How much of a program was executed, by executed spans.

    A line counts as executed where any of its characters does: what the policy loss would see of it.
    """
    spans = executed_spans(program, executed_lines)
    starts = [*line_starts(program), len(program) + 1]
    missed, total, place = [], 0, 0
    for number, (start, end) in enumerate(zip(starts, starts[1:], strict=False), 1):
        text = program[start : min(end, len(program))]
        if not text.strip():
            continue
        total += 1
        first, last = start + len(text) - len(text.lstrip()), start + len(text.rstrip())
        while place < len(spans) and spans[place][1] <= first:
            place += 1
        if place == len(spans) or spans[place][0] >= last:
            missed.append(number)
    return ExecutedShare(total - len(missed), total, missed)


# -- what a failure tells ----------------------------------------------------------------------------------------------

_TEXTS = re.compile(r"\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|(#[^\n]*)", re.DOTALL)
_PYTHON2_FORMS = re.compile(
    r"\bprint[ \t]+(?:[\"'\w\-~`\[{]|>>)"  # print x
    r"|^[ \t]*print[ \t]*\([^\n]*\)[ \t]*%"  # print ("%d") % x  # compiles, fails when run
    r"|\bexcept[ \t]+[\w.()]+[ \t]*,[ \t]*\w+[ \t]*:"
    r"|\braise[ \t]+\w+[ \t]*,[ \t]*\S"
    r"|\bexec[ \t]+[\"'\w]"
    r"|<>|`[^`\n]+`|\b0[0-7]+[lL]?\b|\b\d+[lL]\b",
    re.MULTILINE,
)
_PYTHON2_NAMES = frozenset(
    "raw_input xrange unicode unichr long basestring cmp apply buffer coerce execfile file".split()
)
_PYTHON2_ATTRIBUTES = frozenset(
    "iteritems iterkeys itervalues has_key xreadlines izip izip_longest imap ifilter maxint letters lowercase "
    "uppercase maketrans join atoi".split()
)
_PYTHON2_MODULES = frozenset(
    "__builtin__ ConfigParser Cookie HTMLParser Queue SocketServer StringIO Tkinter cPickle cStringIO commands "
    "copy_reg dummy_thread httplib md5 sets sha thread urllib2 urlparse xmlrpclib".split()
)
# Modules whose names solutions use after `from ... import`.
_COMMON_MODULES = (
    "bisect collections copy datetime decimal enum fractions functools heapq itertools json math operator queue random "
    "re statistics string sys time typing".split()
)
_FREQUENT_SHORT = {"re", "gc", "io", "os"}


def is_python2(program: str) -> bool:
    """Whether a program that does not compile has a form that only Python 2 knew, outside of texts and comments."""
    bare = _TEXTS.sub(lambda match: "" if match[1] else '""', program)
    return _PYTHON2_FORMS.search(bare) is not None


def _of_exception(error: str, program: str) -> Reason:
    kind, _, message = error.partition(":")
    quoted = re.findall(r"'([^']+)'", message)
    if kind in ("ModuleNotFoundError", "ImportError"):
        old = quoted and (quoted[0] in _PYTHON2_MODULES or quoted[0] in _PYTHON2_ATTRIBUTES)
        return Reason.PYTHON2 if old else Reason.MISSING_IMPORT
    if kind in ("NameError", "UnboundLocalError") and quoted:
        if quoted[0] in _PYTHON2_NAMES - _bound(program):
            return Reason.PYTHON2
        if quoted[0] in _importable() - _bound(program):
            return Reason.MISSING_IMPORT
    if kind == "AttributeError" and quoted and quoted[-1] in _PYTHON2_ATTRIBUTES:
        return Reason.PYTHON2
    if kind == "TypeError" and "unsupported operand type(s) for >>: 'builtin_function_or_method'" in message:
        return Reason.PYTHON2  # print >>file
    if kind == "TypeError" and "unsupported operand type(s) for %: 'NoneType'" in message:
        return Reason.PYTHON2  # print ("%d") % x
    return Reason.RUNTIME_ERROR


@cache
def _importable() -> frozenset[str]:
    """Modules of the standard library and what the common ones define; not builtins, and no names of one letter."""
    names = {name for name in sys.stdlib_module_names if len(name) > 2} | _FREQUENT_SHORT | {"numpy", "np"}
    for module in _COMMON_MODULES:
        names |= {name for name in dir(importlib.import_module(module)) if len(name) > 1 and not name.startswith("_")}
    return frozenset(names - set(dir(builtins)))


def _bound(program: str) -> frozenset[str]:
    """Names that a program binds anywhere: one of these that is missing when it runs is an error of its own."""
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(names | {node.name for node in ast.walk(tree) if isinstance(node, defined)})
