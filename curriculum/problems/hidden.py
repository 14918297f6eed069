"""Tests that a statement shows, and tests that are kept out of the reward: a policy can learn by heart what it is
rewarded for, and the others tell.
"""

import ast
import hashlib
import re
from dataclasses import replace
from typing import Any

from stepcoder.curriculum.problems.dump import test_data
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.executor.judging.asserts import Unsupported, program_call
from stepcoder.executor.suite import Case, Suite
from stepcoder.jsonl import dumps

_BLANK = re.compile(r"\s+")


def with_hidden(problem: Problem, share: float) -> Problem:
    """The problem with `share` of its tests, rounded, hidden: these come last, and `hidden` counts them.

    A test that the statement shows is hidden only after all others, and one test is never hidden. Which ones is decided
    by a hash of the id and the test, so that it is the same in every run.
    """
    cases = problem.suite.cases
    count = min(round(share * len(cases)), len(cases) - 1)
    if count <= 0:
        return problem
    shown = shown_tests(problem)
    order = sorted(range(len(cases)), key=lambda place: (place in shown, _hash(problem, cases[place])))
    hidden = set(order[:count])
    places = [place for place in range(len(cases)) if place not in hidden] + sorted(hidden)
    suite = replace(problem.suite, cases=tuple(cases[place] for place in places))
    return replace(problem, suite=suite, hidden=count, shown=tuple(n for n, p in enumerate(places) if p in shown))


def shown_tests(problem: Problem) -> set[int]:
    """Places of the tests that are known to be shown, and of those that are found in the statement or starter code."""
    text = f"{problem.statement}\n{problem.starter_code}"
    words, solid = _BLANK.sub(" ", text), _solid(text)
    found = {place for place, case in enumerate(problem.suite.cases) if _is_shown(case, problem.suite, words, solid)}
    return found | set(problem.shown)


def _is_shown(case: Case, suite: Suite, words: str, solid: str) -> bool:
    if suite.style == "stdin":
        given, wanted = (_BLANK.sub(" ", text).strip() for text in (case.input, case.output))
        return bool(given and wanted) and given in words and wanted in words
    if suite.style == "call":
        values = [*case.input, *case.keywords.values(), case.output]
        return all(_solid(_written(value)) in solid for value in values)
    if suite.style == "assert":
        try:
            return _solid(ast.unparse(program_call(ast.parse(case.input).body))) in solid
        except (SyntaxError, ValueError, Unsupported):
            return _solid(case.input) in solid
    return False


def _solid(text: str) -> str:
    return _BLANK.sub("", text).replace('"', "'")


def _written(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # an integer of more digits than Python shows
        return "\0"


def _hash(problem: Problem, case: Case) -> bytes:
    try:
        text = dumps(test_data(case, problem.suite.style), sort_keys=True)
    except ValueError:
        text = _written(case.input)
    return hashlib.blake2b(f"{problem.id}\0{text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
