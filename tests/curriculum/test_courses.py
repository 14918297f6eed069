"""Course tables worked out by hand, rules for cuts that are not usable, and what holds for thousands of solutions."""

import io
import math
import re
import tokenize
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcoder.curriculum.config import ConditionalKind, Reading
from stepcoder.curriculum.problems.load import load_problems
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.prompts import given as shown
from stepcoder.curriculum.stages.conditionals import line_starts, parse
from stepcoder.curriculum.stages.course_table import CourseTable
from stepcoder.curriculum.stages.courses import courses, stage_cuts, usable_cuts
from stepcoder.curriculum.stages.progress import TOO_LONG, UNPARSABLE
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.suite import Case, Suite
from tests.tools.real_solutions import real_problems, starter_problems


def problem(solution: str, starter: str = "") -> Problem:
    suite = Suite("stdin", (Case("1\n", "1\n"),))
    return Problem("p", "test", "introductory", "Do it.", starter, solution, suite)


def with_conditionals(count: int) -> str:
    return "x = int(input())\n" + "".join(f"if x > {i}:\n    print({i})\n" for i in range(count))


# (E, 0-based cuts for stages n ... 1 as this project reads it, the same for n-1 ... 1 as the paper does)
BY_HAND = [
    (0, [], []),
    (1, [0], []),
    (2, [1, 0], [1]),
    (3, [2, 1], [2]),
    (4, [3, 1], [2]),
    (5, [4, 3, 1], [4, 2]),
    (9, [8, 5, 2], [6, 3]),
    (10, [9, 8, 5, 2], [9, 6, 3]),
    (17, [16, 15, 11, 7, 3], [16, 12, 8, 4]),
]


@pytest.mark.parametrize(("usable", "ours", "paper"), BY_HAND)
def test_cuts_by_hand(usable: int, ours: list[int], paper: list[int]) -> None:
    assert stage_cuts(usable, "ours") == ours
    assert stage_cuts(usable, "paper") == paper


@pytest.mark.parametrize(("usable", "ours", "paper"), BY_HAND)
def test_courses_of_a_real_program_follow_the_table(usable: int, ours: list[int], paper: list[int]) -> None:
    solution = with_conditionals(usable)
    table: list[tuple[Reading, list[int]]] = [("ours", ours), ("paper", paper)]
    for reading, cuts in table:
        found = courses(problem(solution), reading)
        assert [course.stage for course in found] == list(range(len(cuts), -1, -1))
        assert [course.line for course in found] == [2 + 2 * cut for cut in cuts] + [1]
        assert [course.prefix for course in found] == [
            "".join(solution.splitlines(keepends=True)[: 1 + 2 * cut]) for cut in cuts
        ] + [""]


@given(st.integers(1, 2000))
def test_cuts_exist_and_strictly_decrease(usable: int) -> None:
    n = next(n for n in range(1, 50) if n * n >= usable)
    counts: list[tuple[Reading, int]] = [("ours", n), ("paper", n - 1)]
    for reading, count in counts:
        cuts = stage_cuts(usable, reading)
        assert len(cuts) == count
        assert all(a > b for a, b in zip(cuts, cuts[1:], strict=False))
        assert all(0 <= cut < usable for cut in cuts)
    assert stage_cuts(usable, "ours")[0] == usable - 1


def test_a_conditional_on_the_first_line_is_full_generation() -> None:
    found = courses(problem("\n\nfor i in range(3):\n    if i:\n        print(i)\n"))
    assert [(c.stage, c.line) for c in found] == [(1, 4), (0, 1)]


def test_conditionals_that_share_a_line_are_one_cut() -> None:
    found = courses(problem("x = 1\ny = (1 if x else 2) + (3 if x else 4)\n"), kind="extended")
    assert [(c.stage, c.line) for c in found] == [(1, 2), (0, 1)]


def test_what_does_not_parse_has_full_generation_only() -> None:
    assert [c.stage for c in courses(problem("if x:\n    print 'old'\n"))] == [0]


SOLUTION = "def f(x):\n    if x:\n        return 1\n    for i in x:\n        pass\n    return 2\n"


@pytest.mark.parametrize(
    ("starter", "expected"),
    [
        ("", [4, 2, 1]),
        ("def f(x):", [4, 1]),
        ("def f(x):   \n    pass\n", [4, 1]),
        ("def f(x: int) -> int:\n    pass\n", [4, 1]),
        ("def f(x):\n    if x:\n", [4, 1]),
        ("def f(x):\n    if x:\n        return 1\n", [1]),
        ("def f(x):\n    if x:\n        return 1\n    for i in x:\n", [1]),
        ("def g(x):\n", [4, 2, 1]),
    ],
)
def test_cuts_that_give_no_more_than_the_starter_code_are_dropped(starter: str, expected: list[int]) -> None:
    assert [c.line for c in courses(problem(SOLUTION, starter))] == expected


