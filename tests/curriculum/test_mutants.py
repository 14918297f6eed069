"""Mutants by hand, and what holds for all of them."""

import ast

import pytest

from stepcoder.curriculum.data.mutants import mutants, one_mutant, some_mutants

PROGRAM = '''"""Doc."""
import sys
def f(x: "int" = 1, *, y: int = 2) -> "int":
    """Doc."""
    if x <= 3 < y and x in [True]:
        return f"{x} a" + "b"
    return -0.5
if __name__ == "__main__":
    f(0)
'''
CHANGES = [
    (3, "1 became 2"),
    (3, "2 became 3"),
    (5, "x <= 3 < y became x < 3 < y"),
    (5, "x <= 3 < y became x <= 3 <= y"),
    (5, "3 became 4"),
    (5, "x in [True] became x not in [True]"),
    (5, "True became False"),
    (6, "'b' became 'b_'"),
    (7, "0.5 became 1.5"),
    (9, "0 became 1"),
]


def test_each_constant_and_comparison_once_and_nothing_else() -> None:
    assert sorted((m.line, m.change) for m in mutants(PROGRAM)) == sorted(CHANGES)


def test_a_mutant_differs_in_one_place() -> None:
    normal = ast.unparse(ast.parse(PROGRAM)).splitlines()
    for mutant in mutants(PROGRAM):
        lines = mutant.source.splitlines()
        assert len(lines) == len(normal) and sum(a != b for a, b in zip(lines, normal, strict=True)) == 1


def test_the_choice_is_one_of_them_and_always_the_same() -> None:
    chosen = one_mutant(PROGRAM)
    assert chosen in list(mutants(PROGRAM)) and chosen == one_mutant(PROGRAM)
    assert len({one_mutant(PROGRAM + f"# {n}\n") for n in range(40)}) > 5


@pytest.mark.parametrize("source", ["", "print(x)", "print 'python 2'", "x = ("])
def test_programs_without_a_mutant(source: str) -> None:
    assert one_mutant(source) is None and list(mutants(source)) == []


def test_a_few_mutants_are_spread_over_the_program() -> None:
    source = "\n".join(f"a{n} = {n}" for n in range(10))
    assert [mutant.line for mutant in some_mutants(source, 5)] == [1, 3, 5, 7, 9]
    assert some_mutants(source, 99) == list(mutants(source))
    assert some_mutants(source, 0) == some_mutants("print 1", 5) == []
