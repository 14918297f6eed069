"""What the curriculum hands out and what it hears back."""

from dataclasses import dataclass

from stepcoder.curriculum.problems.problem import Problem


@dataclass(frozen=True, slots=True)
class Subtask:
    """Write `problem`'s program from `prefix` on.

    Stage 0 is full generation (prefix ""); higher stages start nearer the end.

    `ticket` counts subtasks of a run from 0. It names the group of completions, seeds their
    sampling, and stays the same when a subtask is issued again after a worker died.
    """

    ticket: int
    problem: Problem
    stage: int
    prefix: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many of a subtask's completions passed all tests."""

    ticket: int
    problem_id: str
    stage: int
    passed: int
    total: int
