"""Tests that the solution answers on new inputs, added where they see what the given tests do not.

As in search-based test generation: inputs are varied (new_inputs), and one is kept only when a mutant that
passed every test so far fails on it, or a line that none executed is. The next round varies the kept ones as well. It
ends with the first round that adds nothing.
"""

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stepcoder.curriculum.data.mutants import Mutant
from stepcoder.curriculum.data.new_inputs import new_cases
from stepcoder.curriculum.data.run import Run
from stepcoder.curriculum.problems.dump import test_data
from stepcoder.executor.judging.asserts import Unsupported, constant, question
from stepcoder.executor.report import Report, TestOutcome, Verdict
from stepcoder.executor.sandbox.values import codec
from stepcoder.executor.suite import Case, Suite

_EACH_ROUND = 24  # inputs
_OTHERS = 4  # solutions
LONGEST = 4_000  # characters of an answer
_UNKNOWN = codec.Opaque("unknown")  # equals no answer, so that the answer is told


@dataclass(frozen=True, slots=True)
class Added:
    """`cases` in the suite's own style; `survivors`: mutants that still pass; `report` of the solution on all tests."""

    cases: tuple[Case, ...]
    survivors: tuple[Mutant, ...]
    report: Report


def added_tests(
    name: str,
    solution: str,
    others: Sequence[str],
    suite: Suite,
    report: Report,
    survivors: Sequence[Mutant],
    lines: set[int],
    most: int,
) -> Generator[list[Run], list[Report], Added]:
    """At most `most` tests for the suite that the solution passes with this report.

    `name` seeds the inputs; `others` are further solutions: those that pass the suite have to give the same answers;
    `lines` are those of the solution that no test executed.
    """  # fmt: skip
    asked = _as_calls(suite)
    alive, chosen, own = list(survivors), [], []
    others = others[:_OTHERS] if asked is not None and (alive or lines) else []
    reports = (yield [Run(other, suite) for other in others]) if others else []
    others = [other for other, found in zip(others, reports, strict=True) if found.passed]
    while asked is not None and len(chosen) < most and (alive or lines):
        candidates = new_cases(replace(asked, cases=(*asked.cases, *chosen)), f"{name}/{len(chosen)}", _EACH_ROUND)
        if not candidates:
            break
        trial = replace(asked, cases=tuple(candidates))
        answered, executed = yield from _answered(solution, others, trial, asked, exact=suite.style == "assert")
        if not answered:
            break
        caught = yield from _caught(alive, replace(asked, cases=tuple(answered)))
        picked = _picked(caught, [lines & set(found) for found in executed], most - len(chosen))
        if not picked:
            break
        chosen += [answered[n] for n in picked]
        alive = [mutant for m, mutant in enumerate(alive) if not any(m in caught[n] for n in picked)]
        lines = lines - {line for n in picked for line in executed[n]}
    own = [_in_style(case, suite, asked) for case in chosen] if asked else []
    if own:
        (whole,) = yield [Run(solution, replace(suite, cases=(*suite.cases, *own)))]
        if whole.passed:
            return Added(tuple(own), tuple(alive), whole)
    return Added((), tuple(survivors), report)


def _answered(
    solution: str, others: Sequence[str], suite: Suite, given: Suite, exact: bool
) -> Generator[list[Run], list[Report], tuple[list[Case], list[tuple[int, ...]]]]:
    """(the tests that the solution answers well within the limits, alike with another seed, as the others do,
    and with a kind of value that a given test expects; the lines that each executes). `exact`: no answers with floats,
    as they will be compared without a tolerance."""
    kinds = {_kind(case.output) for case in given.cases}
    unknown = "" if suite.style == "stdin" else _UNKNOWN
    asked = replace(suite, cases=tuple(replace(case, output=unknown) for case in suite.cases))
    first, again = yield [Run(solution, asked, "trial"), Run(solution, asked, "again")]
    cases, executed = [], []
    if Verdict.INFRA_ERROR in (first.verdict, again.verdict):
        return cases, executed
    for case, one, other in zip(suite.cases, first.tests, again.tests, strict=False):  # none where it did not compile
        answers = [_answer(outcome, suite) for outcome in (one, other)]
        if answers[0] is None or answers[0] != answers[1]:
            continue
        made = replace(case, output=answers[0][0])
        if _kind(made.output) not in kinds or (exact and _has_float(made.output)):
            continue
        if _can_be_written(made, suite):
            cases.append(made)
            executed.append(one.executed_lines)
    if cases and others:
        reports = yield [Run(other, replace(suite, cases=tuple(cases))) for other in others]
        agreed = [n for n in range(len(cases)) if all(_passes(report, n) for report in reports)]
        cases, executed = [cases[n] for n in agreed], [executed[n] for n in agreed]
    return cases, executed


