# ruff: noqa: E501  (tables of examples, a row each)
"""Executed lines to executed characters: worked examples by hand, and what must hold for any program.

In an example, text between « and » is what must come out as executed; the marks are no part of the program.
"""

import ast
import json
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepcoder.executor.spans import executed_spans
from tests.executor.coverage_constructs import CONSTRUCTS

ROOT = Path(__file__).resolve().parents[2]

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
    ("an empty program", [], ""),
    ("only comments", [], "# one\n\n# two\n"),
    ("no newline at the end", [1], "«a = 1»\nb = 1"),
    ("blanks at the end take the last value", [1, 2], "«a = 1\nb = 1\n   \n»"),
    ("comments at the end take the last value", [1], "«a = 1»\nb = 1\n# end\n"),
    ("last of several conditions", [1, 3, 6], "«if a:»\n    b = 1«\nelif c:»\n    d = 1«\nelse:\n    e = 1\n»"),
    ("if inside else is no elif", [1, 4], "«if a:»\n    b = 1«\nelse:\n    if c:»\n        d = 1\n"),
    ("else and its suite on one line", [1, 3], "«if a:»\n    b = 1«\nelse: c = 1 if d else 2\n»"),
    ("else not reached, all on one line each", [1], "«if a: b = 1»\nelse: c = 1\n"),
    ("else whose suite begins with global", [1, 2, 6],
     "«def f():\n    if a:»\n        b = 1«\n    else:\n        global c\n        c = 1\n»"),
    ("loops in loops, with else", [1, 2, 3, 5],
     "«for x in a:\n    for y in b:\n        c = 1\n    else:\n        d = 1»\nelse:\n    e = 1\n"),
    ("continue", [1, 2, 3], "«for x in y:\n    if x:\n        continue»\n    a = 1\n"),
    ("killed in a loop", [1, 2], "«while True:\n    a = 1»\nb = 1\n"),
    ("killed in a call", [1, 2, 3, 4, 6],
     "«def g():\n    while 1: pass\ndef f():\n    g()»\n    a = 1«\nf()»\nb = 1\n"),
    ("raise", [1, 2, 4], "«def f():\n    raise A»\n    b = 1«\nf()\n»"),
    ("return through finally", [1, 2, 3, 5], "«def f():\n    try:\n        return 1\n    finally:\n        a = 1\n»"),
    ("handler taken, else skipped, finally", [1, 2, 3, 4, 8],
     "«try:\n    a = 1\nexcept A:\n    b = 1»\nelse:\n    c = 1«\nfinally:\n    d = 1\n»"),
    ("bare except", [1, 2, 3, 4], "«try:\n    a = b\nexcept:\n    c = 1\n»"),
    ("bare except not reached", [1, 2], "«try:\n    a = 1»\nexcept:\n    c = 1\n"),
    ("except*", [1, 2, 3, 4, 5], "«try:\n    f()\nexcept* A:\n    a = 1\nexcept* B:»\n    b = 1\n"),
    ("except over lines", [1, 2, 3], "«try:\n    a = b\nexcept (\n    A,\n    B,\n) as e:»\n    c = 1\n"),
    ("try in try", [1, 2, 3, 5, 7, 8],
     "«try:\n    try:\n        a = b\n    finally:\n        c = 1»\n    d = 1«\nexcept A:\n    e = 1\n»"),
    ("try on one line each", [1, 3], "«try: a = 1»\nexcept A: b = 1«\nfinally: c = 1\n»"),
    ("match with a pattern over lines and a guard", [1, 2, 6, 7],
     "«match p:\n    case P(\n        x,\n    ) if x:»\n        a = 1«\n    case _:\n        b = 1\n»"),
    ("match without a hit", [1, 2, 4], "«match a:\n    case 1:»\n        b = 1«\n    case 2:»\n        c = 1\n"),
    ("match with a pattern in brackets, and a comment that says case", [1, 2, 3],
     "«match a:\n    case (1 | 2):\n        b = 1»\n    case (  # case 3\n        3):\n        c = 1\n"),
    ("match on a name that says case", [1, 2, 3], "«match case:\n    case 'case' as lowercase:\n        a = 1\n»"),
    ("decorator in brackets, and a comment with @", [1, 3, 4], "«@ (  # @\n    d)\nclass C:\n    x = 1\n»"),
    ("decorated methods", [1, 2, 3], "«class C:\n    @property\n    def x(self):»\n        return 1\n"),
    ("decorator of a class over lines", [1, 4, 5], "«@d(\n    a=1,\n)\nclass C:\n    x: int\n»"),
    ("functions three deep", [1, 2, 5], "«def f():\n    def g():»\n        def h():\n            return 1«\n    return g\n»"),
    ("class in a function", [1, 2, 3, 4, 6, 7],
     "«def f():\n    class C:\n        x = 1\n        def m(self):»\n            return 1«\n    return C\nf()\n»"),
    ("class on one line", [1], "«class C: x = 1; y = 2»\nz = 1\n"),
    ("class over lines", [1, 5], "«class C(\n    A,\n    metaclass=M,\n):\n    x = 1\n»"),
    ("async with and await", [1, 2, 3], "«async def f():\n    async with a as b:\n        await b»\n    c = 1\n"),
    ("coroutine that was not awaited", [1], "«async def f():»\n    await a\n"),
    ("async comprehension", [1, 2], "«async def f():\n    return [x async for x in y\n            if await x]\n»"),
    ("generator left in the middle", [1, 2], "«def g():\n    yield 1»\n    yield 2\n"),
    ("lambda over lines", [1], "«f = lambda: (\n    1\n)»\ng = 1\n"),
    ("lambda by the line, though never called", [1], "«f = lambda: g(1)\n»"),
    ("ternary by the line", [1], "«a = b if c else d\n»"),
    ("comprehension over lines", [1, 6], "«a = [\n    x\n    for x in b\n    if x\n]\nc = 1\n»"),
    ("hints over lines", [1], "«def f(\n    a: int,\n    b: 'str' = 1,\n) -> int:»\n    return a\n"),
    ("annotations", [1, 2], "«x: int\ny: int = 1»\nz: int = 2\n"),
    ("annotations in a function, where they have no event", [1, 4, 5], "«def f():\n    x: int\n    y: str\n    a = 1\nf()\n»"),
    ("annotations behind what did not run", [1, 2], "«def f():\n    a = b»\n    x: int\n    c = 1\n"),
    ("assert over lines", [1], "«assert a, (\n    'no')»\ndel a\n"),
    ("with whose header raised", [1], "«with a:»\n    b = 1\n"),
    ("with over lines by backslash", [1, 3], "«with a as b, \\\n     c as d:\n    e = 1\n»"),
    ("condition over lines by backslash", [1], "«if a and \\\n   b:»\n    c = 1\n"),
    ("backslash on a line of its own", [1], "«a = 1»\n\\\nb = 2\n"),
    ("condition over lines in brackets", [3], "«if (\n    a\n    and b\n):»\n    c = 1\n"),
    ("call over lines whose last argument raised", [1, 2, 3], "«a = f(\n    1,\n    g(),\n    2,\n)»\nb = 1\n"),
    ("closing bracket in front of the next statement", [1], "«a = [\n    1];» b = 2\nc = 3\n"),
    ("walrus in a comprehension", [1, 2], "«a = [y for x in b if (y := x)]\nc = y»\nd = 1\n"),
    ("f-strings side by side", [1], "«s = f'{a!r:>{b}}' f'{{#}}'  # note»\nt = f'# {a}'\n"),
    ("f-string over lines with other quotes inside", [1], "«s = f'''{a[\"k\"]} #\n{b}'''»\nt = 1\n"),
    ("strings that hold a comment sign", [1], "«a = '# no comment'»\nb = \"# none\"  # one\n"),
    ("a string over lines that holds comments and quotes", [1, 4], "«a = '''it's # \"\"\"\n# b\n'''\nb = 1»\nc = 1\n"),
    ("a raw string that ends in an escaped quote", [1], "«a = r'\\''  # '»\nb = 1\n"),
    ("strings side by side over lines, with a comment between", [1], "«a = ('x'  # one\n     'y')»\nb = 1\n"),
    ("module docstring", [2], "«'doc'\na = 1»\nb = 1\n"),
    ("imports from the future", [2, 3], "«'doc'\nfrom __future__ import annotations\na = 1\n»"),
    ("a string that is no docstring", [1, 3], "«def f():\n    'doc'\n    a = b»\n    'text'\n"),
    ("docstrings of a class and a method", [1, 3],
     "«class C:\n    'doc'\n    def m(self):»\n        'doc'\n        return 1\n"),
    ("docstring in front of global", [1], "«def f():»\n    'doc'\n    global x\n    x = 1\n"),
    ("only a global takes the header", [1], "«def f():\n    global x\n»"),
    ("global at the end takes what went before", [1, 2], "«def f():\n    a = 1\n    global x\n»"),
    ("global in front of what did not run", [1, 2], "«def f():\n    a = b»\n    global x\n    x = 1\n"),
    ("nonlocal in a function never called", [1, 2, 3],
     "«def f():\n    x = 1\n    def g():»\n        nonlocal x\n        x = 2\n"),
    ("blanks around a semicolon", [1], "«a = 1 ;  b = 2»\nc = 1\n"),
    ("semicolon in front of a comment", [1], "«a = 1;  # c»\nb = 1;\n"),
    ("semicolon behind a suite on the header's line", [1, 3], "«while a: b = 1; break;»\nc = 1;«\nd = 1\n»"),
    ("semicolons in a comment and a string", [1], "«a = ';'  # ; b;»\nc = ';'  # ;\n"),
    ("comment in front of a decorator", [1], "«a = 1»\n# of f\n@d\ndef f(): pass\n"),
    ("comment in front of except", [1, 2], "«try:\n    a = 1»\n# when it fails\nexcept A:\n    b = 1\n"),
    ("comment in front of elif", [1, 2], "«if a:\n    b = 1»\n# or\nelif c:\n    d = 1\n"),
    ("comment in front of finally", [1, 2, 5], "«try:\n    a = 1\n# at last\nfinally:\n    b = 1\n»"),
    ("comment at the start of a suite", [1, 3], "«if a:\n    # first\n    b = 1\n»"),
    ("comment behind a header", [1], "«if a:  # why»\n    b = 1\n"),
    ("comment at the end of a function", [1, 4], "«def f():»\n    return 1\n    # end of f«\nf()\n»"),
    ("comment less deep than its suite", [1, 2, 4], "«def f():\n    a = 1\n# note\n    b = 1»\n    c = 1\n"),
    ("tabs in tabs", [1, 2, 5], "«if a:\n\tif b:»\n\t\tc = 1«\n\telse:\n\t\td = 1\n»"),
    ("tab behind a statement", [1], "«a = 1»\t\nb = 1\n"),
    ("form feed on a line of its own", [1, 3], "«a = 1\n\x0c\nb = 2»\nc = 1\n"),
    ("form feed in front of a statement", [1, 2], "«a = 1\n\x0cb = 2»\n\x0cc = 1\n"),
    ("names outside ASCII", [1, 2], "«@é\ndef ñ():»\n    ß = 1\n"),
    ("astral characters before a column", [1], "«a = '𝒳𝒴'; b = '😀'  # 😀»\nc = '😀'\n"),
    ("astral characters before a suite on the header's line", [1], "«if '😀😀': '😀'; é = 1  # ß»\nc = 1\n"),
    ("a line separator that is no newline", [1, 2], "«a = '\u2028'\nb = '\x85'  # \u2029»\nc = 1\n"),
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


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_other_newlines(newline: str) -> None:
    for name, lines, marked in EXAMPLES:
        program, wanted = unmarked(marked.replace("\n", newline))
        assert executed_spans(program, lines) == wanted, name


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


