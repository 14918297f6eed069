"""KodCode-V1 (arXiv 2503.02951): a question, a solution, and a module of pytest functions that imports it."""

from collections.abc import Iterator

from stepcoder.curriculum.data.readers.build import (
    Entry,
    called,
    name_of,
    programs,
    read_entries,
    record,
    solutions,
    text,
)
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Record, Rejected
from stepcoder.curriculum.data.readers.suites import module_suite

COLUMNS = ("question_id", "question", "solution", "test", "gpt_difficulty")


def read_kodcode(path: Location) -> Iterator[Record | Rejected]:
    yield from read_entries(path, _problem, COLUMNS)


def _problem(entry: Entry, number: int) -> Record:
    return record(
        id=f"kodcode/{name_of(entry, number, 'question_id')}",
        source="kodcode",
        level=called(entry.get("gpt_difficulty")),
        statement=text(entry, "question", default=""),
        starter_code="",
        solutions=programs(solutions(entry.get("solution"))),
        suite=module_suite(text(entry, "test", default="")),
    )
