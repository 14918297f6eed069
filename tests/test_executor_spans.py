# ruff: noqa: E501  (tables of examples, a row each)
"""Executed lines to executed characters: worked examples by hand, and what must hold for any program.

In an example, text between « and » is what must come out as executed; the marks are no part of the program.
"""

import ast
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.spans import executed_spans

EXAMPLES: list[tuple[str, list[int], str]] = [
    ("nothing ran", [], "a = 1\nb = 2\n"),
    ("everything ran", [1, 2], "«a = 1\nb = 2\n»"),
    ("stopped by an exception", [1, 2], "«a = 1\nb = a[0]»\nc = 3\n"),
    ("header without its suite", [1, 3], "«if a:»\n    b = 1«\nc = 1\n»"),
    ("one line, two spans, one value", [1], "«if a: b = 1\n»"),
    ("else follows its suite", [1, 4], "«if a:»\n    b = 1«\nelse:\n    c = 1\n»"),
    ("else that did not run", [1, 2], "«if a:\n    b = 1»\nelse:\n    c = 1\n"),
    ("elif has its own event", [1, 3, 4], "«if a:»\n    b = 1«\nelif c:\n    d = 1»\nelif e:\n    f = 1\n"),
    ("elif not reached", [1, 2], "«if a:\n    b = 1»\nelif c:\n    d = 1\nelse:\n    e = 1\n"),
    ("loop with else", [1, 2, 4], "«for x in y:\n    a = 1\nelse:\n    b = 1\n»"),
    ("loop whose else was skipped", [1, 2], "«while x:\n    break»\nelse:\n    b = 1\n"),
    ("try that went well", [1, 2, 6, 8],
     "«try:\n    a = 1»\nexcept A:\n    b = 1«\nelse:\n    c = 1\nfinally:\n    d = 1\n»"),
    ("try with a handler tried and one taken", [1, 2, 3, 5, 6],
     "«try:\n    a = b\nexcept A:»\n    c = 1«\nexcept B as e:\n    d = 1\n»"),
    ("finally that was not reached", [1, 2], "«try:\n    a = 1»\nfinally:\n    b = 1\n"),
    ("match", [1, 2, 4, 5],
     "«match x:\n    case 1:»\n        a = 1«\n    case [2, _] if y:\n        b = 1»\n    case _:\n        c = 1\n"),
    ("function never called", [1, 3], "«def f(a):»\n    return a«\nb = 1\n»"),
    ("header over lines, closing brackets", [1, 5], "«def f(\n    a,\n    b=(1,\n       2)):\n    return a\n»"),
    ("decorators belong to the header", [1, 3, 6], "«@d\n# note\n@e(\n    1)\ndef f():\n    return 1\n»"),
    ("decorated, never called", [1, 2], "«@d\ndef f():»\n    return 1\n"),
    ("docstring takes the next sibling", [1, 4], '«def f():\n    """doc\n    more"""\n    return 1\n»'),
    ("docstring of a function never called", [1], '«def f():»\n    """doc"""\n    return 1\n'),
    ("only a docstring takes the header", [1], '«class C:\n    """doc"""\n»'),
    ("global and nonlocal", [1, 3], "«def f():\n    global x, y\n    x = 1\n»"),
    ("global in a function never called", [1], "«def f():»\n    global x\n    x = 1\n"),
    ("continuation lines and closing brackets", [1], "«a = [\n    1,\n\n    # inside\n    2,\n]»\nb = \\\n    1\n"),
    ("recorded in the middle of a statement", [2], "«a = f(\n    g(),\n)»\nb = 1\n"),
    ("after return", [1, 2, 4], "«def f():\n    return 1»\n    a = 1«\nf()\n»"),
    ("under if False", [1, 3], "«if False:»\n    a = 1«\nb = 1\n»"),
    ("comment line takes what follows", [1, 2], "«# one\na = 1»\n# two\nb = 1\n"),
    ("comment at the end of a line", [1], "«a = 1  # one»\nb = 1  # two\n"),
    ("last comment of a suite takes what went before", [1, 4], "«if a:»\n    b = 1\n    # end of b«\nc = 1\n# end\n»"),
    ("comment in front of else", [1, 2], "«if a:\n    b = 1\n    # still b»\n# of else\nelse:\n    c = 1\n"),
    ("comment behind else", [1, 5], "«if a:»\n    b = 1«\nelse:  # else\n    # c\n    c = 1\n»"),
    ("a comment that says else", [1], "«if a:»\n    b = 1\n# else\nelse: # else:\n    c = 1\n"),
    ("semicolons", [1], "«a = 1; b = 2;»\nc = 1; d = 2\n"),
    ("lambda and comprehension by the line", [1], "«f = [lambda x: x\n     for i in y if\n     i]»\ng = 1\n"),
    ("nested functions", [1, 2, 4, 5], "«def f():\n    def g():»\n        return 1«\n    h = 1\nf()\n»"),
    ("async", [1, 2, 5], "«async def f():\n    async for x in y:»\n        a = 1«\n    else:\n        b = 1\n»"),
    ("class body", [1, 2, 3], "«class C(B):\n    x = 1\n    def m(self):»\n        return 1\n"),
    ("non-ASCII before a column", [1], "«é = 'üß'; ñ = '漢'  # ∀»\nß = 1\n"),
    ("emoji inside a one-line if", [1, 3], "«if '😀': a = '😀😀'»\nb = '😀'«\nc = 1\n»"),
    ("tabs", [1, 3], "«if a:»\n\tb = 1«\nc = 1\n»"),
    ("f-string over lines", [1], '«s = f"""{a\n} x\n{b}"""»\nt = 1\n'),
    ("walrus in a header", [1], "«while (n := f()):»\n    a = n\n"),
    ("with over lines", [1, 4], "«with (\n    a as b,\n):\n    c = 1\n»"),
    ("blank lines take what follows", [4], "a = 1«\n\n\nb = 1\n»"),
]  # fmt: skip