def some_lines(program: str) -> st.SearchStrategy[set[int]]:
    return st.sets(st.integers(1, program.count("\n") + 1))


REAL = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "executor").rglob("*.py"))]
REAL += [
    json.loads(line)["solution"]
    for path in sorted((ROOT / "curriculum" / "starter").glob("*.jsonl"))
    for line in path.read_text(encoding="utf-8").splitlines()
]
REAL += CONSTRUCTS.values()
any_program = st.one_of(programs(), st.sampled_from(REAL))


def characters(program: str, lines: set[int]) -> set[int]:
    """Executed characters. Spans must be sorted, disjoint, not empty, not touching, and inside the program."""
    spans = executed_spans(program, lines)
    flat = [place for span in spans for place in span]
    assert flat == sorted(set(flat)) and all(0 <= place <= len(program) for place in flat)
    return {place for start, end in spans for place in range(start, end)}


@settings(max_examples=150, deadline=None)
@given(any_program, st.data())
def test_every_character_belongs_to_lines_and_two_sets_of_lines_add_up(program: str, data: st.DataObject) -> None:
    """So each character has one value, a line more never takes one away, and what statements own covers everything."""
    one, other = data.draw(some_lines(program)), data.draw(some_lines(program))
    assert characters(program, one | other) == characters(program, one) | characters(program, other)
    everything = set(range(1, program.count("\n") + 2))
    assert characters(program, everything) == set(range(len(program)))
    assert characters(program, set()) == set()


