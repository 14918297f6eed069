"""KodCode-V1 (arXiv 2503.02951): a question, a solution, and a module of pytest functions that imports it."""

import ast
from collections.abc import Iterator

from stepcoder.curriculum.data.readers.build import Entry, called, read_entries, record, solutions, text, unfenced
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse, Rejected
from stepcoder.curriculum.stages.conditionals import parse
from stepcoder.executor.suite import Case, Suite

COLUMNS = ("question_id", "question", "solution", "test", "gpt_difficulty")
_MOST = 1000  # tests of one module


def read_kodcode(path: Location) -> Iterator[Record | Rejected]:
    yield from read_entries(path, _problem, COLUMNS)


def _problem(entry: Entry, number: int) -> Record:
    module = text(entry, "test", default="")
    return record(
        id=f"kodcode/{entry.get('question_id') or number}",
        source="kodcode",
        level=called(entry.get("gpt_difficulty") or ""),
        statement=text(entry, "question", default=""),
        starter_code="",
        solutions=[unfenced(code) for code in solutions(entry.get("solution"))],
        suite=Suite("pytest", tuple(map(Case, test_names(module))), module=module),
    )


def test_names(module: str) -> list[str]:
    """The tests of a module as pytest and unittest find them; of a parametrised one each case.

    Refuse for a module without tests, or with cases that cannot be counted.
    """
    tree = parse(module)
    if tree is None:
        raise Refuse(Reason.NO_TESTS, "the module of tests does not parse")
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and (node.name.startswith("Test") or any(map(_is_case, node.bases))):
            found += [f"{node.name}.{name}" for part in node.body for name in _cases(part)]
        found += _cases(node)
    if not found or len(found) > _MOST:
        raise Refuse(Reason.NO_TESTS, f"{len(found):,} tests")
    return found


test_names.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def _is_case(base: ast.expr) -> bool:
    return ast.unparse(base).rpartition(".")[2] == "TestCase"


def _cases(node: ast.stmt) -> list[str]:
    """The names of one function's cases; none where it is no test."""
    if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test"):
        return []
    count, parametrised = 1, False
    for decorator in node.decorator_list:
        match decorator:
            case ast.Call(
                func=ast.Attribute(attr="parametrize"), args=[_, ast.List(elts=cases) | ast.Tuple(elts=cases)]
            ):
                count, parametrised = count * len(cases), True
            case ast.Call(func=ast.Attribute(attr="parametrize")):
                raise Refuse(Reason.NOT_KEPT, f"the cases of `{node.name}` are no list")
    return [f"{node.name}[{number}]" for number in range(count)] if parametrised else [node.name]
