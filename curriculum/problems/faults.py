"""What is wrong with a line of a problem file, in words."""

import ast
import difflib
from collections.abc import Iterable
from typing import Any

from pydantic_core import ErrorDetails

from stepcoder.curriculum.problems.line import KEYS, MODELS, STYLES, TESTS, ArgumentAnswer, CallTest, LimitsLine
from stepcoder.curriculum.stages.conditionals import parse
from stepcoder.executor.suite import Case


def explain(error: ErrorDetails) -> tuple[str | None, str]:
    """Field path and reason of one pydantic error."""
    loc = error["loc"][1:] if error["loc"] and error["loc"][0] in STYLES else error["loc"]
    field = ".".join(map(str, loc))
    kind, value = error["type"], error["input"]
    if kind == "union_tag_not_found":
        return "style", f"missing; one of {', '.join(STYLES)}"
    if kind == "union_tag_invalid":
        style = value["style"]
        return "style", f"{style!r} is not one of {', '.join(STYLES)}{nearest_key(str(style), STYLES)}"
    if kind == "missing":
        return field, "missing"
    if kind == "extra_forbidden":
        style, key = str(error["loc"][0]), str(loc[-1])
        whole = {"tests": TESTS[style], "limits": LimitsLine, "answer": ArgumentAnswer}
        if len(loc) == 1 and key in KEYS:
            others = [name for name, model in MODELS.items() if key in model.model_fields]
            return field, f"only for problems in {' or '.join(others)} style"
        return field, f"unknown key{nearest_key(key, whole.get(str(loc[0]), MODELS[style]).model_fields)}"
    if kind == "literal_error":
        expected: str = error.get("ctx", {})["expected"]
        known = [part.strip("'") for part in expected.replace(" or ", ", ").split(", ")]
        return field, f"{value!r} is not one of {', '.join(known)}{nearest_key(str(value), known)}"
    if kind == "too_short" and field == "tests":
        return field, "no tests: a problem needs at least one"
    if kind == "none_required":
        return field, "only call style and stdin style have an entry point"
    return field or None, f"{error['msg'][0].lower()}{error['msg'][1:]} (got {type(value).__name__})"


def nearest_key(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean `{close[0]}`?" if close else f"; known: {', '.join(known)}"


def arity_fault(solution: str, entry_point: str, tests: Iterable[Case | CallTest]) -> tuple[str, str] | None:
    """Field and reason of a test whose arguments the solution's entry point does not take.

    None also where the solution does not parse or the entry point is not a plain definition: then nothing is known.
    """
    tree = parse(solution)
    if tree is None:
        return None
    body = tree.body
    names = entry_point.replace("()", "").split(".")
    node: ast.stmt | None = None
    for name in names:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        found = [stmt for stmt in body if isinstance(stmt, kinds) and stmt.name == name]
        if not found:
            return None
        node = found[-1]
        body = found[-1].body
    if not isinstance(node, ast.FunctionDef) or node.decorator_list:
        return None
    bound = len(names) - 1  # self
    positional = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)][bound:]
    most = len(positional)
    least = most - len(node.args.defaults)
    by_name = {argument.arg for argument in node.args.kwonlyargs}
    for index, test in enumerate(tests):
        given, names = len(test.input), set(test.keywords)
        if (given + len(names - by_name) < least) or (given > most and node.args.vararg is None):
            takes = str(most) if least == most else f"{least} to {most}"
            reason = f"{given + len(names)} arguments, but `{entry_point}` of the solution takes {takes}"
            return f"tests.{index}.input", reason
        unknown = names - by_name - set(positional[given:])
        if unknown and node.args.kwarg is None:
            close = nearest_key(min(unknown), positional)
            reason = f"`{entry_point}` of the solution takes no such argument there{close}"
            return f"tests.{index}.keywords.{min(unknown)}", reason
    return None
