"""DeepCoder-Preview: `problem`, `tests`, `solutions`, `starter_code`, `metadata`; each subset has its form of tests.

`tests` is a list of `{"input", "output", "testtype"}` or `{..., "type", "fn_name"}`, or `{"inputs", "outputs",
"fn_name"}`. Solutions stand in fences. Rows have no id, so they are numbered.
"""

from stepcoder.curriculum.data.readers.build import Entry, called, objects, programs, record, solutions, text
from stepcoder.curriculum.data.readers.files import decoded_list, structured
from stepcoder.curriculum.data.readers.record import Record
from stepcoder.curriculum.data.readers.suites import listed_suite, may_be_wrapped, paired_suite

COLUMNS = ("problem", "tests", "solutions", "starter_code", "metadata")


def deepcoder(entry: Entry, number: int) -> Record:
    found = programs(solutions(decoded_list(entry.get("solutions"))))
    starter_code = text(entry, "starter_code", default="")
    tests, about = structured(entry.get("tests")), structured(entry.get("metadata"))
    tests = tests if isinstance(tests, dict) and "inputs" in tests else objects(tests)
    about = about if isinstance(about, dict) else {}
    if isinstance(tests, dict):
        suite = paired_suite(tests, starter_code, found)
    else:
        suite = listed_suite(tests, about.get("func_name") or about.get("fn_name"), starter_code, found)
    return record(
        id=f"deepcoder/{number}",
        source="deepcoder",
        level=called(about.get("difficulty")),
        statement=text(entry, "problem", default=""),
        starter_code=starter_code,
        solutions=found,
        suite=suite,
        wrapped=may_be_wrapped(suite, tests),
    )
