"""The body of `def check(candidate):` as single tests, one assert each where it stands by itself.

HumanEval and LeetCodeDataset wrap their asserts in such a function. An assert that is a call with constants and a check
of its answer becomes a test of its own; all else, with what it may need, stays together as one test.
"""

import ast

from stepcoder.executor.judging.asserts import Question, Unsupported, question


def split_check(source: str, entry_point: str) -> list[tuple[str, Question | None]]:
    """(code of a test, its question where it has one) in order; ValueError where there is no such function.

    `assert True`, which HumanEval uses as a remark, is left out.
    """
    module = ast.parse(source)
    check = next((n for n in module.body if isinstance(n, ast.FunctionDef) and n.name == "check"), None)
    if check is None or len(check.args.args) != 1:
        raise ValueError("no function `check` of one argument")
    name = check.args.args[0].arg
    tests: list[tuple[str, Question | None]] = []
    rest: list[ast.stmt] = []
    for statement in check.body:
        if isinstance(statement, ast.Assert):
            if isinstance(statement.test, ast.Constant) and statement.test.value:
                continue
            code = ast.unparse(_Renamed(name, entry_point).visit(ast.parse(ast.unparse(statement))))
            try:
                tests.append((code, question(code)))
                continue
            except Unsupported:
                pass
        rest.append(statement)
    if not all(map(_idle, rest)):
        check.body = rest
        tests.append((f"{ast.unparse(module)}\n\ncheck({entry_point})", None))
    return tests


def _idle(statement: ast.stmt) -> bool:
    """Whether a statement can neither fail nor call anything but `print`: a check without it checks as much."""
    if isinstance(statement, ast.Pass | ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
        return True
    called = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
    prints = all(isinstance(node.func, ast.Name) and node.func.id == "print" for node in called)
    return prints and isinstance(statement, ast.Assign | ast.Expr)


class _Renamed(ast.NodeTransformer):
    """Names an expression instead of the parameter."""

    def __init__(self, name: str, expression: str) -> None:
        self._name = name
        self._expression = expression

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.parse(self._expression, mode="eval").body if node.id == self._name else node
