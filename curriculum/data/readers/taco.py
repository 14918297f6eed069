"""TACO (arXiv 2312.14852) and TACO-verified: APPS's fields, and `name`, `tags`, `skill_types`, limits, `url`."""

from dataclasses import replace

from stepcoder.curriculum.data.readers.build import Entry, called, name_of, record, solutions, text
from stepcoder.curriculum.data.readers.files import decoded_list, structured
from stepcoder.curriculum.data.readers.limits import limits
from stepcoder.curriculum.data.readers.record import Record
from stepcoder.curriculum.data.readers.suites import paired_suite

COLUMNS = (
    "id", "question", "solutions", "starter_code", "input_output", "difficulty", "time_limit", "memory_limit",
)  # fmt: skip


def taco(entry: Entry, number: int) -> Record:
    found = solutions(decoded_list(entry.get("solutions")))
    starter_code = text(entry, "starter_code", default="")
    suite = paired_suite(structured(entry.get("input_output")), starter_code, found)
    return record(
        id=f"taco/{name_of(entry, number, 'id')}",
        source="taco",
        level=called(entry.get("difficulty")),
        statement=text(entry, "question", default=""),
        starter_code=starter_code,
        solutions=found,
        suite=replace(suite, limits=limits(entry.get("time_limit"), entry.get("memory_limit"))),
        wrapped=suite.style == "call",
    )
