"""Rewards by hand, and what is refused of a user's own function before a run starts."""

import math
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stepcoder.deploy.checks.preflight import check_own
from stepcoder.deploy.config.run import Config
from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.reward import check, hardness, reward, rewards
from stepcoder.executor.report import Report, TestOutcome, Verdict

REWARDS = [
    (Verdict.PASSED, (1.0, 1.0)),
    (Verdict.WRONG_ANSWER, (-0.3, 0.0)),
    (Verdict.RUNTIME_ERROR, (-0.6, 0.0)),
    (Verdict.TIMEOUT, (-0.6, 0.0)),
    (Verdict.MEMORY_LIMIT, (-0.6, 0.0)),
    (Verdict.OUTPUT_LIMIT, (-0.6, 0.0)),
    (Verdict.COMPILE_ERROR, (-1.0, 0.0)),
]


@pytest.mark.parametrize(("verdict", "wanted"), REWARDS)
def test_reward(verdict: Verdict, wanted: tuple[float, float]) -> None:
    assert (reward(Report(verdict), "stepcoder"), reward(Report(verdict), "binary")) == wanted


def test_every_verdict_but_infra_error_has_a_reward() -> None:
    assert {verdict for verdict, _ in REWARDS} == set(Verdict) - {Verdict.INFRA_ERROR}
    for kind in ("stepcoder", "binary", "ratio", "ladder", "verpo"):
        with pytest.raises(ValueError, match="infra_error"):
            reward(Report(Verdict.INFRA_ERROR, error="disk full"), kind)
    with pytest.raises(ValueError, match="choose stepcoder"):
        reward(Report(Verdict.PASSED), "stepkoder")


def test_ratio() -> None:
    ok, bad, error = (TestOutcome(v) for v in (Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR))
    assert reward(Report(Verdict.PASSED, (ok, ok)), "ratio") == 1.0
    assert reward(Report(Verdict.WRONG_ANSWER, (bad, ok, bad, ok)), "ratio") == pytest.approx(0.35)
    assert reward(Report(Verdict.WRONG_ANSWER, (bad,)), "ratio") == -0.3
    assert reward(Report(Verdict.WRONG_ANSWER, (bad, ok, error)), "ratio") == -0.6
    assert reward(Report(Verdict.COMPILE_ERROR), "ratio") == -1.0


OK, BAD, ERROR, LATE = (
    TestOutcome(v) for v in (Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR, Verdict.TIMEOUT)
)
LADDER = [  # tests, reward by hand
    ((OK, OK), 1.0),
    ((BAD,), -0.3),
    ((BAD, OK, BAD, OK), 0.1),  # -0.3 + 0.8 / 2
    ((OK, OK, OK, BAD), 0.3),  # -0.3 + 0.8 * 3 / 4
    ((ERROR,), -0.6),
    ((ERROR, OK), -0.475),  # -0.6 + 0.25 / 2
    ((OK, OK, OK, LATE), -0.4125),  # -0.6 + 0.25 * 3 / 4
    ((BAD, OK, ERROR), -0.6 + 0.25 / 3),
]


def report(tests: tuple[TestOutcome, ...]) -> Report:
    failed = [test.verdict for test in tests if test.verdict is not Verdict.PASSED]
    return Report(failed[0] if failed else Verdict.PASSED, tests)


@pytest.mark.parametrize(("tests", "wanted"), LADDER)
def test_ladder(tests: tuple[TestOutcome, ...], wanted: float) -> None:
    assert reward(report(tests), "ladder") == pytest.approx(wanted)
    assert reward(Report(Verdict.COMPILE_ERROR), "ladder") == -1.0


@given(st.lists(st.sampled_from([OK, BAD, ERROR, LATE]), min_size=1, max_size=12), st.data())
def test_ladder_never_falls_when_a_test_does_better(tests: list[TestOutcome], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(tests) - 1))
    better = list(tests)
    better[place] = data.draw(st.sampled_from({OK: [OK], BAD: [OK]}.get(tests[place], [BAD, OK])))
    before, after = (reward(report(tuple(t)), "ladder") for t in (tests, better))
    assert before <= after and (before < after or tests.count(OK) == better.count(OK))
    assert -1 < before and after <= 1


