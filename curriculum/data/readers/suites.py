"""Suites from the shapes in which data sets keep tests: parallel lists, lists of tests, lists of asserts."""

from collections.abc import Sequence
from typing import Any

from stepcoder.curriculum.data.readers.build import call_cases, objects, stdin_cases, told
from stepcoder.curriculum.data.readers.files import decoded, loads
from stepcoder.curriculum.data.readers.record import Reason, Refuse
from stepcoder.executor.case_json import integer_keys
from stepcoder.executor.judging.suites.module import names
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

    Inputs that are texts then hold an argument a line, as LiveCodeBench has them. `compare`: of what is printed.
    """
    if not isinstance(tests, dict):
        raise Refuse(Reason.NO_TESTS, "no object with `inputs` and `outputs`")
    inputs, outputs, name = decoded(tests.get("inputs")), decoded(tests.get("outputs")), tests.get("fn_name")
    if name is None or (name == "" and _written(inputs)):
        return Suite("stdin", stdin_cases(inputs, outputs), setup=SETUP, compare=compare)
    if isinstance(inputs, list) and isinstance(outputs, list):
        if _written(inputs):
            inputs, outputs = list(map(argument_lines, inputs)), list(map(written_value, outputs))
        else:
            try:
                inputs, outputs = list(map(integer_keys, inputs)), list(map(integer_keys, outputs))
            except ValueError as error:
                raise Refuse(Reason.NOT_KEPT, str(error)) from None
    return Suite("call", call_cases(inputs, outputs), entry_point(name, starter_code, solutions), SETUP)


def listed_suite(tests: Any, name: Any, starter_code: str, solutions: Sequence[str]) -> Suite:
    """The suite of a list of tests with `input`, `output` and their kind; `name` is the function where no test says it.

    `testtype`, as LiveCodeBench has it: an argument a line, each in JSON. `type`: a list of arguments. An output that
    is a text is JSON where the input is one. A test says its function in `fn_name`, or in its metadata.
    """
    tests = objects(tests)
    if not isinstance(tests, list) or not tests:
        raise Refuse(Reason.NO_TESTS, "no list of tests")
    if not all(isinstance(test, dict) for test in tests):
        raise Refuse(Reason.BAD_TEST, "a test is no object")
    kinds = {_kind(test) for test in tests}
    functions = [_function(test) or name for test in tests]
    if len(kinds) > 1 or any(other != functions[0] for other in functions):
        raise Refuse(Reason.NOT_KEPT, "tests of several kinds, or of several functions")
    inputs, outputs = [test.get("input") for test in tests], [test.get("output") for test in tests]
    if any(given is None for given in inputs):
        raise Refuse(Reason.MISSING_INPUT)
    if not all("output" in test for test in tests):
        raise Refuse(Reason.MISSING_OUTPUT)
    if kinds == {"stdin"}:
        return Suite("stdin", stdin_cases(inputs, outputs), setup=SETUP, compare=TOKENS)
    pairs = zip(inputs, outputs, strict=True)
    outputs = [written_value(wanted) if isinstance(given, str) else wanted for given, wanted in pairs]
    inputs = [argument_lines(given) if "testtype" in tests[0] else decoded(given) for given in inputs]
    cases = call_cases(inputs, outputs)
    return Suite("call", cases, entry_point(functions[0], starter_code, solutions), SETUP)


def may_be_wrapped(suite: Suite, tests: Any) -> bool:
    """Whether expected values may be in lists of their own, as APPS has them; never where arguments are lines."""
    if isinstance(tests, dict):
        return suite.style == "call" and not _written(decoded(tests.get("inputs")))
    return suite.style == "call" and not (isinstance(tests, list) and "testtype" in tests[0])


def _written(inputs: Any) -> bool:
    return isinstance(inputs, list) and any(isinstance(given, str) for given in inputs)


def written_value(wanted: Any) -> Any:
    """An expected value, also as a text in JSON. Refuse for a text that says nothing."""
    if isinstance(wanted, str) and not wanted.strip():
        raise Refuse(Reason.MISSING_OUTPUT)
    return decoded(wanted)


def argument_lines(given: Any) -> list[Any]:
    """An argument a line, each in JSON."""
    if not isinstance(given, str):
        raise Refuse(Reason.BAD_TEST, f"a text of arguments was expected, not {type(given).__name__}")
    if not given.strip():
        raise Refuse(Reason.MISSING_INPUT, "a text without an argument")
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
    raise Refuse(Reason.NOT_KEPT, f"a test of the kind {told(kind)}")


def module_suite(module: str) -> Suite:
    """The suite of a module of tests, of a parametrised one each case. Refuse for what is not supported."""
    try:
        return Suite("pytest", tuple(map(Case, names(module))), module=module)
    except ValueError as error:
        raise Refuse(Reason.NOT_KEPT, str(error)) from error


def assert_suite(tests: Any) -> Suite:
    """The suite of a list of texts, each with an assert."""
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) and test.strip() for test in tests):
        raise Refuse(Reason.NO_TESTS, "a list of asserts was expected")
    return Suite("assert", tuple(Case(test.replace("\r\n", "\n")) for test in tests))


def entry_point(name: Any, starter_code: str, solutions: Sequence[str]) -> str:
    """The function, or the method of `Solution` where the starter code, or else the solution, has that class."""
    if not isinstance(name, str) or not name.isidentifier():
        raise Refuse(Reason.NO_ENTRY_POINT, f"the function's name is {told(name)}")
    in_class = "class Solution" in (starter_code.strip() or "".join(solutions[:1]))
    return f"Solution().{name}" if in_class else name
