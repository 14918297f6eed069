"""The native format (curriculum.problems.load), where a bad line is told and left out instead of refusing the file."""

from collections.abc import Iterator
from pathlib import Path

from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Reason, Record, Rejected
from stepcoder.curriculum.problems.load import parse_line, resolve
from stepcoder.curriculum.problems.sound import NO_OUTPUT
from stepcoder.errors import DataFileError
from stepcoder.jsonl import numbered_lines


def read_native(path: Location) -> Iterator[Record | Rejected]:
    if not isinstance(path, Path):
        raise DataFileError(str(path), None, None, "the native format is a file of JSON lines; give --from")
    file = resolve(path)
    seen: set[str] = set()
    for number, raw in numbered_lines(file):
        if not raw.strip():
            continue
        where = f"{file}, line {number}"
        try:
            problem = parse_line(raw, str(file), number)
        except DataFileError as error:
            detail = error.reason if error.field is None else f"field `{error.field}`: {error.reason}"
            yield Rejected(_reason(error), where, detail)
            continue
        if problem.id in seen:
            yield Rejected(Reason.DUPLICATE_ID, where, problem.id)
            continue
        seen.add(problem.id)
        yield Record(problem, (problem.solution,) if problem.solution.strip() else ())


def _reason(error: DataFileError) -> Reason:
    field = error.field or ""
    if error.reason.startswith("not UTF-8"):
        return Reason.NON_UTF8
    if not field:
        return Reason.BAD_JSON
    if field == "tests":
        kinds = {NO_OUTPUT: Reason.MISSING_OUTPUT, "missing": Reason.NO_TESTS}
        return kinds.get(error.reason, Reason.NO_TESTS if error.reason.startswith("no tests") else Reason.BAD_TEST)
    if field in ("checker", "module", "setup"):
        return Reason.BAD_TEST
    if field.startswith("tests"):
        if error.reason != "missing" and "(got NoneType)" not in error.reason:
            return Reason.BAD_TEST
        absent = {"input": Reason.MISSING_INPUT, "output": Reason.MISSING_OUTPUT}
        return absent.get(field.rpartition(".")[2], Reason.BAD_TEST)
    named = {"entry_point": Reason.NO_ENTRY_POINT, "statement": Reason.NO_STATEMENT, "solution": Reason.NO_SOLUTION}
    return named.get(field, Reason.MISSING_FIELD)
