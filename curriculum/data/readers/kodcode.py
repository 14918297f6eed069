"""KodCode-V1 (arXiv 2503.02951): a question, a solution, and a module of pytest functions that imports it."""

from stepcoder.curriculum.data.readers.build import Entry, called, name_of, programs, record, solutions, text
from stepcoder.curriculum.data.readers.record import Record
from stepcoder.curriculum.data.readers.suites import module_suite

COLUMNS = ("question_id", "question", "solution", "test", "gpt_difficulty")


def kodcode(entry: Entry, number: int) -> Record:
    return record(
        id=f"kodcode/{name_of(entry, number, 'question_id')}",
        source="kodcode",
        level=called(entry.get("gpt_difficulty")),
        statement=text(entry, "question", default=""),
        starter_code="",
        solutions=programs(solutions(entry.get("solution"))),
        suite=module_suite(text(entry, "test", default="")),
    )
