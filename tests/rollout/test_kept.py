"""What a trajectory keeps of its tests: readable, bounded, storable."""

import json

import pytest

from stepcoder.executor.case_text import case_text, cut, got_text
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Report, TestOutcome, Verdict
from stepcoder.executor.suite import Case, Suite
from stepcoder.rollout.kept import kept_tests, storable

CALL = Suite("call", tuple(Case([n, "+"], n + 1, {"c": [1, 2]}) for n in range(9)), "f")


@pytest.mark.parametrize(
    ("suite", "input", "expected"),
    [
        (Suite("stdin", (Case("1 2\n", "3\n"),)), "1 2", "3"),
        (CALL, "0, '+', c=[1, 2]", "1"),
        (Suite("assert", (Case("assert f(1) == 2"),)), "assert f(1) == 2", ""),
        (Suite("pytest", (Case("test_f"),), module="def test_f(): ..."), "test_f", ""),
    ],
)
def test_a_test_reads_as_its_kind(suite: Suite, input: str, expected: str) -> None:
    assert case_text(suite, suite.cases[0]) == (input, expected)


def test_an_answer_is_what_the_program_gave() -> None:
    wrong = TestOutcome(Verdict.WRONG_ANSWER, answer=json.dumps([1, {"t": [2]}])[:9])  # cut short
    assert got_text(CALL, CALL.cases[0], wrong) == wrong.answer
    assert got_text(CALL, CALL.cases[0], TestOutcome(Verdict.WRONG_ANSWER, answer="[1, 2]")) == "[1, 2]"
    assert got_text(CALL, CALL.cases[0], TestOutcome(Verdict.PASSED)) == "1"
    assert got_text(CALL, CALL.cases[0], TestOutcome(Verdict.TIMEOUT)) == ""


def test_the_first_failure_is_kept_and_texts_are_cut() -> None:
    outcomes = [TestOutcome(Verdict.PASSED)] * 6 + [TestOutcome(Verdict.RUNTIME_ERROR, error="E" * 500, error_line=2)]
    report = Report(Verdict.RUNTIME_ERROR, tuple(outcomes))
    kept = kept_tests(CALL, report, shown=6, most=3, chars=20)
    assert [test.number for test in kept] == [1, 2, 7] and [test.hidden for test in kept] == [False, False, True]
    assert kept[2].error == "E" * 20 + "... (500 characters)" and kept[2].error_line == 2
    assert kept_tests(CALL, report, 7, 0, 20) == () and kept_tests(CALL, Report(Verdict.COMPILE_ERROR), 7, 3, 20) == ()
    assert cut("abc", 3) == "abc" and storable("a\ud800") == "a\\ud800"


def test_a_real_report_has_input_expected_and_got() -> None:
    suite = Suite("call", (Case([4], 5), Case([0], 1), Case([1], 2)), "f")
    with LocalPool(ExecutorConfig(workers=1)) as pool:
        report = pool.run("def f(x):\n    print('hi')\n    return (x, 8) if x == 4 else 1 // x + 1\n", suite)
    first, second, third = kept_tests(suite, report, 3, 9, 99)
    assert (first.verdict, first.input, first.expected, first.got, first.stdout) == (
        "wrong_answer", "4", "5", "(4, 8)", "hi\n",
    )  # fmt: skip
    assert second.error is not None and "ZeroDivisionError" in second.error and second.error_line == 3
    assert (third.verdict, third.got) == ("passed", "2")
