"""AceCode-87K and AceCode-V2 (arXiv 2502.01718): a question and asserts; models' answers beside them are not read."""

from stepcoder.curriculum.data.readers.build import Entry, name_of, record, text
from stepcoder.curriculum.data.readers.files import decoded
from stepcoder.curriculum.data.readers.record import Record
from stepcoder.curriculum.data.readers.suites import assert_suite

COLUMNS = ("id", "question", "test_cases", "tests")


def acecode(entry: Entry, number: int) -> Record:
    return record(
        id=f"acecode/{name_of(entry, number, 'id')}",
        source="acecode",
        level="introductory",
        statement=text(entry, "question", default=""),
        starter_code="",
        solutions=[],
        suite=assert_suite(decoded(entry.get("tests") if entry.get("test_cases") is None else entry["test_cases"])),
    )
