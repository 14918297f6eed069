"""A policy without a model: it writes programs segment by segment, and learns from what passes.

A program with E conditionals has E + 1 segments, each of one of a few types. The policy writes segment k right with the
chance q_k = sigmoid(skill[type_k] - hardness of the problem), and a completion passes when every segment that it writes
is right: the chance falls with the distance from the end. It learns by REINFORCE with the group's mean as baseline on
these same samples: skill[type_k] += rate * sum of (reward - mean reward) (right_k - q_k) over a subtask's completions.
A group of equal rewards therefore teaches nothing, and what is learnt on one problem helps others of its types.

One problem in ten is a trap: the policy never completes any of its prefixes, and passes only what it writes whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from stepcoder.curriculum.config import CurriculumConfig
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.service.curriculum import Curriculum
from stepcoder.curriculum.subtask import Outcome, Subtask
from stepcoder.executor.suite import Case, Suite

TYPES = 60
TRAPS = 0.1
SEGMENT = "if x > {}:\n    print({})\n"
SUITE = Suite("stdin", (Case("1\n", "1\n"),))


def synthetic(name: str, conditionals: int) -> Problem:
    body = "".join(SEGMENT.format(i, i) for i in range(conditionals))
    return Problem(name, "synthetic", "introductory", "Do it.", "", "x = int(input())\n" + body, SUITE)


@dataclass(frozen=True, slots=True)
class Run:
    """What happened at each step of a run."""

    full_share: list[float]  # share of the step's subtasks that were full generation
    signal: list[float]  # share of its groups with both passing and failing completions
    passed: list[float]  # chance that a program passes at full generation, mean over all problems, after the step

    def until(self, rate: float) -> int | None:
        """The first step after which full generation passes at this rate."""
        return next((step for step, passed in enumerate(self.passed, start=1) if passed >= rate), None)

    def until_full(self) -> int | None:
        """The first step from which on nine of ten subtasks are full generation, by the mean of ten steps."""
        means = np.convolve(self.full_share, np.ones(10) / 10, mode="valid")
        return next((step for step, share in enumerate(means, start=1) if share >= 0.9), None)


class SimulatedPolicy:
    """`skill` by segment type, `start` on average; each problem's types, hardness and traps are drawn from the seed."""

    def __init__(self, problems: Sequence[Problem], seed: int, start: float, rate: float = 0.01) -> None:
        rng = np.random.default_rng([0x51, seed])
        self._rng = rng
        self._rate = rate
        self.skill: Float64[np.ndarray, " T"] = rng.normal(start, 0.7, TYPES)
        self._types = {p.id: rng.integers(TYPES, size=p.solution.count("if x >") + 1) for p in problems}
        self._hardness = {p.id: abs(rng.normal(0.0, 0.8)) for p in problems}
        self._traps = {p.id for p in problems if rng.random() < TRAPS}

    def chances(self, problem_id: str) -> Float64[np.ndarray, " K"]:
        """q_k of a problem's segments."""
        return 1.0 / (1.0 + np.exp(self._hardness[problem_id] - self.skill[self._types[problem_id]]))

    def full_pass_rate(self) -> float:
        return float(np.mean([self.chances(name).prod() for name in self._types]))

    def attempt(self, subtask: Subtask, completions: int) -> tuple[Outcome, Float64[np.ndarray, " T"]]:
        """The outcome of a group and what it would change in `skill`."""
        name = subtask.problem.id
        given = subtask.prefix.count("if x >") + bool(subtask.prefix)
        types, q = self._types[name][given:], self.chances(name)[given:]
        if given and name in self._traps:
            q = np.zeros(len(q))
        right = self._rng.random((completions, len(q))) < q
        reward = right.all(axis=1).astype(np.float64)
        change = np.zeros(TYPES)
        np.add.at(change, types, (reward - reward.mean()) @ (right - q))
        return Outcome(subtask.ticket, name, subtask.stage, int(reward.sum()), completions), self._rate * change


def train(
    problems: Sequence[Problem],
    config: CurriculumConfig,
    seed: int,
    steps: int,
    start: float,
    subtasks_per_step: int = 32,
    completions: int = 8,
) -> Run:
    """The training loop, on policy: all groups of a step are written before the policy changes."""
    curriculum, policy = Curriculum(problems, config, seed), SimulatedPolicy(problems, seed, start)
    run = Run([], [], [])
    for _ in range(steps):
        subtasks = curriculum.next(subtasks_per_step)
        groups = [policy.attempt(subtask, completions) for subtask in subtasks]
        policy.skill += np.sum([change for _, change in groups], axis=0)
        outcomes = [outcome for outcome, _ in groups]
        curriculum.report(outcomes)
        run.full_share.append(sum(s.stage == 0 for s in subtasks) / len(subtasks))
        run.signal.append(sum(0 < o.passed < o.total for o in outcomes) / len(outcomes))
        run.passed.append(policy.full_pass_rate())
    return run
