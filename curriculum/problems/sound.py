"""What a sound problem is: the one definition that training, fine-tuning, grading and `data check` share."""

import re
from dataclasses import replace
from typing import NamedTuple

from stepcoder.curriculum.problems.problem import Problem
from stepcoder.executor.judging.compare import same_text
from stepcoder.executor.judging.plan import plan
from stepcoder.executor.suite import CompareRule

NO_OUTPUT = "no test expects any output"


class Unsound(NamedTuple):
    """The field of a line at which a problem fails, and why."""

    field: str
    reason: str


def unsound(problem: Problem, judging: bool = False, compare: CompareRule = "problem") -> Unsound | None:
    """Why a problem cannot be used; None where it can. `judging`: only to judge programs, which needs no statement.

    `compare`: the rule for all problems, where there is one.
    """
    suite = problem.suite
    how = suite.compare if compare == "problem" else replace(suite.compare, type=compare)
    if not judging and not problem.statement.strip():
        return Unsound("statement", "missing: only to judge programs a problem needs none")
    try:
        plan(suite)
    except ValueError as error:
        return _at(str(error))
    for number, case in enumerate(suite.cases if suite.style == "stdin" and not suite.checker else ()):
        if "nan" in case.output.lower() and not same_text(case.output, case.output, how):
            return Unsound(f"tests.{number}.output", "no output can pass: NaN equals nothing but in `compare: tokens`")
    if not judging and suite.style == "stdin" and not suite.checker and not any(c.output.strip() for c in suite.cases):
        return Unsound("tests", NO_OUTPUT)
    return None


def _at(error: str) -> Unsound:
    """Where an error of the plan belongs."""
    if found := re.match(r"test (\d+): (.*)", error, re.DOTALL):
        return Unsound(f"tests.{int(found[1]) - 1}", found[2])
    return Unsound(next((field for field in ("checker", "module", "setup") if field in error), "tests"), error)
