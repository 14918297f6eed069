"""One completion with everything the learner needs to weigh it."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Int32

from stepcoder.curriculum.subtask import Outcome
from stepcoder.executor.report import Verdict
from stepcoder.rollout.kept import KeptTest


@dataclass(frozen=True, slots=True)
class Turn:
    """Response tokens `start` to `end` (excluded) of one of several turns, and what came of its program.

    `worth` is the reward of its program, where one comes at the turn's end; else None, of all but the last.
    """

    start: int
    end: int
    verdict: Verdict
    error_line: int | None
    finish_reason: str
    coverage_trusted: bool
    divergence: int | None
    worth: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """A prompt, the sampled response and what its program did. P prompt tokens, R response tokens.

    `executed` marks response tokens that a unit test executed (FGO); `code` marks those that count
    as written program (the program, its closing fence, the end token; not prose after the fence).
    `token_lines` is the 1-based program line of a response token's first code character (of the one after it, where
    the token is white space only); 0 outside the program.
    `coverage_trusted` is false where `executed` says nothing: the program touched its coverage, or is too long for it.
    `prefix_chars`: characters of `program` that the prompt gave. `hidden_passed`: of a program that passed the tests
    that give the reward, whether it passed the hidden ones; None where none are hidden, or it failed before.
    `token_versions`: the weights that wrote each token, where those of `weight_version` did not write them all.
    `divergence`: of a program that failed a test, the line where its executed lines first differ from the reference
    solution's; None where that was not asked for, or cannot be said. `thoughts`: tokens between the chat template's
    marks for them; None where there are none. `between`: tokens that were put between turns and not sampled (their
    log-probability is 0); None where there are none. `turns`: each of them, where there were several; program, verdict
    and reward are then the last one's.
    Nothing is ever re-tokenised: `prompt_ids + response_ids` is what the engine saw and sampled.

    For a person alone: `prompt` and `response` as text; `token_starts`, `token_ends`, the half-open span of characters
    of `program` that a response token wrote, empty where it wrote none; `executed_lines` of the program, from 1; the
    exception's text; and `tests`, as far as they are kept.
    """

    ticket: int
    sample: int
    problem_id: str
    level: str
    stage: int
    prompt_ids: Int32[np.ndarray, " P"]
    response_ids: Int32[np.ndarray, " R"]
    logprobs: Float32[np.ndarray, " R"]
    executed: Bool[np.ndarray, " R"]
    code: Bool[np.ndarray, " R"]
    token_lines: Int32[np.ndarray, " R"]
    error_line: int | None
    reward: float
    verdict: Verdict
    finish_reason: str
    weight_version: int
    program: str
    coverage_trusted: bool = True
    prefix_chars: int = 0
    hidden_passed: bool | None = None
    token_versions: Int32[np.ndarray, " R"] | None = None
    divergence: int | None = None
    thoughts: Bool[np.ndarray, " R"] | None = None
    between: Bool[np.ndarray, " R"] | None = None
    turns: tuple[Turn, ...] = ()
    prompt: str = ""
    response: str = ""
    token_starts: Int32[np.ndarray, " R"] | None = None
    token_ends: Int32[np.ndarray, " R"] | None = None
    executed_lines: tuple[int, ...] = ()
    error: str | None = None
    tests: tuple[KeptTest, ...] = ()

    @property
    def versions(self) -> Int32[np.ndarray, " R"]:
        """The weights that wrote each token."""
        if self.token_versions is not None:
            return self.token_versions
        return np.full(len(self.response_ids), self.weight_version, np.int32)

    @property
    def thinking(self) -> Bool[np.ndarray, " R"]:
        return np.zeros(len(self.response_ids), dtype=bool) if self.thoughts is None else self.thoughts

    @property
    def sampled(self) -> Bool[np.ndarray, " R"]:
        """Tokens that the policy wrote."""
        return np.ones(len(self.response_ids), dtype=bool) if self.between is None else ~self.between

    def of_turn(self, turn: Turn) -> "Trajectory":
        """One turn as a trajectory of its own."""
        own = slice(turn.start, turn.end)
        return replace(
            self,
            response_ids=self.response_ids[own],
            logprobs=self.logprobs[own],
            executed=self.executed[own],
            code=self.code[own],
            token_lines=self.token_lines[own],
            token_starts=None if self.token_starts is None else self.token_starts[own],
            token_ends=None if self.token_ends is None else self.token_ends[own],
            token_versions=None if self.token_versions is None else self.token_versions[own],
            thoughts=None if self.thoughts is None else self.thoughts[own],
            between=None,
            turns=(),
            verdict=turn.verdict,
            error_line=turn.error_line,
            finish_reason=turn.finish_reason,
            coverage_trusted=turn.coverage_trusted,
            divergence=turn.divergence,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """All completions of one subtask, and what the curriculum is told about them."""

    outcome: Outcome
    trajectories: tuple[Trajectory, ...]


@dataclass(frozen=True, slots=True)
class Unjudged:
    """In the place of a group with a program that the sandbox could not judge, and of which nothing is known.

    `error` is the sandbox's text.
    """

    ticket: int
    problem_id: str
    error: str


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """The few numbers of a group that the driver handles; the tokens stay in the object store.

    `tokens` is what the learner computes for it (prompt once, responses), `generated` the sampled tokens,
    `reward_spread` the largest reward less the smallest: 0 where all are the same. `fails_hidden` counts completions
    that pass the tests that give the reward and fail a hidden one; None where no test is hidden. `version_sum`: the
    versions of the weights that sampled each token, added up. `turns` counts those of all completions, `repaired` the
    completions that passed after a first failure.
    """

    outcome: Outcome
    level: str
    tokens: int
    generated: int
    reward_sum: float
    reward_spread: float
    verdicts: dict[Verdict, int]
    oldest_version: int
    fails_hidden: int | None = None
    version_sum: int = 0
    turns: int = 0
    repaired: int = 0


def summarize(group: Group, hidden: bool = False) -> GroupSummary:
    """Counts over one group; it holds at least one trajectory. `hidden`: whether its problem has hidden tests."""
    first = group.trajectories[0]
    generated = sum(int(t.sampled.sum()) for t in group.trajectories)
    rewards = [t.reward for t in group.trajectories]
    verdicts: dict[Verdict, int] = {}
    for t in group.trajectories:
        verdicts[t.verdict] = verdicts.get(t.verdict, 0) + 1
    return GroupSummary(
        outcome=group.outcome,
        level=first.level,
        tokens=len(first.prompt_ids) + sum(len(t.response_ids) for t in group.trajectories),
        generated=generated,
        reward_sum=sum(rewards),
        reward_spread=max(rewards) - min(rewards),
        verdicts=verdicts,
        oldest_version=min(t.weight_version for t in group.trajectories),
        fails_hidden=sum(t.hidden_passed is False for t in group.trajectories) if hidden else None,
        version_sum=sum(int(t.versions[t.sampled].sum()) for t in group.trajectories),
        turns=sum(len(t.turns) or 1 for t in group.trajectories),
        repaired=sum(bool(t.turns) and t.verdict is Verdict.PASSED for t in group.trajectories),
    )
