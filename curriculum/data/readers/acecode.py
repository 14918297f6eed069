"""AceCode-87K and AceCode-V2 (arXiv 2502.01718): a question and asserts; models' answers beside them are not read."""

from collections.abc import Iterator

from stepcoder.curriculum.data.readers.build import Entry, name_of, read_entries, record, text
from stepcoder.curriculum.data.readers.files import decoded
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Record, Rejected
from stepcoder.curriculum.data.readers.suites import assert_suite

COLUMNS = ("id", "question", "test_cases", "tests")


def read_acecode(path: Location) -> Iterator[Record | Rejected]:
    yield from read_entries(path, _problem, COLUMNS)


def _problem(entry: Entry, number: int) -> Record:
    return record(
        id=f"acecode/{name_of(entry, number, 'id')}",
        source="acecode",
        level="introductory",
        statement=text(entry, "question", default=""),
        starter_code="",
        solutions=[],
        suite=assert_suite(decoded(entry.get("tests") if entry.get("test_cases") is None else entry["test_cases"])),
    )