def unmarked(marked: str) -> tuple[str, list[tuple[int, int]]]:
    program, spans, start = "", [], 0
    for piece in re.split("([«»])", marked):
        if piece == "«":
            start = len(program)
        elif piece == "»":
            spans.append((start, len(program)))
        else:
            program += piece
    return program, spans


@pytest.mark.parametrize(("lines", "marked"), [e[1:] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES])
def test_worked_example(lines: list[int], marked: str) -> None:
    program, wanted = unmarked(marked)
    got = executed_spans(program, lines)
    shown = program
    for start, end in reversed(got):
        shown = shown[:start] + "«" + shown[start:end] + "»" + shown[end:]
    assert got == wanted, shown


def test_carriage_returns() -> None:
    program, wanted = unmarked("«if a:»\r\n    b = 1«\r\nc = 1\r\n»")
    assert executed_spans(program, [1, 3]) == wanted


@pytest.mark.parametrize("program", ["a = (", "def f(:\n", "x = 1\0", "  a = 1\n b = 2"])
def test_a_program_that_does_not_parse_has_no_spans(program: str) -> None:
    assert executed_spans(program, [1]) == []


@st.composite
def programs(draw: st.DrawFn, depth: int = 3, indent: str = "") -> str:
    """Programs of every kind of suite, with comments, blank lines, docstrings and names outside ASCII."""
    inner = indent + "    "
    text = ""
    for _ in range(draw(st.integers(1, 3))):
        text += draw(st.sampled_from(["", "", "\n", f"{indent}# note é\n", "   \n"]))
        kind = draw(st.sampled_from(["simple"] * 3 + (["if", "for", "try", "def", "match", "line"] if depth else [])))
        if kind == "simple":
            text += indent + draw(st.sampled_from(["a = 1", "é = 'ß'; b = 2", "c = [\n1,  # x\n]", "pass  # p"])) + "\n"
            continue
        if kind == "line":
            text += f"{indent}if a: b = 1; c = 2\n"
            continue
        body = [draw(programs(depth=depth - 1, indent=inner)) for _ in range(3)]
        if kind == "if":
            text += f"{indent}if a:\n{body[0]}"
            text += draw(st.sampled_from(["", f"{indent}elif b:\n{body[1]}", f"{indent}else:  # no\n{body[2]}"]))
        elif kind == "for":
            text += f"{indent}for x in y:\n{body[0]}" + draw(st.sampled_from(["", f"{indent}else:\n{body[1]}"]))
        elif kind == "try":
            text += f"{indent}try:\n{body[0]}{indent}except A as é:\n{body[1]}"
            text += draw(st.sampled_from(["", f"{indent}finally:\n{body[2]}"]))
        elif kind == "match":
            text += f"{indent}match a:\n{inner}case 1 | 2:\n" + draw(programs(depth=depth - 1, indent=inner + "    "))
        else:
            text += (
                f"{indent}@d\n{indent}def f(a,\n  b):\n" + draw(st.sampled_from(["", f"{inner}'''doc'''\n"])) + body[0]
            )
    return text


@settings(max_examples=40, deadline=None)
@given(programs(), st.data())
def test_spans_are_sorted_disjoint_and_grow_with_the_lines(program: str, data: st.DataObject) -> None:
    ast.parse(program)
    count = program.count("\n")
    lines = data.draw(st.sets(st.integers(1, count)))
    spans = executed_spans(program, lines)
    flat = [place for span in spans for place in span]
    assert flat == sorted(set(flat)) and all(0 <= place <= len(program) for place in flat)
    more = executed_spans(program, lines | {data.draw(st.integers(1, count))})
    assert characters(spans, program) <= characters(more, program)


@settings(max_examples=40, deadline=None)
@given(programs())
def test_all_lines_execute_every_character_and_none_executes_none(program: str) -> None:
    assert executed_spans(program, range(1, program.count("\n") + 2)) == [(0, len(program))]
    assert executed_spans(program, []) == []


def characters(spans: list[tuple[int, int]], program: str) -> set[int]:
    return {place for start, end in spans for place in range(start, end) if not program[place].isspace()}
