"""Every interview problem that has a second solution agrees with it on random inputs."""

import contextlib
import copy
import io
from random import Random
from typing import Any

import pytest

from stepcoder.curriculum.problems.load import load_problems
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.stages.conditionals import conditionals
from tests.tools.interview import games, held_out, services, texts
from tests.tools.interview.reference import REFERENCES

TRIES = 150
MODULES = (games, held_out, services, texts)  # which fill REFERENCES
PROBLEMS = {p.id.removeprefix("starter/"): p for s in ("train", "heldout") for p in load_problems(f"starter:{s}")}


def run(problem: Problem, arguments: tuple[Any, ...]) -> Any:
    """What the solution answers, in this process: it is one of ours."""
    if problem.suite.style == "call":
        space: dict[str, Any] = {}
        exec(problem.solution, space)
        return space[problem.suite.entry_point](*copy.deepcopy(arguments))
    lines, printed = iter(arguments[0].split("\n")), io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(problem.solution, {"input": lambda: next(lines)})
    return printed.getvalue()


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_two_solutions_agree(name: str) -> None:
    draw, reference = Random(f"test {name}"), REFERENCES[name]
    answers = set()
    for _ in range(TRIES):
        arguments = reference.inputs(draw)
        wanted = reference.solve(*copy.deepcopy(arguments))
        assert run(PROBLEMS[name], arguments) == wanted, arguments
        answers.add(repr(wanted))
    assert len(answers) > 1, "the inputs all have one answer, so that nothing is compared"


def test_there_are_enough_of_them_with_branches_to_learn_from() -> None:
    assert len(REFERENCES) >= 60
    counts = [len(conditionals(PROBLEMS[name].solution)) for name in REFERENCES]
    assert min(counts) >= 3 and max(counts) <= 8
