"""Refinement's decisions: uniform tests, named reasons, order of solutions, near-duplicates, contamination, split."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepcoder.curriculum.data.examine import Finding, Run, examine, refined
from stepcoder.curriculum.data.keep import held_out
from stepcoder.curriculum.data.near_duplicates import EvaluationTexts, SimilarTexts, shingles, similarity
from stepcoder.curriculum.data.readers.record import Reason, Record, Rejected
from stepcoder.curriculum.data.soundness import (
    executed_share,
    fault,
    is_python2,
    preferred,
    reason_of,
    uniform,
    unwrapped,
)
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.executor.report import Report, TestOutcome, Verdict
from stepcoder.executor.suite import Case, Suite

STDIN = Suite("stdin", (Case("1\r\n2", "3 \r\n\r\n"), Case("0\n\n", "0")))
CALL = Suite("call", (Case([1], [2]), Case([2], [3])), "f")


def problem(suite: Suite = STDIN, solution: str = "print(1)\n", statement: str = "Add.", **changes: Any) -> Problem:
    fields: dict[str, Any] = {"id": "a", "source": "test", "level": "interview", "starter_code": ""} | changes
    return Problem(statement=statement, solution=solution, suite=suite, **fields)


def failed(verdict: Verdict, error: str | None = None, tests: int = 2, line: int | None = None) -> Report:
    """The last test of some failed."""
    outcomes = [TestOutcome(Verdict.PASSED)] * (tests - 1) + [TestOutcome(verdict, error=error, stdout="4\n")]
    return Report(verdict, tuple(outcomes), (1,), error, line)


# -- uniform -----------------------------------------------------------------------------------------------------------


def test_texts_get_the_same_line_ends_and_only_those_of_outputs_are_stripped() -> None:
    made = uniform(problem(statement="\ufeffAdd.\r\n", solution="\ufeffif a:\r\n\tb\r\n", starter_code="a\rb"))
    assert made.suite.cases == (Case("1\n2\n", "3\n"), Case("0\n\n", "0\n"))
    assert (made.statement, made.solution, made.starter_code) == ("Add.", "if a:\n\tb\n", "a\nb")
    assert uniform(made) == made


def test_an_empty_input_or_output_stays_empty() -> None:
    assert uniform(problem(Suite("stdin", (Case("", "\n \n"),)))).suite.cases == (Case("", ""),)


def test_values_of_calls_are_not_touched() -> None:
    suite = Suite("call", (Case(["a\r\n"], "b\r\n "),), "f")
    assert uniform(problem(suite)).suite == suite


def test_expected_values_come_out_of_their_lists_only_together() -> None:
    other = unwrapped(CALL)
    assert other is not None and other.cases == (Case([1], 2), Case([2], 3))
    assert unwrapped(Suite("call", (Case([1], [2]), Case([2], [3, 4])), "f")) is None
    assert unwrapped(Suite("call", (Case([1], [2]), Case([2], 3)), "f")) is None
    assert unwrapped(Suite("stdin", (Case("1", "2"),))) is None


# -- reasons -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (problem(statement=" \n"), Reason.NO_STATEMENT),
        (problem(Suite("stdin", (Case("1", ""), Case("2", " \n")))), Reason.MISSING_OUTPUT),
        (problem(Suite("call", (Case([1], 2),))), Reason.BAD_TEST),
        (problem(Suite("assert", (Case("f(1)"),))), Reason.BAD_TEST),
        (problem(), None),
        (problem(Suite("stdin", (Case("1", ""), Case("2", "3")))), None),
        (problem(Suite("call", (Case([1], None),), "f")), None),
    ],
)
def test_what_is_seen_without_running(made: Problem, reason: Reason | None) -> None:
    found = fault(made)
    assert (found and found[0]) == reason


RUNTIME = [
    ("ModuleNotFoundError: No module named 'numpy'", "", Reason.MISSING_IMPORT),
    ("ImportError: cannot import name 'gcd' from 'fractions'", "", Reason.MISSING_IMPORT),
    ("NameError: name 'heapq' is not defined. Did you forget to import 'heapq'?", "", Reason.MISSING_IMPORT),
    ("NameError: name 'defaultdict' is not defined", "", Reason.MISSING_IMPORT),
    ("NameError: name 'List' is not defined", "", Reason.MISSING_IMPORT),
    ("NameError: name 'result' is not defined", "", Reason.RUNTIME_ERROR),
    ("NameError: name 'count' is not defined", "def f():\n    count = 1", Reason.RUNTIME_ERROR),
    ("NameError: name 'raw_input' is not defined", "", Reason.PYTHON2),
    ("NameError: name 'xrange' is not defined", "", Reason.PYTHON2),
    ("NameError: name 'unicode' is not defined", "for unicode in []: pass", Reason.RUNTIME_ERROR),
    ("ModuleNotFoundError: No module named 'urllib2'", "", Reason.PYTHON2),
    ("ImportError: cannot import name 'izip' from 'itertools'", "", Reason.PYTHON2),
    ("AttributeError: 'dict' object has no attribute 'iteritems'", "", Reason.PYTHON2),
    ("AttributeError: 'NoneType' object has no attribute 'val'", "", Reason.RUNTIME_ERROR),
    ("ValueError: invalid literal for int()", "", Reason.RUNTIME_ERROR),
    ("killed by SIGSEGV", "", Reason.RUNTIME_ERROR),
]


@pytest.mark.parametrize(("error", "program", "reason"), RUNTIME)
def test_what_an_exception_tells(error: str, program: str, reason: Reason) -> None:
    found, detail = reason_of(failed(Verdict.RUNTIME_ERROR, error, line=7), program, CALL)
    assert found == reason and detail == f"test 2 of 2: {error} (line 7)"


PYTHON2 = [
    'print "a"', "print x", "print -1", "print >>f, x", "    print 'a' % b", "try: pass\nexcept IOError, e: pass",
    "raise ValueError, 'a'", "exec 'a'", "if a <> b: pass", "a = `b`", "a = 0777", "a = 12L",
]  # fmt: skip
PYTHON3_BROKEN = [
    "def f(:", "print(1", "# print x\ny = (", 'a = "print x" +', "def f()\n    print (a)",
    "for i in range(10)\n    pass", "raise ValueError('a, b'", "a = 10 +", "except (A, B):", "a = 0x1L_",
]  # fmt: skip


def test_python_2_is_told_from_a_broken_program() -> None:
    assert [text for text in PYTHON2 if not is_python2(text)] == []
    assert [text for text in PYTHON3_BROKEN if is_python2(text)] == []
    assert reason_of(failed(Verdict.COMPILE_ERROR, "E"), "print 1", CALL)[0] is Reason.PYTHON2
    assert reason_of(failed(Verdict.COMPILE_ERROR, "E"), "print(1", CALL)[0] is Reason.DOES_NOT_COMPILE


def test_a_disagreement_is_told_with_both_values() -> None:
    report = failed(Verdict.WRONG_ANSWER)
    suite = Suite("stdin", (Case("1", "2"), Case("3", "5\n")))
    assert reason_of(report, "", suite) == (Reason.WRONG_OUTPUT, "test 2 of 2: '5' was expected, '4' was printed")
    assert reason_of(report, "", CALL) == (Reason.WRONG_OUTPUT, "test 2 of 2: [3] was expected")
    huge = Suite("call", (Case([1], 2), Case([1], 10**5000)), "f")
    assert reason_of(report, "", huge)[1] == "test 2 of 2: a value with a huge integer was expected"
    empty = Suite("stdin", (Case("1", "2"), Case("3", "")))
    assert reason_of(report, "", empty)[0] is Reason.MISSING_OUTPUT


@pytest.mark.parametrize("verdict", [Verdict.TIMEOUT, Verdict.MEMORY_LIMIT, Verdict.OUTPUT_LIMIT])
def test_limits_keep_their_names(verdict: Verdict) -> None:
    assert reason_of(failed(verdict, "too much"), "", CALL) == (verdict, "test 2 of 2: too much")


def test_details_do_not_tell_one_run_from_another() -> None:
    report = failed(Verdict.RUNTIME_ERROR, "TypeError: <f at 0x7f12a4b3c2d0>\nis not that")
    assert reason_of(report, "", CALL)[1] == "test 2 of 2: TypeError: <f at 0x...> is not that"


# -- solutions ---------------------------------------------------------------------------------------------------------


def test_the_order_in_which_solutions_are_tried() -> None:
    found = ["for i in range(9):\n    pass\n", "", "a = 1", "if a:\n    pass\nif b:\n    pass\n", "b = 1"]
    assert preferred(found, "first") == [0, 2, 3, 4]
    assert preferred(found, "shortest") == [2, 4, 0, 3]
    assert preferred(found, "conditionals") == [3, 0, 2, 4]


def test_lines_with_executed_code_are_counted() -> None:
    program = "def f(a):\n    if a:\n        return 1\n\n    else:\n        return 2\n# end\n"
    assert executed_share(program, [1, 2, 3]) == (4, 6, [5, 6])
    assert executed_share(program, []) == (0, 6, [1, 2, 3, 5, 6, 7])
    assert executed_share("", []) == (0, 0, [])


def run(entry: Record | Rejected, answers: dict[str, Report], preference: Any = "first", most: int = 0) -> Finding:
    """The finding where programs are answered as given, all others with a pass; each is asked for once."""
    asked: list[Run] = []
    examination = examine(entry, "entry 1", preference, most)
    try:
        wanted = next(examination)
        while True:
            asked += wanted
            passed = Report(Verdict.PASSED, executed_lines=(1,))
            wanted = examination.send([answers.get(item.program, passed) for item in wanted])
    except StopIteration as end:
        assert all(asked.count(item) == 1 for item in asked)
        return end.value


def record(*solutions: str, suite: Suite = STDIN) -> Record:
    return Record(problem(suite, solutions[0]), solutions)


def test_the_first_solution_that_passes_is_kept() -> None:
    entry = record("a = 10", "b\r\n", "c")
    finding = run(entry, {"a = 10": failed(Verdict.WRONG_ANSWER)})
    assert (finding.reason, finding.solution, finding.tests, finding.lines) == (None, 1, 2, (1, 1))
    assert refined(entry, finding).solution == "b\n"
    assert run(entry, {}, "shortest").solution == 2


def test_a_problem_without_a_passing_solution_says_why_its_preferred_one_fails() -> None:
    answers = {"a": failed(Verdict.TIMEOUT, "late"), "b": failed(Verdict.WRONG_ANSWER)}
    finding = run(record("a", "b"), answers)
    assert finding.reason is Verdict.TIMEOUT
    assert finding.detail == "test 2 of 2: late; nor does any of the 1 other solutions pass"


def test_wrapped_values_are_unwrapped_where_the_solution_agrees_only_so() -> None:
    entry = record("a", suite=CALL)
    examination = examine(entry, "entry 1", "first", 0)
    assert next(examination) == [Run("a", CALL)]
    (again,) = examination.send([failed(Verdict.WRONG_ANSWER)])
    assert again.suite == unwrapped(CALL)
    with pytest.raises(StopIteration) as end:
        examination.send([Report(Verdict.PASSED)])
    finding = end.value.value
    assert finding.unwrapped and refined(entry, finding).suite == unwrapped(CALL)
    assert not run(entry, {}).unwrapped and refined(entry, run(entry, {})).suite == CALL


def test_a_failed_sandbox_is_no_verdict() -> None:
    broken = Report(Verdict.INFRA_ERROR, error="gone")
    assert run(record("a", "b"), {"a": broken}).reason is Reason.NOT_JUDGED
    finding = run(
        record("a = 1\nb = 2"), {"a = 2\nb = 2": broken, "a = 1\nb = 3": failed(Verdict.WRONG_ANSWER)}, most=9
    )
    assert (finding.reason, finding.mutants, finding.survivors) == (None, 1, ())


def test_mutants_that_pass_are_told() -> None:
    finding = run(record("a = 1\nb = 2"), {"a = 2\nb = 2": failed(Verdict.WRONG_ANSWER)}, most=9)
    assert (finding.mutants, finding.survivors) == (2, ((2, "2 became 3"),))


def test_a_finding_survives_json() -> None:
    finding = Finding("a", "interview", "entry 1", Verdict.TIMEOUT, "b", 1, True, 2, (3, 4), (5,), 6, ((7, "c"),))
    assert Finding.from_json(finding.as_json()) == finding
    rejected = run(Rejected(Reason.BAD_JSON, "x, line 3", "why"), {})
    assert (rejected.where, rejected.reason, rejected.detail) == ("x, line 3", Reason.BAD_JSON, "why")


# -- near-duplicates, contamination, split -----------------------------------------------------------------------------


def test_similarity_by_hand() -> None:
    one, two = shingles("a b c d e f", 3), shingles("a b c d e x", 3)  # 4 runs each, 3 of them shared
    assert similarity(one, two) == 3 / 5
    assert similarity(one, shingles("A  b\nC d e\tF", 3)) == 1
    assert similarity(shingles("a b"), shingles("a b")) == 1 and similarity(shingles("a b"), shingles("a c")) == 0
    assert similarity(shingles(""), shingles("")) == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 12))
def test_similar_texts_are_found_and_no_others(seed: int, edits: int) -> None:
    chooser = random.Random(seed)
    words = [str(chooser.randrange(10**6)) for _ in range(200)]
    changed = list(words)
    for place in chooser.sample(range(200), edits):
        changed[place] = "edited"
    texts = SimilarTexts(0.7)
    for number in range(20):
        texts.add(shingles(" ".join(str(chooser.randrange(10**6)) for _ in range(200))))
        if number == 10:
            place = texts.add(shingles(" ".join(words)))
    text = shingles(" ".join(changed))
    exact = similarity(shingles(" ".join(words)), text)
    assert texts.similar(text) == ([(place, exact)] if exact >= 0.7 else [])


def test_the_most_similar_text_comes_first_then_the_earliest() -> None:
    base = " ".join(map(str, range(100)))
    texts = SimilarTexts(0.5)
    for text in (base + " x", base, base):
        texts.add(shingles(text))
    assert [number for number, _ in texts.similar(shingles(base))] == [1, 2, 0]


def test_contamination_counts_the_runs_of_the_evaluation_text() -> None:
    texts = EvaluationTexts(0.5, words=3)
    texts.add("e1", "one two three four five six")  # 4 runs
    texts.add("e2", "seven eight nine")
    assert texts.contaminates("Intro: one two three FOUR, and so on for a long time") == ("e1", 0.5)
    assert texts.contaminates("one two three and five six seven") is None
    assert texts.contaminates("so: seven eight nine") == ("e2", 1.0)
    assert texts.contaminates("") is None


@given(st.text(), st.floats(0, 1), st.floats(0, 1), st.text())
def test_a_larger_share_only_adds_problems(id: str, one: float, two: float, salt: str) -> None:
    assert held_out(id, min(one, two), salt) <= held_out(id, max(one, two), salt)
    assert not held_out(id, 0.0, salt) and held_out(id, 1.0, salt)


def test_the_split_is_the_same_for_ever_and_near_its_share() -> None:
    chosen = [n for n in range(10_000) if held_out(f"apps/{n}", 0.1)]
    assert chosen[:5] == [12, 34, 38, 43, 51]
    assert 900 < len(chosen) < 1100
    other = {n for n in range(10_000) if held_out(f"apps/{n}", 0.1, "other")}
    assert 50 < len(other & set(chosen)) < 170  # independent