def _passes(report: Report, number: int) -> bool:
    return number < len(report.tests) and report.tests[number].verdict is Verdict.PASSED


def _answer(outcome: TestOutcome, suite: Suite) -> tuple[Any] | None:
    """What the program answered, in a tuple of one."""
    if outcome.verdict not in (Verdict.PASSED, Verdict.WRONG_ANSWER):
        return None
    text = outcome.stdout if suite.style == "stdin" else outcome.answer
    if not text.strip() or len(text) > LONGEST:
        return None
    if suite.style == "stdin":
        return (text if text.endswith("\n") else text + "\n",)
    return (codec.decode(json.loads(text)),)


def _can_be_written(case: Case, suite: Suite) -> bool:
    try:
        json.dumps(test_data(case, suite.style), allow_nan=False).encode()
    except ValueError:  # no form in JSON; more digits than Python writes
        return False
    return True


def _kind(value: Any) -> type:
    """None is an answer of its own kind: most often that there is none."""
    alike = {tuple: list, float: int}
    return alike.get(type(value), type(value))


def _has_float(value: Any) -> bool:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return any(map(_has_float, value)) if isinstance(value, list | tuple) else isinstance(value, float)


def _caught(alive: Sequence[Mutant], suite: Suite) -> Generator[list[Run], list[Report], list[set[int]]]:
    """For each test the numbers of the mutants that fail on it; one that runs out of time is not asked further."""
    caught: list[set[int]] = [set() for _ in suite.cases]
    if not alive:
        return caught
    reports = yield [Run(mutant.source, suite, "mutant") for mutant in alive]
    for number, report in enumerate(reports):
        if report.verdict is Verdict.INFRA_ERROR:
            continue
        for place, outcome in enumerate(report.tests):
            if outcome.verdict is not Verdict.PASSED:
                caught[place].add(number)
            if outcome.verdict is Verdict.TIMEOUT:
                break
    return caught


def _picked(caught: list[set[int]], reached: list[set[int]], most: int) -> list[int]:
    """Numbers of tests, each of which catches or reaches what those before it do not; the best first (greedy cover)."""
    picked: list[int] = []
    mutants: set[int] = set()
    lines: set[int] = set()
    while len(picked) < most:
        gains = [(len(c - mutants), len(r - lines)) for c, r in zip(caught, reached, strict=True)]
        best = max(range(len(gains)), key=lambda n: (*gains[n], -n))
        if not any(gains[best]):
            break
        picked.append(best)
        mutants |= caught[best]
        lines |= reached[best]
    return picked


# -- asserts as calls --------------------------------------------------------------------------------------------------


def _as_calls(suite: Suite) -> Suite | None:
    """The suite, in assert style its calls of the usual function with constants; None where there are none."""
    if suite.style != "assert":
        return suite
    asked = []
    for case in suite.cases:
        try:
            found = question(case.input)
            if (other := found.check.equals()) is not None:
                asked.append((found.function, Case(found.args, constant(other), found.keywords)))
        except (Unsupported, codec.TooLarge, SyntaxError, ValueError):
            continue
    names = [name for name, _ in asked]
    usual = max(dict.fromkeys(names), key=names.count, default=None)
    cases = tuple(case for name, case in asked if name == usual)
    return Suite("call", cases, usual, suite.setup) if cases else None


def _in_style(case: Case, suite: Suite, asked: Suite) -> Case:
    if suite.style != "assert":
        return case
    given = [repr(value) for value in case.input] + [f"{name}={value!r}" for name, value in case.keywords.items()]
    return Case(f"assert {asked.entry_point}({', '.join(given)}) == {case.output!r}")
