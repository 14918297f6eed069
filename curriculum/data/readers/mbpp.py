"""MBPP (arXiv 2108.07732) and its sanitized version: asserts about a function that the statement does not name.

The statement is therefore followed by the first test's call, without the value that is expected of it. The challenge
tests, where there are any, are tests like the others.
"""

import ast

from stepcoder.curriculum.data.readers.build import Entry, name_of, record, solutions, text
from stepcoder.curriculum.data.readers.evalplus import is_plus, mbpp_plus
from stepcoder.curriculum.data.readers.files import decoded_list
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse
from stepcoder.executor.judging.asserts import Unsupported, program_call
from stepcoder.executor.suite import Case, Suite

CALLED_LIKE_THIS = "\n\nIt is called like this: "


def mbpp(entry: Entry, number: int) -> Record:
    if is_plus(entry):
        return mbpp_plus(entry, number)
    tests, harder, imports = (_texts(entry, name) for name in ("test_list", "challenge_test_list", "test_imports"))
    if not tests:
        raise Refuse(Reason.NO_TESTS)
    tests = tests + [test for test in harder if test not in tests]
    before = text(entry, "test_setup_code", default="").replace("\r\n", "\n").strip()
    cases = tuple(Case(f"{before}\n{test}" if before else test) for test in tests)
    statement = text(entry, "text", "prompt", default="").strip()
    call = _call(tests[0])
    return record(
        id=f"mbpp/{name_of(entry, number, 'task_id')}",
        source="mbpp",
        level="introductory",
        statement=f"{statement}{CALLED_LIKE_THIS}`{call}`" if statement and call else statement,
        starter_code="",
        solutions=[code.replace("\r\n", "\n") for code in solutions(entry.get("code"))],
        suite=Suite("assert", cases, setup="".join(f"{line}\n" for line in imports)),
    )


def _texts(entry: Entry, name: str) -> list[str]:
    """A list of texts, also written down as one."""
    found = decoded_list(entry.get(name)) or []
    if not isinstance(found, list) or not all(isinstance(part, str) for part in found):
        raise Refuse(Reason.NO_TESTS, f"`{name}` is no list of texts")
    return found


def _call(test: str) -> str | None:
    try:
        return ast.unparse(program_call(ast.parse(test).body))
    except (SyntaxError, ValueError, Unsupported):
        return None