@settings(max_examples=150, deadline=None)
@given(any_program, st.data())
def test_a_statement_has_the_value_of_its_own_lines(program: str, data: st.DataObject) -> None:
    """Own spans partition the program: simple statements by their place in the syntax tree, in whole and alone."""
    lines = data.draw(some_lines(program))
    executed, starts = characters(program, lines), [0, *(m.end() for m in re.finditer("\r\n|\r|\n", program))]
    taken: set[int] = set()
    for node in ast.walk(ast.parse(program)):
        silent = isinstance(node, ast.Global | ast.Nonlocal) or isinstance(getattr(node, "value", None), ast.Constant)
        silent = silent or (isinstance(node, ast.AnnAssign) and node.value is None)
        if not isinstance(node, ast.stmt) or hasattr(node, "body") or isinstance(node, ast.Match) or silent:
            continue
        place = [
            starts[line - 1] + len(program[starts[line - 1] :].encode()[:column].decode())
            for line, column in ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        ]
        own = set(range(*place))
        assert not own & taken
        taken |= own
        wanted = own if lines & set(range(node.lineno, (node.end_lineno or 0) + 1)) else set()
        assert own & executed == wanted, ast.unparse(node)


def test_a_long_chain_of_elif() -> None:
    chain = "if a == 0:\n    b = 0\n" + "".join(f"elif a == {i}:\n    b = {i}\n" for i in range(1, 900))
    spans = executed_spans(chain, [1, 3, 5, 6])
    assert [chain[a:b] for a, b in spans] == ["if a == 0:", "\nelif a == 1:", "\nelif a == 2:\n    b = 2"]


def test_threads_and_warnings() -> None:
    """An odd escape is a warning that a user may have turned into an error: neither counts here, in any thread."""
    programs = [f"a = '\\d' + '{number}'  # \\w\nb = 1\n" for number in range(200)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ThreadPoolExecutor(8) as threads:
            spans = list(threads.map(lambda program: executed_spans(program, [1]), programs))
        before = len(warnings.filters)
        executed_spans(programs[0], [1])
        assert len(warnings.filters) == before
    assert spans == [[(0, len(program) - len("\nb = 1\n"))] for program in programs]