@pytest.mark.parametrize(
    ("before", "first"),
    [
        ("import sys\nfrom math import gcd\n\n# read the input\n", False),
        ('"""Solves it."""\n', False),
        ("def main():\n", False),
        ("import sys\n\n\ndef solve() -> None:\n    'Reads and prints.'\n    global n\n", False),
        ("class Solver:\n    def run(self):\n", False),
        ("def shown(x, y=2):\n    # as the statement has it\n", False),
        ("LIMIT = 10\n", False),  # a line of the statement
        ("if __name__ == '__main__':\n    try:\n", False),
        ("if '__main__' == __name__:\n", False),
        ("if n == 3:\n", True),
        ("def main():\n    n = int(input())\n", True),
        ("def helper(x):\n", True),
        ("import sys; n = 3\n", True),
        ("class Solver:\n    size = 3\n    def run(self):\n", True),
        ("LIMIT = 11\n", True),
        ("with open(0) as f:\n", True),
    ],
)
@pytest.mark.parametrize("reading", get_args(Reading))
def test_a_prefix_that_gives_no_more_than_the_prompt_shows_is_no_course(before: str, first: bool, reading: Reading):
    lines = before.splitlines()
    indent = " " * (len(lines[-1]) - len(lines[-1].lstrip()) + 4 * lines[-1].endswith(":"))
    rest = "".join(f"{indent}{line}\n" for line in ("if a:", "    a = 1", "if a:", "    a = 2", "if a:", "    a = 3"))
    rest += "    finally:\n        pass\n" * ("try:" in before)
    suite = Suite("call", (Case([1], 1),), "entry")
    statement = "Complete this:\n\n    LIMIT = 10\n    def shown(x):"
    item = Problem("p", "test", "introductory", statement, "", before + rest, suite)
    usable = usable_cuts(item, "default", line_starts(item.solution))
    assert usable == [len(lines) + 1 + 2 * cut for cut in range(not first, 3)]
    assert all(course.line in (*usable, 1) for course in courses(item, reading))


def test_the_header_of_the_entry_point_is_shown_by_its_name() -> None:
    named = Suite("call", (Case([1], 1),), "Solution().f")
    body = "        for i in x:\n            if i:\n                pass\n"
    solution = "class Solution(object):\n    def f(self, x):\n" + body
    item = Problem("p", "test", "introductory", "Do it.", "", solution, named)
    assert [c.line for c in courses(item)] == [4, 1]


def test_starter_problems_have_no_course_that_gives_nothing() -> None:
    # 87 prefix stages of the introductory training problems before such were left out, 24 of them a bare header
    introductory = [item for item in load_problems("starter:train") if item.level == "introductory"]
    assert sum(len(courses(item)) - 1 for item in introductory) == 87 - 24
    for item in starter_problems():
        for course in courses(item)[:-1]:
            given = [line for line in course.prefix.splitlines() if line and line not in item.starter_code.splitlines()]
            assert [line for line in given if not line.startswith(("import ", "from ", "#"))], course.prefix


def test_starter_code_after_a_helper_keeps_the_helpers_cuts() -> None:
    solution = "def helper(y):\n    if y:\n        return 1\n\n" + SOLUTION
    assert [c.line for c in courses(problem(solution, "def f(x):"))] == [8, 6, 1]  # E = 3: cuts 2, 1


def test_a_prefix_that_does_not_fit_falls_back_to_an_earlier_cut_and_at_last_to_none() -> None:
    program = problem(with_conditionals(4))  # cuts before lines 2, 4, 6, 8
    for allowed_lines, expected in (
        (7, [8, 4, 1]),
        (6, [6, 4, 1]),
        (5, [6, 4, 1]),
        (4, [4, 2, 1]),
        (1, [2, 1]),
        (0, [1]),
    ):
        found = courses(program, fits=lambda _, prefix, most=allowed_lines: prefix.count("\n") <= most)
        assert [course.line for course in found] == expected


def test_line_ends_are_kept_as_written() -> None:
    solution = "x = 'é'\r\n\tif_ = 1\r\n".replace("\t", "") + "if x:\r\n\tpass\r\n"
    (first, last) = courses(problem(solution))
    assert first.prefix == "x = 'é'\r\nif_ = 1\r\n"
    assert last.prefix == ""


def test_a_byte_order_mark_shifts_nothing() -> None:
    plain = courses(problem(SOLUTION), kind="extended")
    marked = courses(problem("\ufeff" + SOLUTION), kind="extended")
    assert [course.line for course in marked] == [course.line for course in plain]
    assert [course.prefix for course in marked] == ["\ufeff" + c.prefix if c.prefix else "" for c in plain]
    assert [c.line for c in courses(problem("\ufeffif x:\n    pass\nif y:\n    pass\n"))] == [3, 1]


