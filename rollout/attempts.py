"""From the attempts at one program to one trajectory: pure, and nothing is tokenised here.

Without repair a trajectory has one attempt. With it the tokens of a later one follow what the model was told of the one
before; those tokens were not sampled and belong to no turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32

from stepcoder.curriculum.subtask import Subtask
from stepcoder.executor.judging.reward import rewards
from stepcoder.executor.report import Report
from stepcoder.rollout.engine import Completion
from stepcoder.rollout.kept import KeptTest
from stepcoder.rollout.text.mask import TokenMasks
from stepcoder.rollout.trajectory import Trajectory, Turn


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """One completion and what its program did. `told`: the tokens between it and the next attempt; none after the last.

    `report` is of the tests that give the reward, `hidden_passed` and the others as in `Trajectory`; `text` and
    `told_text` are the tokens as text.
    """

    completion: Completion
    masks: TokenMasks
    report: Report
    program: str
    prefix_chars: int
    divergence: int | None = None
    hidden_passed: bool | None = None
    told: tuple[int, ...] = ()
    text: str = ""
    told_text: str = ""
    error: str | None = None
    tests: tuple[KeptTest, ...] = ()


def worth_of(tries: Sequence[Sequence[Attempt]], kind: str, by_turn: bool) -> list[list[float]]:
    """Of each try, the reward of each attempt's program, or of the last one alone. A reward that compares the programs
    of a subtask compares all that get one, so that the same program in two turns is worth the same."""
    paid = [attempts if by_turn else attempts[-1:] for attempts in tries]
    found = iter(rewards([attempt.report for attempts in paid for attempt in attempts], kind))
    return [[next(found) for _ in attempts] for attempts in paid]


def trajectory_of(
    subtask: Subtask, sample: int, prompt_ids: Sequence[int], attempts: Sequence[Attempt], worth: Sequence[float]
) -> Trajectory:
    """`worth`: of these attempts, as `worth_of` gives it."""
    last, turns = attempts[-1], _turns(attempts, worth)
    between = np.concatenate([_one(a, False, True) for a in attempts])
    return Trajectory(
        ticket=subtask.ticket,
        sample=sample,
        problem_id=subtask.problem.id,
        level=subtask.problem.level,
        stage=subtask.stage,
        prompt_ids=np.asarray(prompt_ids, dtype=np.int32),
        response_ids=np.array([i for a in attempts for i in (*a.completion.response_ids, *a.told)], dtype=np.int32),
        logprobs=np.array([p for a in attempts for p in (*a.completion.logprobs, *[0.0] * len(a.told))], np.float32),
        executed=np.concatenate([_filled(a, a.masks.executed) for a in attempts]),
        code=np.concatenate([_filled(a, a.masks.code) for a in attempts]),
        token_lines=np.concatenate([_filled(a, a.masks.token_lines) for a in attempts]),
        error_line=last.report.error_line,
        reward=float(worth[-1]),
        verdict=last.report.verdict,
        finish_reason=last.completion.finish_reason,
        weight_version=min(a.completion.weight_version for a in attempts),
        program=last.program,
        coverage_trusted=last.report.coverage_trusted,
        prefix_chars=last.prefix_chars,
        hidden_passed=last.hidden_passed,
        divergence=last.divergence,
        thoughts=_thoughts(attempts),
        between=between if between.any() else None,
        turns=turns if len(turns) > 1 else (),
        token_versions=_versions(attempts),
        response="".join(a.text + a.told_text for a in attempts),
        token_starts=_written(attempts, [a.masks.token_starts for a in attempts]),
        token_ends=_written(attempts, [a.masks.token_ends for a in attempts]),
        executed_lines=last.report.executed_lines,
        error=last.error,
        tests=last.tests,
    )


def _turns(attempts: Sequence[Attempt], worth: Sequence[float]) -> tuple[Turn, ...]:
    worths = [None] * (len(attempts) - len(worth)) + [float(value) for value in worth]
    turns, at = [], 0
    for attempt, value in zip(attempts, worths, strict=True):
        end, report = at + len(attempt.completion.response_ids), attempt.report
        turns.append(
            Turn(at, end, report.verdict, report.error_line, attempt.completion.finish_reason,
                 report.coverage_trusted, attempt.divergence, value)
        )  # fmt: skip
        at = end + len(attempt.told)
    return tuple(turns)


def _written(attempts: Sequence[Attempt], ends: Sequence[np.ndarray]) -> np.ndarray:
    """Ends of the tokens' spans in the last program; those of the programs before wrote nothing of it."""
    parts = [_filled(a, np.zeros_like(own)) for a, own in zip(attempts[:-1], ends[:-1], strict=True)]
    return np.concatenate([*parts, _filled(attempts[-1], ends[-1])])


def _versions(attempts: Sequence[Attempt]) -> Int32[np.ndarray, " R"] | None:
    """None where the weights of `weight_version` wrote all; what was told has the version of the attempt before."""
    parts = []
    for attempt in attempts:
        own = attempt.completion
        parts += own.token_versions or [own.weight_version] * len(own.response_ids)
        parts += [own.weight_version] * len(attempt.told)
    oldest = min(attempt.completion.weight_version for attempt in attempts)
    return np.asarray(parts, np.int32) if set(parts) - {oldest} else None


def _thoughts(attempts: Sequence[Attempt]) -> Bool[np.ndarray, " R"] | None:
    if all(a.masks.thoughts is None for a in attempts):
        return None
    none = (_one(a, False, False) if a.masks.thoughts is None else _filled(a, a.masks.thoughts) for a in attempts)
    return np.concatenate(list(none))


def _one(attempt: Attempt, own: bool, told: bool) -> Bool[np.ndarray, " n"]:
    return np.array([own] * len(attempt.completion.response_ids) + [told] * len(attempt.told), dtype=bool)


def _filled(attempt: Attempt, mask: np.ndarray) -> np.ndarray:
    """A mask of the attempt's own tokens with zeros for what was told after it."""
    return np.concatenate([mask, np.zeros(len(attempt.told), dtype=mask.dtype)])
