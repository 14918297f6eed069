"""The reward of a program, from its report. Pure for the kinds that come with it; runs in the trusted parent.

`stepcoder`  all pass 1, some test fails -0.3, runtime error (limits count as such) -0.6, does not compile -1.
             Source: StepCoder, section 4; CodeRL, arXiv 2207.01780, eq. 5.
`binary`     1 or 0.
`ratio`      -1 and -0.6 as above; -0.3 + 1.3 x share of tests passed for a program that ran every test to its end.
             Source: RLTF, arXiv 2307.04349, adaptive feedback.
`ladder`     stages, and within one the share p of tests passed: -1 does not compile; -0.6 + 0.25 p some test ended in
             an error or a limit; -0.3 + 0.8 p every test ran to its end; 1 all pass. A lower stage never pays more,
             and the last failing test is worth at least 0.5. Source: the stages as above, the shares ours.
`verpo`      1 or 0, and the weights of the tests passed: a test weighs the more, the fewer of the subtask's programs
             pass it. Source: VeRPO, arXiv 2601.03525, version 3, eqs. 3 and 7 to 14.
`package.module:function`  a user's own: called with the report, returns a finite number.
"""

import inspect
import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from stepcoder.executor.report import Ended, Report, TestOutcome, Verdict
from stepcoder.own import own
from stepcoder.settings import DOTTED


def reward(report: Report, kind: str) -> float:
    """A finite number. ValueError for `infra_error`, which says nothing about the program, and for an unusable kind."""
    _judged(report)
    value = _function(kind)(report)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"the reward {kind} has to return a finite number, not {value!r:.100}")
    return float(value)


def rewards(reports: Sequence[Report], kind: str) -> list[float]:
    """Those of one subtask's programs. `verpo` compares them; any other kind looks at each program alone."""
    if kind != VERPO:
        return [reward(report, kind) for report in reports]
    for report in reports:
        _judged(report)
    weights = hardness([[test.passed for test in report.tests] for report in reports])
    return [report.passed + _VERPO_BETA * _weighted(report, weights) for report in reports]


def hardness(passed: Sequence[Sequence[bool]]) -> list[float]:
    """Weight of each test, from the tests that each of n programs passed: exp(-alpha s) / density, where s is the share
    that pass it.

    The density counts the tests whose share is near, itself included, so that many easy tests together are worth no
    more than one: the sum of exp(-(s - s')^2 / (2 sigma^2)). A program that ran no test passed none. Source: VeRPO,
    eqs. 7 to 9; its delta, which keeps a density from 0, is left out, as none is below 1.
    """
    size = max(map(len, passed), default=0)
    shares = [sum(own[test] for own in passed if test < len(own)) / len(passed) for test in range(size)]
    sigma = statistics.pstdev(shares) / 2 if shares else 0.0
    counts = Counter(shares)

    def near(gap: float) -> float:
        return math.exp(-(gap**2) / (2 * sigma**2)) if gap else 1.0

    weights = {
        s: math.exp(-_VERPO_ALPHA * s) / math.fsum(count * near(s - other) for other, count in counts.items())
        for s in counts
    }
    return [weights[s] for s in shares]


def check(kind: str) -> None:
    """ValueError where `kind` cannot be used: what is wrong with it. A user's function is tried on every verdict."""
    for verdict in (v for v in Verdict if v.judged):
        outcomes = (TestOutcome(verdict), TestOutcome(Verdict.PASSED)) if verdict.ran else ()
        report = Report(verdict, outcomes)
        try:
            reward(report if report.passed else replace(report, error="an example"), kind)
        except ValueError:
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            raise ValueError(f"the reward {kind} raised for a program with verdict {verdict}: {problem}") from error


def check_name(kind: str) -> None:
    """ValueError for what is neither a kind that comes with it nor written as a function's dotted name."""
    if kind not in _KINDS and not re.fullmatch(DOTTED, kind):
        known = ", ".join(_KINDS)
        raise ValueError(f"unknown reward {kind!r}: choose {known}, or name your own as package.module:function")


@lru_cache
def _function(kind: str) -> Callable[[Report], object]:
    check_name(kind)
    if kind in _KINDS:
        return _KINDS[kind]
    function = own(kind, "the reward")
    try:
        inspect.signature(function).bind(Report(Verdict.PASSED))
    except TypeError as error:
        raise ValueError(f"the reward {kind} has to take one argument, the report: {error}") from error
    return function


def _stepcoder(report: Report) -> float:
    return report.verdict.paper_reward


def _binary(report: Report) -> float:
    return float(report.passed)


def _ratio(report: Report) -> float:
    if not report.verdict.ran:
        return report.verdict.paper_reward
    return -0.6 if _failures(report) else -0.3 + 1.3 * _share(report)


def _ladder(report: Report) -> float:
    if report.passed or not report.verdict.ran:
        return report.verdict.paper_reward
    share = _share(report) if report.tests else 0.0
    return -0.6 + 0.25 * share if _failures(report) else -0.3 + 0.8 * share


def _verpo(report: Report) -> float:
    return rewards([report], VERPO)[0]


def _weighted(report: Report, weights: Sequence[float]) -> float:
    return math.fsum(w for w, test in zip(weights, report.tests, strict=False) if test.passed)


def _judged(report: Report) -> None:
    if not report.verdict.judged:
        raise ValueError(f"no reward for {report.verdict} ({report.error}): run the program again or leave it out")


def _failures(report: Report) -> bool:
    """Whether some test did not run to its end."""
    return any(test.verdict.ended is not Ended.ANSWER for test in report.tests)


def _share(report: Report) -> float:
    return sum(test.passed for test in report.tests) / len(report.tests)


VERPO = "verpo"
# How fast a test's weight falls with the share that pass it, and the weight of the sum beside the outcome. Source of
# alpha: VeRPO; beta is ours.
_VERPO_ALPHA, _VERPO_BETA = 2.0, 1.0
_KINDS: dict[str, Callable[[Report], object]] = {
    "stepcoder": _stepcoder,
    "binary": _binary,
    "ratio": _ratio,
    "ladder": _ladder,
    VERPO: _verpo,
}
