"""Suites from the shapes in which data sets keep tests: parallel lists, lists of tests, lists of asserts."""

from collections.abc import Sequence
from typing import Any

from stepcoder.curriculum.data.readers.build import call_cases, stdin_cases
from stepcoder.curriculum.data.readers.files import decoded, loads
from stepcoder.curriculum.data.readers.record import Reason, Refuse
from stepcoder.executor.suite import Case, Compare, Suite

# The names that the official harness of APPS puts before every program; numpy's is left out, as programs cannot import
# it here.
SETUP = """\
import collections, fractions, heapq, itertools, math, random, sys, time
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from functools import lru_cache
from heapq import *
from itertools import accumulate, combinations, permutations, product
from math import ceil, cos, exp, fabs, floor, gcd, log, log2, sin, sqrt, tan
from typing import List, Tuple
"""
TOKENS = Compare("tokens")
_FUNCTION = ("functional", "function_call", "call", "function")
_STDIN = ("stdin", "stdin_stdout", "io", "standard_input")


def paired_suite(tests: Any, starter_code: str, solutions: Sequence[str], compare: Compare = TOKENS) -> Suite:
    """The suite of `{"inputs", "outputs", "fn_name"}`; call style where there is a `fn_name`.

    `compare`: of what is printed.
    """
    if not isinstance(tests, dict):
        raise Refuse(Reason.NO_TESTS)
    inputs, outputs, name = decoded(tests.get("inputs")), decoded(tests.get("outputs")), tests.get("fn_name")
    if name is None:
        return Suite("stdin", stdin_cases(inputs, outputs), setup=SETUP, compare=compare)
    if isinstance(inputs, list) and isinstance(outputs, list):
        inputs = [integer_keys(given, inside=True) for given in inputs]
        outputs = [integer_keys(integer_keys(wanted), inside=True) for wanted in outputs]
    return Suite("call", call_cases(inputs, outputs), entry_point(name, starter_code, solutions), SETUP)


def listed_suite(tests: Any, name: Any, starter_code: str, solutions: Sequence[str]) -> Suite:
    """The suite of a list of tests with `input`, `output` and their kind; `name` is the function where no test says it.

    `testtype`, as LiveCodeBench has it: an argument a line, each in JSON. `type`: a list of arguments. A test says its
    function in `fn_name`, or in the `func_name` of its `metadata`.
    """
    if not isinstance(tests, list) or not tests:
        raise Refuse(Reason.NO_TESTS)
    if not all(isinstance(test, dict) for test in tests):
        raise Refuse(Reason.BAD_TEST, "a test is no object")
    kinds = {_kind(test) for test in tests}
    names = {_function(test) or name for test in tests}
    if len(kinds) > 1 or len(names) > 1:
        raise Refuse(Reason.NOT_KEPT, "tests of several kinds, or of several functions")
    inputs, outputs = [test.get("input") for test in tests], [test.get("output") for test in tests]
    if None in inputs:
        raise Refuse(Reason.MISSING_INPUT)
    if kinds == {"stdin"}:
        return Suite("stdin", stdin_cases(inputs, outputs), setup=SETUP, compare=TOKENS)
    by_line = "testtype" in tests[0]
    inputs = [argument_lines(given) if by_line else decoded(given) for given in inputs]
    cases = call_cases(inputs, [decoded(wanted) for wanted in outputs])
    return Suite("call", cases, entry_point(names.pop(), starter_code, solutions), SETUP)


def argument_lines(given: Any) -> list[Any]:
    """An argument a line, each in JSON."""
    if not isinstance(given, str):
        raise Refuse(Reason.BAD_TEST, f"a text of arguments was expected, not {type(given).__name__}")
    return [loads(line) for line in given.split("\n") if line.strip()]


def _function(test: dict[str, Any]) -> Any:
    about = decoded(test.get("metadata"))
    return test.get("fn_name") or (about.get("func_name") if isinstance(about, dict) else None)


def _kind(test: dict[str, Any]) -> str:
    kind = test.get("testtype") or test.get("type") or ("call" if test.get("fn_name") else "stdin")
    if kind in _STDIN:
        return "stdin"
    if kind in _FUNCTION:
        return "call"
    raise Refuse(Reason.NOT_KEPT, f"a test of the kind {kind!r:.60}")


def assert_suite(tests: Any, setup: str = "") -> Suite:
    """The suite of a list of texts, each with an assert."""
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) and test.strip() for test in tests):
        raise Refuse(Reason.NO_TESTS, "a list of asserts was expected")
    return Suite("assert", tuple(Case(test.replace("\r\n", "\n")) for test in tests), setup=setup)


def entry_point(name: Any, starter_code: str, solutions: Sequence[str]) -> str:
    """The function, or the method of `Solution` where the starter code, or else the solution, has that class."""
    if not isinstance(name, str) or not name.isidentifier():
        raise Refuse(Reason.NO_ENTRY_POINT, f"the function's name is {name!r:.60}")
    in_class = "class Solution" in (starter_code.strip() or "".join(solutions[:1]))
    return f"Solution().{name}" if in_class else name


def integer_keys(value: Any, inside: bool = False) -> Any:
    """JSON made texts of a dictionary's keys; the official harness undoes that for a value and a first argument.

    Refuse where two keys are the same integer: that harness then loses one.
    """
    if inside:
        return [integer_keys(value[0]), *value[1:]] if isinstance(value, list) and value else value
    if not isinstance(value, dict):
        return value
    try:
        found = {int(key): part for key, part in value.items()}
    except ValueError:
        return value
    if len(found) < len(value):
        raise Refuse(Reason.NOT_KEPT, f"two keys of a dictionary are one as integers: {', '.join(value):.60}")
    return found
