"""Tests that are added: inputs alike to those given, answers that can be relied on, and only where they see more."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stepcoder.curriculum.data.examine import Finding, examine, refined
from stepcoder.curriculum.data.judge import Effort, Pools, examined
from stepcoder.curriculum.data.likely_invariants import Invariants
from stepcoder.curriculum.data.new_inputs import new_cases
from stepcoder.curriculum.data.readers.record import Record
from stepcoder.curriculum.problems.dump import problem_line
from stepcoder.curriculum.problems.load import load_problems
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.deploy.cli import main
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.sandbox.values.structures import BinaryTree, LinkedList
from stepcoder.executor.suite import Case, Suite

# -- inputs ------------------------------------------------------------------------------------------------------------


def calls(*inputs: list[Any]) -> Suite:
    return Suite("call", tuple(Case(arguments, 0) for arguments in inputs), "f")


def made(suite: Suite, most: int = 40) -> list[Any]:
    found = [case.input for case in new_cases(suite, "seed", most)]
    assert found == [case.input for case in new_cases(suite, "seed", most)], "not the same twice"
    texts = [repr(value) for value in found]
    assert len(set(texts)) == len(texts) and not set(texts) & {repr(case.input) for case in suite.cases}
    return found


def test_numbers_texts_and_lists_stay_within_what_was_seen() -> None:
    found = made(calls([[5, 1, 9], "abc", 1.5], [[2, 7, 7, 3], "ca", 4.0]))
    assert len(found) == 40
    for numbers, text, share in found:
        assert 3 <= len(numbers) <= 4 and all(1 <= n <= 9 for n in numbers)
        assert 2 <= len(text) <= 3 and set(text) <= set("abc") and 1.5 <= share <= 4.0
    assert len({type(value) for arguments in found for value in arguments}) == 3
    assert len({repr(arguments[n]) for arguments in found for n in range(3)}) > 20


@pytest.mark.parametrize(
    ("suite", "rule"),
    [
        (calls([[1, 4, 9]], [[2, 3]]), lambda a: a == sorted(a)),
        (calls([[9, 4, 1]], [[3, 3]]), lambda a: a == sorted(a, reverse=True)),
        (calls([[4, 5, 0, 1]], [[7, 0, 2, 3]]), lambda a: sum(a[n] > a[n - 1] for n in range(len(a))) >= len(a) - 1),
        (calls([[4, 1, 9]], [[2, 3, 7, 1]]), lambda a: len(set(a)) == len(a)),
        (calls([[3, 1, 2]], [[1, 2, 4, 3]]), lambda a: sorted(a) == list(range(1, len(a) + 1))),
        (calls([[[1, 2], [3, 4]]], [[[5, 6, 7]]]), lambda a: len({len(row) for row in a}) == 1),
        (calls([[[1, 5], [2, 6], [0, 9]]], [[[3, 7]]]), lambda a: all(x <= 3 and y >= 5 for x, y in a)),
        (calls(["104"], ["7"]), lambda a: a == "0" or a[0] != "0"),
        (calls(["a(b)c"], ["(ab)"]), lambda a: False),  # brackets: nothing but whole texts that were seen
    ],
    ids=["rising", "falling", "turned", "distinct", "numbered", "even rows", "records", "zeros", "brackets"],
)  # fmt: skip
def test_what_all_given_inputs_have_in_common_stays(suite: Suite, rule: Any) -> None:
    found = [value for (value,) in made(suite)]
    assert all(rule(value) for value in found) and (found or "(" in suite.cases[0].input[0])


def test_relations_between_arguments_stay() -> None:
    sized = made(calls([[4, 4, 8], 3], [[5, 1], 2]))
    assert sized and all(len(numbers) == count for numbers, count in sized)
    limited = made(calls([[4, 4, 8], 1], [[5, 1], 0], [[1, 2, 3, 4], 3]))
    assert limited and all(place < len(numbers) for numbers, place in limited)
    edges = made(calls([3, [[1, 2], [0, 1]]], [4, [[1, 3], [0, 1], [1, 2]]]))
    trees = ([[0, 1], [1, 2]], [[0, 1], [1, 2], [1, 3]])
    assert edges and all(sorted(rows) in trees for _, rows in edges)  # a tree's edges come in another order, no more


def test_lists_and_trees_stay_lists_and_trees() -> None:
    suite = calls([LinkedList((1, 2)), BinaryTree((3, None, 4))], [LinkedList((5,)), BinaryTree((1,))])
    trees = [case.input[1] for case in suite.cases]
    for nodes, tree in made(suite):
        assert isinstance(nodes, LinkedList) and 1 <= len(nodes.values) <= 2 and tree in trees


def stdin(*inputs: str) -> Suite:
    return Suite("stdin", tuple(Case(text, "0\n") for text in inputs))


def test_a_text_keeps_its_lines_words_and_counts() -> None:
    suite = stdin("3\n5 1  9\n", "2\n7 7\n", "4\n1 2 3 4\n")
    for text in made(suite):
        first, numbers, end = text.split("\n")
        assert int(first) == len(numbers.split()) and not end
        assert all(1 <= int(number) <= 9 for number in numbers.split())
    assert any("  " in text for text in made(suite))  # as it was written
    several = stdin("2\n1\n4\n3\n4 5 6\n", "1\n2\n8 9\n", "2\n2\n1 2\n1\n7\n")
    for text in made(several):
        first, *rest = text.split()
        count, place = 0, 0
        while place < len(rest):
            place, count = place + 1 + int(rest[place]), count + 1
        assert count == int(first) and place == len(rest)


def test_a_number_that_limits_others_stays_above_them() -> None:
    for text in made(stdin("900 2\n3 4\n850 6\n", "1000 3\n1 2\n5 6\n7 999\n")):
        (limit, count), *edges = ([int(word) for word in line.split()] for line in text.strip().split("\n"))
        assert len(edges) == count and all(value <= limit for edge in edges for value in edge)


SINGLE = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab1 (", max_size=3)
VALUES = st.recursive(SINGLE, lambda inner: st.lists(inner, max_size=3))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3).flatmap(lambda n: st.lists(st.lists(VALUES, min_size=n, max_size=n), min_size=1, max_size=3)))
@example([[[None]], [[[], []]]])  # a list of one has no order
def test_any_values_are_given_back_unharmed_and_look_alike(inputs: list[list[Any]]) -> None:
    before = repr(inputs)
    invariants = Invariants(inputs)
    assert all(invariants.hold(arguments) for arguments in inputs)
    assert all(invariants.hold(case.input) for case in new_cases(calls(*inputs), "seed", 5))
    assert repr(inputs) == before


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab1 -0.\n", max_size=12), min_size=1, max_size=3))
@example(["00", "0\n0 0", "0\n0a a"])  # words of two lengths change places
def test_any_text_keeps_its_shape(inputs: list[str]) -> None:
    shapes = {tuple(len(line.split()) for line in text.split("\n")) for text in inputs}
    for case in new_cases(stdin(*inputs), "seed", 5):
        assert tuple(len(line.split()) for line in case.input.split("\n")) in shapes


# -- tests -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pools() -> Iterator[Pools]:
    with Pools(ExecutorConfig(workers=1, cpu_s=0.4), Effort(mutants=20, added=5)) as made_pools:
        yield made_pools


def problem(solution: str, suite: Suite) -> Problem:
    return Problem("one", "test", "introductory", "Do it.", "", solution, suite)


def found(pools: Pools, suite: Suite, *solutions: str, added: int = 5) -> tuple[Finding, Problem]:
    record = Record(problem(solutions[0], suite), solutions)
    (finding,) = examined([examine(record, "entry 1", "first", 20, added)], pools)
    assert finding.reason is None, finding
    assert Finding.from_json(json.loads(json.dumps(finding.as_json()))) == finding
    return finding, refined(record, finding)


SIGN = "def f(x):\n    if x < 0:\n        return 'less'\n    if x > 3:\n        return 'more'\n    return 'some'\n"
SEEN = Suite("call", (Case([-5], "less"), Case([9], "more")), "f")


def test_added_tests_see_what_the_given_ones_do_not(pools: Pools) -> None:
    before, _ = found(pools, SEEN, SIGN, added=0)
    after, kept = found(pools, SEEN, SIGN)
    assert before.missed == (6,) and before.added == () and before.tests == 2
    assert after.missed == () and after.gained[0] == 1 and 0 < after.gained[1] < len(before.survivors) + 1
    assert len(after.survivors) == len(before.survivors) - after.gained[1]
    assert kept.suite.cases[:2] == SEEN.cases and after.tests == len(kept.suite.cases) == 2 + len(after.added)
    names: dict[str, Any] = {}
    exec(SIGN, names)
    assert all(case.output == names["f"](*case.input) and -5 <= case.input[0] <= 9 for case in kept.suite.cases)
    assert found(pools, SEEN, SIGN) == (after, kept)
    one, _ = found(pools, SEEN, SIGN, added=1)
    assert one.added == after.added[:1]


def test_each_style_gets_tests_of_its_own(pools: Pools) -> None:
    text = Suite("stdin", (Case("-5\n", "less\n"), Case("9\n", "more\n")))
    _, kept = found(pools, text, f"{SIGN}print(f(int(input())))\n")
    assert {case.output for case in kept.suite.cases[2:]} >= {"some\n"}
    asserts = Suite("assert", (Case("assert f(-5) == 'less'"), Case("assert f(9) == 'more'"), Case("assert not f.x")))
    _, kept = found(pools, asserts, f"{SIGN}f.x = 0\n")
    added = [case.input for case in kept.suite.cases[3:]]
    assert added and all(code.startswith("assert f(") for code in added) and any("'some'" in code for code in added)


@pytest.mark.parametrize(
    "solution",
    [
        "import random\ndef f(x):\n    if x in (-5, 9):\n        return 1\n    return random.randrange(10**9)\n",
        "def f(x):\n    if x in (-5, 9):\n        return 1\n    return list({str(n) for n in range(50)})[0]\n",
        "def f(x):\n    if x in (-5, 9):\n        return 1\n    return 1 // 0\n",
        "def f(x):\n    if x in (-5, 9):\n        return 1\n    while True: pass\n",
        "def f(x):\n    if x in (-5, 9):\n        return 1\n    return f\n",
        "def f(x):\n    if x in (-5, 9):\n        return 1\n    return None\n",
    ],
    ids=["random", "order of a set", "exception", "endless", "no data", "another kind"],
)  # fmt: skip
def test_an_answer_that_cannot_be_relied_on_is_no_test(pools: Pools, solution: str) -> None:
    suite = Suite("call", (Case([-5], 1), Case([9], 1)), "f")
    finding, kept = found(pools, suite, solution)
    assert finding.added == () and kept.suite == suite and finding.lines[0] < finding.lines[1]


def test_other_solutions_have_to_agree(pools: Pools) -> None:
    other = "def f(x):\n    return {-5: 'less', 9: 'more'}.get(x, 'else')\n"
    wrong = "def f(x):\n    return 'else'\n"
    assert found(pools, SEEN, SIGN, other)[0].added == ()
    assert found(pools, SEEN, SIGN, wrong) == found(pools, SEEN, SIGN)  # fails the given tests: it has no say


def test_the_command_adds_tests_only_when_it_is_told_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw.jsonl"
    raw.write_text(problem_line(problem(SIGN, SEEN)) + "\n", encoding="utf-8")
    first, plain = tmp_path / "first.jsonl", tmp_path / "plain.jsonl"
    words = ["--workers", "1", "--executor.cpu_s=1"]
    for out, more in ((first, ["--add-tests", "3"]), (plain, [])):
        assert main(["data", "refine", str(raw), str(out), *words, *more, "--report", f"{out}.html"]) == 0
    assert 2 < len(load_problems(first)[0].suite.cases) <= 5 and load_problems(plain)[0].suite == SEEN
    said = capsys.readouterr().out
    assert said.count("tests were added to 1 problems: mutants caught") == 1
    assert "solution lines executed 83.3% -> 100.0%" in said
    assert "tests added" in Path(f"{first}.html").read_text() and "tests added" not in Path(f"{plain}.html").read_text()
    assert main(["data", "check", str(first), "--run", "--workers", "1"]) == 0
    assert main(["data", "refine", str(raw), str(first), *words]) == 2  # findings with added tests are other findings
