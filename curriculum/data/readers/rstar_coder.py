"""rStar-Coder (arXiv 2505.21297), its files with tests: parallel lists, the function's name in `func_name`."""

from typing import Any

from stepcoder.curriculum.data.readers.build import Entry, call_cases, name_of, record, solutions, text
from stepcoder.curriculum.data.readers.files import decoded
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse
from stepcoder.curriculum.data.readers.suites import (
    SETUP,
    argument_lines,
    entry_point,
    may_be_wrapped,
    paired_suite,
    written_value,
)
from stepcoder.executor.suite import Suite

COLUMNS = (
    "question_id", "question", "starter_code", "inputs", "outputs", "is_synthesized", "test_case_type", "func_name",
    "class_name", "code",
)  # fmt: skip


def rstar_coder(entry: Entry, number: int) -> Record:
    starter_code, found = text(entry, "starter_code", default=""), solutions(entry.get("code"))
    suite = _suite(entry, starter_code, found)
    return record(
        id=f"rstar_coder/{name_of(entry, number, 'question_id')}",
        source="rstar_coder",
        level="competition",
        statement=text(entry, "question", default=""),
        starter_code=starter_code,
        solutions=found,
        suite=suite,
        wrapped=may_be_wrapped(suite, {"inputs": entry.get("inputs")}),
    )


def _suite(entry: Entry, starter_code: str, found: list[str]) -> Suite:
    name, holder = text(entry, "func_name", default=""), text(entry, "class_name", default="")
    inputs, outputs = decoded(entry.get("inputs")), decoded(entry.get("outputs"))
    if not name:
        return paired_suite({"inputs": inputs, "outputs": outputs}, starter_code, found)
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        raise Refuse(Reason.NO_TESTS)
    point = entry_point(name, starter_code, found)
    if holder:
        if not holder.isidentifier():
            raise Refuse(Reason.NO_ENTRY_POINT, f"the class's name is {holder!r:.60}")
        point = f"{holder}().{name}"
    cases = call_cases([_arguments(given) for given in inputs], list(map(written_value, outputs)))
    return Suite("call", cases, point, SETUP)


def _arguments(given: Any) -> Any:
    return argument_lines(given) if isinstance(given, str) else given
