"""Repair in turns: what the model is told, and one trajectory of several attempts, by hand."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from stepcoder.curriculum.config import PromptConfig
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.prompts import Prompter
from stepcoder.curriculum.subtask import Subtask
from stepcoder.deploy.config.load import load_config
from stepcoder.errors import UserError
from stepcoder.executor.report import Report, TestOutcome, Verdict
from stepcoder.executor.suite import Case, Suite
from stepcoder.learner.advantages import estimate
from stepcoder.learner.advantages.completions import Completions
from stepcoder.learner.batch import build_batch
from stepcoder.learner.config import FGO, GAE, AllCredit, RewardConfig
from stepcoder.learner.masks import credit_mask
from stepcoder.learner.rewards import turn_rewards
from stepcoder.learner.tally import Reduce
from stepcoder.rollout.attempts import Attempt, trajectory_of, worth_of
from stepcoder.rollout.engine import Completion
from stepcoder.rollout.repair import told
from stepcoder.rollout.text.mask import TokenMasks
from stepcoder.rollout.trajectory import Group, Trajectory, summarize
from stepcoder.rollout.worker import sample_seed
from tests.tools.tiny_model import build_tiny_tokenizer

ALONE = Reduce(1, lambda values: values, lambda number: number)
OK, WRONG = TestOutcome(Verdict.PASSED), TestOutcome(Verdict.WRONG_ANSWER)
ADD = Suite("call", (Case([1, 2], 3), Case([0, 2], 2, {"carry": True})), "add")
PROBLEM = Problem("add", "test", "introductory", "Add.", "", "def add(a, b):\n    return a + b\n", ADD)
SUBTASK = Subtask(3, PROBLEM, 0, "")


@pytest.mark.parametrize(
    ("report", "suite", "said"),
    [
        (Report(Verdict.WRONG_ANSWER, (OK, WRONG)), ADD,
         "Your program answers wrongly.\n\nThe input was:\nadd(0, 2, carry=True)"),
        (Report(Verdict.RUNTIME_ERROR, (TestOutcome(Verdict.RUNTIME_ERROR), OK), error="KeyError: 7", error_line=2),
         Suite("stdin", (Case("1 2\n", "3\n"),)),
         "Your program raises an exception.\n\nThe input was:\n1 2\n\n\nThe error in line 2:\nKeyError: 7"),
        (Report(Verdict.COMPILE_ERROR, error="SyntaxError: invalid syntax", error_line=1), ADD,
         "Your program is no valid Python.\n\nThe error in line 1:\nSyntaxError: invalid syntax"),
        # of an assert the call, without what is expected of it; nothing where that cannot be told apart
        (Report(Verdict.WRONG_ANSWER, (WRONG,)), Suite("assert", (Case("assert f([1, 2]) == 5"),)),
         "Your program answers wrongly.\n\nThe input was:\nf([1, 2])"),
        (Report(Verdict.WRONG_ANSWER, (WRONG,)), Suite("assert", (Case("assert f(1) == f(2)"),)),
         "Your program answers wrongly."),
        (Report(Verdict.TIMEOUT, (TestOutcome(Verdict.TIMEOUT),)), Suite("stdin", (Case("x" * 900, "3\n"),)),
         "Your program takes too long.\n\nThe input was:\n" + "x" * 30 + "..."),
    ],
)  # fmt: skip
def test_a_model_is_told_verdict_input_and_exception_and_no_answer(report: Report, suite: Suite, said: str) -> None:
    assert told(report, suite, 30) == said


BESIDE = Suite("pytest", (Case("test_f"),), module="def test_f():\n    same(f(1), 5)\n")
GUARDED = Suite("assert", (Case("assert f(1) == f(2)"),))
CALLED = Suite("assert", (Case("assert f(1) == 5"),))


@pytest.mark.parametrize(
    ("suite", "error", "line", "said"),
    [
        (BESIDE, "ValueError: 1 is not 5", None, "ValueError"),  # of the test's own code
        (GUARDED, "ValueError: 1 is not 5", None, "ValueError"),
        (BESIDE, "ValueError: 1: odd", 3, "ValueError: 1: odd"),  # of the program
        (CALLED, "NameError: entry point 'f' is not defined by the program", None, None),
        (ADD, "KeyError: 5", None, None),
        (BESIDE, "NameError: name 'f' is not defined", None, None),
        (BESIDE, "NameError: name 'f' is not defined: 5", None, "NameError"),
        (BESIDE, "TypeError: f() missing 1 required positional argument: 'b'", None, None),
        (BESIDE, "TypeError: f() takes 1 positional argument but 2 were given", None, None),
    ],
)
def test_of_an_exception_of_the_tests_own_code_the_kind_is_told(
    suite: Suite, error: str, line: int | None, said: str | None
) -> None:
    report = Report(Verdict.RUNTIME_ERROR, (TestOutcome(Verdict.RUNTIME_ERROR),), error=error, error_line=line)
    assert told(report, suite, 400).rpartition(":\n")[2] == (said or error)


def test_the_next_turn_begins_as_the_first() -> None:
    tokenizer = build_tiny_tokenizer()
    prefilled = Prompter(tokenizer, PromptConfig())
    end = "<|im_end|>\n<|im_start|>user\nWrong.\n\nWrite the corrected program.<|im_end|>\n<|im_start|>assistant\n"
    assert prefilled.next_turn(PROBLEM, "", "Wrong.") == f"{end}```python"
    assert prefilled.next_turn(PROBLEM, "def add(a, b):\n", "Wrong.") == f"{end}```python\ndef add(a, b):"
    # a program chooses what its exception says
    assert prefilled.next_turn(PROBLEM, "", "@answer@ or @answer@.").startswith(
        "<|im_end|>\n<|im_start|>user\n@answer@ or @answer@.\n\nWrite"
    )
    replied = Prompter(tokenizer, PromptConfig(form="instruct"))
    assert replied.next_turn(PROBLEM, "def add(a, b):\n", "Wrong.") == end
    tokenizer.chat_template = None
    assert replied.next_turn(PROBLEM, "", "Wrong.") == "\n\nWrong.\n\nWrite the corrected program.\n\n"


def attempt(ids: list[int], verdict: Verdict, executed: list[int], **changes: Any) -> Attempt:
    """Every token is code on line 1."""
    count = len(ids)
    line, starts = np.ones(count, np.int32), 4 * np.arange(count, dtype=np.int32)
    masks = TokenMasks(np.array(executed, bool), np.ones(count, bool), line, starts, starts + 4)
    completion = Completion(ids, [-1.0] * count, "eos", changes.pop("version", 5))
    return Attempt(completion, masks, Report(verdict), f"program {ids[0]}", 0, **changes)


FIRST = attempt([11, 12], Verdict.COMPILE_ERROR, [0, 0], told=(91, 92, 93), version=4)
SECOND = attempt([21, 22, 23], Verdict.WRONG_ANSWER, [1, 0, 1], told=(94,))
THIRD = attempt([31, 32], Verdict.PASSED, [1, 1])


def joined(attempts: list[Attempt], worth: list[float]) -> Trajectory:
    return trajectory_of(SUBTASK, 2, [1, 2, 3], attempts, worth)


def test_attempts_are_one_trajectory_by_hand() -> None:
    t = joined([FIRST, SECOND, THIRD], [1.0])
    assert t.prompt_ids.tolist() == [1, 2, 3] and (t.ticket, t.sample) == (3, 2)
    assert t.response_ids.tolist() == [11, 12, 91, 92, 93, 21, 22, 23, 94, 31, 32]
    assert t.sampled.astype(int).tolist() == [1, 1, 0, 0, 0, 1, 1, 1, 0, 1, 1]
    assert t.logprobs.tolist() == [-1, -1, 0, 0, 0, -1, -1, -1, 0, -1, -1]
    assert t.executed.astype(int).tolist() == [0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 1]
    assert (t.program, t.verdict, t.reward, t.weight_version) == ("program 31", Verdict.PASSED, 1.0, 4)
    assert [(turn.start, turn.end, turn.verdict) for turn in t.turns] == [
        (0, 2, Verdict.COMPILE_ERROR), (5, 8, Verdict.WRONG_ANSWER), (9, 11, Verdict.PASSED),
    ]  # fmt: skip
    # each turn by its own program: all of one that does not compile, the executed tokens of the others
    assert credit_mask(t, FGO(), step=1, seed=0).astype(int).tolist() == [1, 1, 0, 0, 0, 1, 0, 1, 0, 1, 1]
    assert credit_mask(t, AllCredit(), step=1, seed=0).tolist() == t.sampled.tolist()
    summary = summarize(Group(None, (t, joined([THIRD], [1.0]))))  # type: ignore[arg-type]
    assert (summary.tokens, summary.generated, summary.turns, summary.repaired) == (3 + 11 + 2, 9, 4, 1)
    assert summary.version_sum == 2 * 4 + 3 * 5 + 2 * 5 + 2 * 5  # of the nine, not of what was told


def test_one_attempt_is_a_plain_trajectory() -> None:
    t = joined([THIRD], [1.0])
    assert t.turns == () and t.between is None and t.sampled.all() and by_token(t)[0] == [0.0, 1.0]


def by_token(*trajectories: Trajectory) -> list[list[float]]:
    """What comes of each one's reward at each of its tokens, without anything that is done to it."""
    batch = build_batch(trajectories, FGO(), step=1, seed=0)
    found = torch.zeros(batch.tokens)
    found[batch.turns.ends - 1] = turn_rewards(batch, RewardConfig(), ALONE, by_group=False)
    return [part.tolist() for part in batch.per_sequence(found)]