OWN = """
import math
kept = 3
def half(report): return 0.5 if report.passed else 0
def lines(report): return len(report.executed_lines)
def text(report): return "1"
def truth(report): return report.passed
def nothing(report): return None
def endless(report): return math.inf
def two(report, other): return 1.0
def careless(report): return 1 / len(report.tests)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_rewards.py").write_text(OWN)
    (tmp_path / "own_broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_rewards", raising=False)


@pytest.mark.usefixtures("own")
def test_a_function_of_ones_own() -> None:
    check("own_rewards:half")
    assert reward(report((OK,)), "own_rewards:half") == 0.5
    value = reward(Report(Verdict.WRONG_ANSWER, (BAD,), executed_lines=(1, 4)), "own_rewards:lines")
    assert value == 2.0 and isinstance(value, float)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_rewards:none", "cannot be imported: AttributeError"),
        ("own_missing:half", "cannot be imported: ModuleNotFoundError"),
        ("own_broken:half", "cannot be imported: ZeroDivisionError"),
        ("own_rewards:kept", "is of type int, not a function"),
        ("own_rewards:two", "has to take one argument, the report: missing a required argument"),
        ("own_rewards:text", "finite number, not '1'"),
        ("own_rewards:truth", "finite number, not True"),
        ("own_rewards:nothing", "finite number, not None"),
        ("own_rewards:endless", "finite number, not inf"),
        ("own_rewards:careless", "raised for a program with verdict compile_error: ZeroDivisionError"),
        ("half", "choose stepcoder, binary, ratio, ladder, verpo, or name your own as package.module:function"),
    ],
)
def test_what_cannot_be_a_reward_is_told_why(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(name)


@pytest.mark.usefixtures("own")
def test_a_run_with_an_unusable_reward_does_not_start() -> None:
    check_own(Config.model_validate({"executor": {"reward": "own_rewards:half"}}))
    with pytest.raises(UserError, match="executor.reward: the reward own_rewards:none cannot be imported"):
        check_own(Config.model_validate({"executor": {"reward": "own_rewards:none"}}))


@pytest.mark.parametrize("name", ["stepkoder", "", "a:b:c", "a.:b", ":b", "a b:c"])
def test_the_config_refuses_what_is_no_reward(name: str) -> None:
    with pytest.raises(ValidationError, match="choose stepcoder"):
        ExecutorConfig(reward=name)
    assert ExecutorConfig(reward="my.rewards:mine").reward == "my.rewards:mine"


def test_verpo_weighs_tests_by_how_few_of_the_group_pass_them() -> None:
    # Four programs of two tests, the last of which does not compile. Three pass test 1, one passes test 2. The rates
    # 3/4 and 1/4 have the deviation 1/4, so sigma = 1/8: of the other test each sees exp(-(1/2)^2 / (2 / 64)) = e^-8.
    group = [
        Report(Verdict.PASSED, (OK, OK)),
        Report(Verdict.WRONG_ANSWER, (OK, BAD)),
        Report(Verdict.RUNTIME_ERROR, (OK, ERROR)),
        Report(Verdict.COMPILE_ERROR),
    ]
    easy, hard = math.exp(-1.5) / (1 + math.exp(-8)), math.exp(-0.5) / (1 + math.exp(-8))
    assert hardness([[test.passed for test in report.tests] for report in group]) == pytest.approx([easy, hard])
    assert rewards(group, "verpo") == pytest.approx([1 + easy + hard, easy, easy, 0.0])
    # alone, the test that it fails is as far from the other as can be: sigma = 1/4, exp(-1 / (2 / 16)) = e^-8
    alone = math.exp(-2) / (1 + math.exp(-8))
    assert reward(Report(Verdict.WRONG_ANSWER, (OK, BAD)), "verpo") == pytest.approx(alone)
    with pytest.raises(ValueError, match="infra_error"):
        rewards([*group, Report(Verdict.INFRA_ERROR, error="disk full")], "verpo")


def test_verpo_counts_tests_that_are_as_hard_as_each_other_once() -> None:
    # Three tests that two of four pass: sigma = 0, each sees all three, and together they are worth e^-1.
    same = [[True] * 3, [True] * 3, [False] * 3, [False] * 3]
    assert hardness(same) == pytest.approx([math.exp(-1) / 3] * 3)
    # With one that nobody passes: the deviation of 1/2, 1/2, 1/2, 0 is sqrt(3) / 8, so sigma^2 = 3 / 256, and a test of
    # the one kind sees one of the other as exp(-(1/4) / (6 / 256)) = exp(-32 / 3).
    far = math.exp(-32 / 3)
    weights = hardness([[*row, False] for row in same])
    assert weights == pytest.approx([math.exp(-1) / (3 + far)] * 3 + [1 / (1 + 3 * far)])
