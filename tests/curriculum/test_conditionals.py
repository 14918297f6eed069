"""Where conditionals start and where a prefix before them ends, on programs whose answer is seen by eye."""

import ast
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcoder.curriculum.config import ConditionalKind
from stepcoder.curriculum.stages.conditionals import conditionals, line_starts, parse


def lines(source: str, kind: ConditionalKind = "default") -> list[int]:
    return [span.line for span in conditionals(source, kind)]


def texts(source: str, kind: ConditionalKind = "default") -> list[str]:
    return [source[span.start : span.end].split(":")[0] for span in conditionals(source, kind)]


CHAIN = dedent("""\
    def f(x):
        if x > 0:
            return 1
        elif x < 0:
            for i in range(3):
                while i:
                    i -= 1
        else:
            if x:
                pass
        match x:
            case 0:
                return 0
        return x
    """)


def test_each_keyword_counts_and_elif_starts_at_its_own_line() -> None:
    assert lines(CHAIN) == [2, 4, 5, 6, 9, 11]
    assert texts(CHAIN) == ["if x > 0", "elif x < 0", "for i in range(3)", "while i", "if x", "match x"]


def test_if_only_leaves_loops_and_match_out() -> None:
    assert lines(CHAIN, "if_only") == [2, 4, 9]


def test_extended_adds_try_ternaries_and_comprehension_conditions() -> None:
    source = dedent("""\
        try:
            a = 1 if b else 2
        except ValueError:
            c = [x for x in y if x]
        d = [x for x in y]
        """)
    assert lines(source) == []
    assert lines(source, "extended") == [1, 2, 4]
    assert texts(source, "extended") == ["try", "1 if b else 2", "[x for x in y if x]"]


def test_one_liners_cut_at_their_line() -> None:
    assert lines("x = 1\nif x: return_ = 1\nelse: y = 2\nfor i in x: print(i); print(x)\n") == [2, 4]


def test_expressions_cut_at_the_start_of_their_logical_line() -> None:
    source = dedent('''\
        a = 0
        s = """two
        lines"""; y = f(
            1 if a else 2,
        )
        if (a and
                b): z = 1 if a else 2
        w = 3 + \\
            (4 if a else 5)
        ''')
    assert lines(source, "extended") == [2, 6, 6, 8]


def test_backslash_before_a_statement_belongs_to_it() -> None:
    assert lines("x = 1\n\\\nif x:\n    pass\n") == [2]


def test_offsets_are_characters_after_non_ascii_text_on_the_same_line() -> None:
    source = "s = 'żółw→😀'; t = 'é' if s else 'x'\nif s:\n    pass\n"
    assert texts(source, "extended") == ["'é' if s else 'x'", "if s"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_tabs(end: str) -> None:
    source = end.join(["def f(x):", "\ts = '\x0c\x85\u2028'", "\tif x:", "\t\treturn 1", ""])
    assert lines(source) == [3]
    assert texts(source) == ["if x"]
    assert source[line_starts(source)[2] :].startswith("\tif x")


@pytest.mark.parametrize("source", ["print 'x'\nif 1:\n  pass", "if x:\npass", "\x00", "'\ud800'", "(" * 5000])
def test_what_does_not_parse_has_none(source: str) -> None:
    assert parse(source) is None
    assert conditionals(source, "extended") == []


@pytest.mark.parametrize("kind", ["if_only", "default", "extended"])
def test_a_byte_order_mark_is_one_character_of_the_first_line(kind: ConditionalKind) -> None:
    source = "é = 1 if a else 2\nif é:\n    pass\n"
    plain = conditionals(source, kind)
    assert [(s.start - 1, s.end - 1, s.line) for s in conditionals("\ufeff" + source, kind)] == [
        (s.start, s.end, s.line) for s in plain
    ]
    assert plain


def test_statements_in_every_kind_of_suite_are_found() -> None:
    source = dedent("""\
        try:
            if a: pass
        except ValueError:
            for b in c: pass
        else:
            while d: break
        finally:
            if e: pass
        with f:
            for g in h:
                pass
            else:
                if i: pass
        while j:
            pass
        else:
            match k:
                case 1 if l:
                    if m: pass
                case _:
                    for n in o: pass
        def p():
            class Q:
                async def r(self):
                    async with s:
                        async for t in u: pass
        try:
            pass
        except* ValueError:
            if v: pass
        """)
    assert lines(source) == [2, 4, 6, 8, 10, 13, 14, 17, 19, 21, 26, 30]


def test_classes_methods_async_and_decorators() -> None:
    source = dedent("""\
        class A:
            @property
            def f(self):
                if self:
                    return 1
            async def g(self):
                async for x in self:
                    pass
        """)
    assert lines(source) == [4, 7]


PIECES = [
    "if a:\n    b = 1\n",
    "x = 'ż'\n",
    "for i in a:\n    if i: pass\n    elif a: pass\n",
    "y = 1 if a else 2; z = 3\n",
    "\n",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_a_cut_is_at_a_line_start_before_its_conditional_and_spans_are_the_nodes_own(pieces: list[str]) -> None:
    source = "".join(pieces)
    starts = line_starts(source)
    for span in conditionals(source, "extended"):
        assert starts[span.line - 1] <= span.start < span.end
        head = source[: starts[span.line - 1]]
        assert head == "" or head.endswith("\n")
    nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.If | ast.For | ast.IfExp)]
    spans = conditionals(source, "extended")
    assert sorted(source[s.start : s.end] for s in spans) == sorted(
        ast.get_source_segment(source, n) or "" for n in nodes
    )


def test_number_of_spans_equals_number_of_keywords() -> None:
    # The tokens `if`/`elif` that open a logical line are counted independently of the syntax tree.
    source = CHAIN * 20
    opened = [line for line in source.split("\n") if line.strip().split(" ")[0] in ("if", "elif")]
    assert len(lines(source, "if_only")) == len(opened) == 60
