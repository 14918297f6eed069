"""HumanEval+ and MBPP+ (EvalPlus, arXiv 2305.01210): the base tests of HumanEval and MBPP, and many more inputs.

EvalPlus's own files have `base_input` and `plus_input`; the reference solution, run in the sandbox, gives the expected
outputs. The hub's form has a `test` with lists of inputs and results. Values count as EvalPlus counts them: floats by a
tolerance, anything else as Python compares it.
"""

import ast
import re
from typing import Any

from stepcoder.curriculum.data.readers.build import Entry, name_of, record, solutions, text, told
from stepcoder.curriculum.data.readers.files import decoded, decoded_list
from stepcoder.curriculum.data.readers.outputs import Asked, asked_like, judged_by_values
from stepcoder.curriculum.data.readers.record import Pending, Reason, Record, Refuse
from stepcoder.curriculum.stages.conditionals import parse
from stepcoder.executor.judging.asserts import Unsupported, constant
from stepcoder.executor.suite import Case, Suite

COLUMNS = (
    "task_id", "prompt", "entry_point", "canonical_solution", "code", "test", "test_list", "test_imports", "base_input",
    "plus_input", "atol", "assertion",
)  # fmt: skip
# EvalPlus judges these by rules in its own code, which its files do not have.
OWN_RULES = ("find_zero",)
_QUOTED = re.compile(r'\A\s*("""|\'\'\')(.*?)\1\s*\Z', re.DOTALL)


def is_plus(entry: Entry) -> bool:
    """Whether an entry has what EvalPlus added, in either form."""
    return "plus_input" in entry or "base_input" in entry or _has_assertion(entry.get("test"))


def _has_assertion(test: Any) -> bool:
    return isinstance(test, str) and "def assertion(" in test


def humaneval_plus(entry: Entry, number: int) -> Record:
    prompt, name = text(entry, "prompt", default=""), text(entry, "entry_point", default="")
    found = [prompt + body for body in solutions(entry.get("canonical_solution"))]
    statement = docstring(prompt, name) or prompt
    return _record(entry, f"humaneval_plus/{_number(entry, number)}", name, statement, prompt, found, "")


def mbpp_plus(entry: Entry, number: int) -> Record:
    asserts = decoded_list(entry.get("test_list")) or [text(entry, "assertion", default="")]
    template = "\n".join(test for test in asserts if isinstance(test, str)) if isinstance(asserts, list) else ""
    quoted = _QUOTED.match(text(entry, "prompt", default=""))
    statement = (quoted[2] if quoted else text(entry, "prompt", default="")).strip()
    found = solutions(entry.get("canonical_solution") or entry.get("code"))
    name = text(entry, "entry_point", default="") or _tested(entry)
    if not quoted and (call := asked_like(template, name)):
        statement += f"\n\nIt is called like this: `{call.shown}`"
    return _record(entry, f"mbpp_plus/{_number(entry, number)}", name, statement, "", found, template)


def docstring(prompt: str, name: str) -> str | None:
    """Of the last function of that name in a program."""
    tree = parse(prompt)
    body = tree.body if tree else []
    functions = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == name]
    return (ast.get_docstring(functions[-1]) or "").strip() if functions else None


def _number(entry: Entry, number: int) -> str:
    return re.sub(r"\A(HumanEval|Mbpp)/", "", name_of(entry, number, "task_id"))


def _record(entry: Entry, id: str, name: str, statement: str, starter: str, found: list[str], template: str) -> Record:
    if not name.isidentifier():
        raise Refuse(Reason.NO_ENTRY_POINT)
    if name in OWN_RULES:
        raise Refuse(Reason.NOT_KEPT, f"EvalPlus judges `{name}` by a rule of its own")
    told = {
        "id": id, "source": id.partition("/")[0], "level": "introductory", "statement": statement,
        "starter_code": starter, "solutions": found,
    }  # fmt: skip
    tolerance = _tolerance(decoded(entry.get("atol")))
    inputs, outputs = _inputs(entry), None
    asked = asked_like(template, name) or Asked(name)
    if inputs is None:
        inputs, outputs, tolerance, as_set = _listed(text(entry, "test", default=""))
        asked = Asked(name, as_set=as_set)
    inputs = [asked.typed(given) for given in inputs]
    if outputs is not None:
        return record(**told, suite=judged_by_values(asked, inputs, outputs, tolerance))
    unanswered = Suite("call", tuple(Case(given) for given in inputs), name)
    return record(
        **told,
        suite=unanswered,
        pending=Pending(unanswered, lambda answers: judged_by_values(asked, inputs, answers, tolerance)),
    )


def _inputs(entry: Entry) -> list[list[Any]] | None:
    """Arguments of all tests in EvalPlus's own files; None in the hub's form."""
    if "base_input" not in entry and "plus_input" not in entry:
        return None
    both = [decoded(entry.get(name)) or [] for name in ("base_input", "plus_input")]
    found = [given for part in both if isinstance(part, list) for given in part]
    if not found or not all(isinstance(given, list) for given in (*both, *found)):
        raise Refuse(Reason.NO_TESTS, "`base_input` and `plus_input` are no lists of arguments")
    return found


def _tolerance(value: Any) -> float:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise Refuse(Reason.BAD_TEST, f"`atol` is {told(value)}")
    return value


def _tested(entry: Entry) -> str:
    """The function that the hub's form of MBPP+ calls for each input."""
    tree = parse(text(entry, "test", default=""))
    for node in ast.walk(tree) if tree else ():
        match node:
            case ast.Call(func=ast.Name(id=name), args=[ast.Starred(value=ast.Name("inp"))]) if name != "ref_func":
                return name
    return ""


def _listed(test: str) -> tuple[list[list[Any]], list[Any] | None, float, bool]:
    """(inputs, outputs, tolerance, whether sets are compared) of a test with lists of inputs and results.

    No outputs where a reference function in the test gives them.
    """
    tree = parse(test)
    if tree is None:
        raise Refuse(Reason.NO_TESTS, "`test` does not parse")
    nodes = list(ast.walk(tree))
    lists: dict[str, Any] = {}
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id="inputs" | "results" as name)], value=value):
                try:
                    lists[name] = constant(value)
                except Unsupported as error:
                    raise Refuse(Reason.NOT_KEPT, f"`{name}` of the test: {error}") from error
    for node in nodes:
        match node:
            case ast.Call(func=ast.Name("assertion"), args=[got, wanted, tolerance]):
                shape, referred = _shape(got), _shape(wanted)
                if shape is None or not isinstance(tolerance, ast.Constant) or "inputs" not in lists:
                    break
                if "results" not in lists and referred is None:
                    break
                inputs = [list(given) for given in lists["inputs"]]
                return inputs, lists.get("results"), float(str(tolerance.value)), shape == "set"
    raise Refuse(Reason.NOT_KEPT, "`test` is no list of inputs with their results")


def _shape(node: ast.expr) -> str | None:
    """`""` for `f(*inp)`, `"set"` for `set(f(*inp))`, None for anything else."""
    match node:
        case ast.Call(func=ast.Name(), args=[ast.Starred()], keywords=[]):
            return ""
        case ast.Call(func=ast.Name("set"), args=[ast.Call(func=ast.Name(), args=[ast.Starred()])], keywords=[]):
            return "set"
    return None
