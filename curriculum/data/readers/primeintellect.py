"""PrimeIntellect's verifiable-coding-problems and SYNTHETIC-1: `verification_info` with `language` and `test_cases`.

`verification_info` and `metadata` are objects, or texts in JSON or as Python prints a dictionary. Copies call the
prompt `problem`.
"""

from stepcoder.curriculum.data.readers.build import PYTHON, Entry, called, name_of, programs, record, solutions, text
from stepcoder.curriculum.data.readers.files import structured
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse
from stepcoder.curriculum.data.readers.suites import listed_suite

COLUMNS = (
    "problem_id", "task_type", "prompt", "problem", "problem_statement", "gold_standard_solution", "verification_info",
    "metadata",
)  # fmt: skip
_ASKED = "Solve the following coding problem using the programming language python:"


def primeintellect(entry: Entry, number: int) -> Record:
    task = text(entry, "task_type", default="verifiable_code")
    if ("code" not in task and "coding" not in task) or "prediction" in task:  # of what a given program prints
        raise Refuse(Reason.NOT_CODE, f"`task_type` is {task!r:.60}")
    info, about = structured(entry.get("verification_info")), structured(entry.get("metadata"))
    if not isinstance(info, dict):
        raise Refuse(Reason.NO_TESTS, "`verification_info` is no object")
    language = str(info.get("language") or "python").lower()
    if language not in PYTHON:
        raise Refuse(Reason.LANGUAGE, f"its solution is to be written in {language}")
    found = programs(solutions(entry.get("gold_standard_solution")))
    asked = text(entry, "prompt", "problem", "problem_statement", default="")
    suite = listed_suite(structured(info.get("test_cases")), info.get("fn_name"), "", found)
    return record(
        id=f"primeintellect/{name_of(entry, number, 'problem_id')}",
        source="primeintellect",
        level=called(about.get("difficulty") if isinstance(about, dict) else None),
        statement=asked.strip().removeprefix(_ASKED).strip(),
        starter_code="",
        solutions=found,
        suite=suite,
        wrapped=suite.style == "call",
    )