def test_rewards_come_at_the_end_or_by_turn() -> None:
    end, turn = joined([FIRST, SECOND, THIRD], [1.0]), joined([FIRST, SECOND, THIRD], [-1.0, -0.3, 1.0])
    assert end.reward == turn.reward == 1.0
    assert by_token(end)[0] == [0.0] * 10 + [1.0]
    # -1, then -0.3 - -1 = 0.7, at the last token of the first and second turn; 1.3 is left for the last
    found, alone = by_token(turn, joined([THIRD], [1.0]))
    assert found == pytest.approx([0, -1, 0, 0, 0, 0, 0, 0.7, 0, 0, 1.3]) and alone == [0.0, 1.0]
    batch = build_batch([turn, joined([THIRD], [1.0])], FGO(), step=1, seed=0)
    assert batch.written == (7, 2) and batch.rewards.tolist() == [1.0, 1.0]

    def returns(t: Trajectory) -> list[float]:
        """Of each token that was sampled, without a critic's help: gamma and lambda 1, values 0."""
        at_tokens = torch.tensor(by_token(t)[0])[t.sampled]
        count = len(at_tokens)
        seen = Completions(torch.zeros(1), at_tokens, torch.zeros(count), (count,), (0,))
        return estimate(GAE(gamma=1.0, lam=1.0), seen).tolist()

    assert returns(end) == pytest.approx([1.0] * 7)
    assert returns(turn) == pytest.approx([1.0] * 2 + [2.0] * 3 + [1.3] * 2)  # -1 + 0.7 + 1.3; 0.7 + 1.3; 1.3


