"""HumanEval (arXiv 2107.03374): a signature with a docstring that the program continues, and a `check` function."""

from stepcoder.curriculum.data.readers.build import Entry, name_of, record, solutions, text
from stepcoder.curriculum.data.readers.checks import split_check
from stepcoder.curriculum.data.readers.evalplus import docstring, humaneval_plus, is_plus
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse
from stepcoder.executor.suite import Case, Suite


def humaneval(entry: Entry, number: int) -> Record:
    if is_plus(entry):
        return humaneval_plus(entry, number)
    prompt, name = text(entry, "prompt", default=""), text(entry, "entry_point", default="")
    if not name.isidentifier():
        raise Refuse(Reason.NO_ENTRY_POINT)
    try:
        tests = split_check(text(entry, "test", default=""), name)
    except (SyntaxError, ValueError) as error:
        raise Refuse(Reason.NO_TESTS, str(error)) from error
    return record(
        id=f"humaneval/{name_of(entry, number, 'task_id').removeprefix('HumanEval/')}",
        source="humaneval",
        level="introductory",
        statement=docstring(prompt, name) or prompt,
        starter_code=prompt,
        solutions=[prompt + body for body in solutions(entry.get("canonical_solution"))],
        suite=Suite("assert", tuple(Case(code) for code, _ in tests)),
    )