def faults(problem: Problem) -> list[str]:
    """What does not hold for the courses of a problem."""
    found = []
    text, starts = problem.solution, line_starts(problem.solution)
    starter = problem.starter_code.rstrip()
    start = text.find(starter) if starter else -1
    end = start + len(starter) if start >= 0 else -1
    parses = parse(text) is not None
    for kind in get_args(ConditionalKind):
        usable = len(usable_cuts(problem, kind, starts))
        n = math.ceil(math.sqrt(usable))
        counts: list[tuple[Reading, int]] = [("ours", n + 1 if usable else 1), ("paper", max(n, 1))]
        for reading, count in counts:
            table = courses(problem, reading, kind)
            lengths = [len(course.prefix) for course in table]
            name = f"{problem.id}, {reading}, {kind}"
            if len(table) != count or [c.stage for c in table] != list(range(count - 1, -1, -1)):
                found.append(f"{name}: {len(table)} stages, not {count}")
            if lengths[-1] != 0 or any(a <= b for a, b in zip(lengths, lengths[1:], strict=False)):
                found.append(f"{name}: starts {lengths} do not fall to 0")
            for course, length in zip(table, lengths, strict=True):
                if course.prefix != text[:length] or length != starts[course.line - 1]:
                    found.append(f"{name}: no prefix that ends before line {course.line}")
                if start < length < end:
                    found.append(f"{name}: cut inside the starter code")
                if length and not parses:
                    found.append(f"{name}: a cut in what does not parse")
        prompt = f"{problem.statement}\n{problem.starter_code}\ndef {problem.suite.entry_point}"
        if kind == "default" and parses and usable != (by := by_tokens(text, start, end, prompt)):
            found.append(f"{problem.id}: {usable} usable cuts, {by} by tokens")
    return found


def by_tokens(text: str, start: int, end: int, prompt: str) -> int:
    """Usable cuts, counted without the syntax tree: logical lines that open with a keyword and have a line before them
    that gives something, those within the starter code, characters [start, end), left out."""
    starts, count, line, gave = line_starts(text), 0, list[tokenize.TokenInfo](), False
    skip = (tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.NL)
    for token in tokenize.generate_tokens(io.StringIO(text.replace("\r\n", "\n")).readline):
        if token.type != tokenize.NEWLINE:
            line += [token] if token.type not in skip else []
            continue
        words = [part.string for part in line]
        opens = words[0] in ("if", "elif", "for", "while") or words[:2] == ["async", "for"]
        opens = opens or (words[0] == "match" and words[-1] == ":" and len(words) > 2)
        offset = starts[line[0].start[0] - 1]
        count += opens and gave and not start < offset < end
        gave = gave or not gives_nothing(line, prompt)
        line = []
    return count


def gives_nothing(line: list[tokenize.TokenInfo], prompt: str) -> bool:
    words = [part.string for part in line]
    if ";" in words:
        return False
    if all(piece.strip() in {shown.strip() for shown in prompt.splitlines()} for piece in line[0].line.splitlines()):
        return True
    if words[0] in ("def", "class") and words[-1] == ":":
        named = re.search(rf"\b(def|class) {re.escape(words[1])}\b", prompt)
        inside = set(words[words.index("(") + 1 : words.index(")")]) - {"self", "cls", ","} if "(" in words else set()
        return bool(named) or not inside
    wrapper = words in (["try", ":"], ["finally", ":"]) or words[0] == "except" or words[:2] == ["if", "__name__"]
    alone = line[0].type == tokenize.STRING and len(line) == 1
    return wrapper or alone or words[0] in ("import", "from", "pass", "global", "nonlocal")


def test_what_holds_for_all_starter_solutions() -> None:
    problems = starter_problems()
    assert len(problems) >= 160
    assert [fault for problem in problems for fault in faults(problem)] == []


def test_what_holds_for_thousands_of_real_solutions() -> None:
    problems = real_problems()
    assert len(problems) >= 2_000
    assert sum(len(courses(problem)) > 2 for problem in problems) > 1_000
    assert [fault for problem in problems for fault in faults(problem)] == []


def test_prefix_and_rest_pass_the_tests_at_every_stage() -> None:
    jobs = []
    for item in starter_problems()[::5]:
        for course in courses(item):
            assert course.prefix + item.solution[len(course.prefix) :] == item.solution
            rest = item.solution[len(shown(course.prefix)) :]  # what a perfect policy writes after the prompt
            jobs.append((shown(course.prefix) + rest, item.suite))
    assert len(jobs) > 60
    with LocalPool(ExecutorConfig(workers=2, coverage=False)) as pool:
        assert all(report.passed for report in pool.map(jobs))


def test_a_table_of_courses_tells_what_the_courses_are() -> None:
    problems = starter_problems()[:40]
    table = CourseTable(problems, "ours", "default")
    for index in (7, 3, 39, 0, *range(40)):  # in any order
        found = courses(problems[index])
        assert table.top(index) == len(found) - 1
        assert [table.prefix(index, course.stage) for course in found] == [course.prefix for course in found]


def test_a_table_tells_apart_why_there_is_no_prefix() -> None:
    problems = [problem("x = 1\n"), problem("if x:\n    print 'old'\n"), problem("if x: pass\n", "long")]
    table = CourseTable(problems, "ours", "default", fits=lambda p, prefix: p.starter_code != "long")
    assert table.tops().tolist() == [0, UNPARSABLE, TOO_LONG]
    assert table.prefix(1, 0) == ""