def test_a_model_that_repairs_nothing_gains_nothing() -> None:
    again = attempt([21, 22], Verdict.WRONG_ANSWER, [1, 1])
    alone = attempt([11], Verdict.WRONG_ANSWER, [1], told=(91,))
    by_turn, at_end = joined([alone, again], [-0.3, -0.3]), joined([alone, again], [-0.3])
    assert by_turn.reward == at_end.reward == -0.3
    assert by_token(by_turn)[0] == pytest.approx([-0.3, 0, 0, 0])  # nothing for its second turn
    assert by_token(at_end)[0] == pytest.approx([0, 0, 0, -0.3])


def test_a_later_turn_has_random_numbers_of_its_own() -> None:
    assert sample_seed(1, 2, 3) == sample_seed(1, 2, 3, 0)
    assert len({sample_seed(1, 2, 3, turn) for turn in range(4)} | {sample_seed(1, 2, 4, 1)}) == 5


def test_a_reward_that_compares_programs_compares_those_of_all_turns() -> None:
    half = replace(FIRST, report=Report(Verdict.WRONG_ANSWER, (OK, WRONG)))
    whole = replace(FIRST, report=Report(Verdict.PASSED, (OK, OK)))
    tries = [[half, half], [half, whole]]
    # All four programs pass test 1, one passes test 2: sigma = 3/16, and the other test is seen as exp(-8).
    easy, hard = math.exp(-2) / (1 + math.exp(-8)), math.exp(-0.5) / (1 + math.exp(-8))
    first, second = worth_of(tries, "verpo", by_turn=True)
    assert first == pytest.approx([easy, easy]) and second == pytest.approx([easy, 1 + easy + hard])
    # of the last programs both pass test 1, one test 2: sigma = 1/8
    hard = math.exp(-1) / (1 + math.exp(-8))
    assert worth_of(tries, "verpo", by_turn=False) == [pytest.approx([easy]), pytest.approx([1 + easy + hard])]


def test_rewards_by_turn_need_an_estimator_that_sees_them() -> None:
    turns = ["--rollout.repair", "turns", "--rollout.repair.reward", "turn"]
    assert load_config(None, turns, {}).rollout.repair.type == "turns"
    with pytest.raises(UserError, match=r"rollout.repair.reward = turn has no effect with learner.advantage.type grpo"):
        load_config(None, [*turns, "--algorithm", "grpo"], {})
