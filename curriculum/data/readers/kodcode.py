"""KodCode-V1 (arXiv 2503.02951): a question, a solution, and a module of pytest functions that imports it."""

from collections.abc import Iterator

from stepcoder.curriculum.data.readers.build import Entry, called, read_entries, record, solutions, text, unfenced
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse, Rejected
from stepcoder.executor.judging.suites.module import names
from stepcoder.executor.suite import Case, Suite

COLUMNS = ("question_id", "question", "solution", "test", "gpt_difficulty")


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
        suite=Suite("pytest", _tests(module), module=module),
    )


def _tests(module: str) -> tuple[Case, ...]:
    """The tests of a module, of a parametrised one each case. Refuse for what the guarded form does not support."""
    try:
        return tuple(map(Case, names(module)))
    except ValueError as error:
        raise Refuse(Reason.NOT_KEPT, str(error)) from error
