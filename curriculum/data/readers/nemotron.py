"""Nemotron-RL-coding-competitive_coding, and other rows for NeMo Gym: a request, and tests in `verifier_metadata`."""

from stepcoder.curriculum.data.readers.build import Entry, asked_of, name_of, record
from stepcoder.curriculum.data.readers.files import structured
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse
from stepcoder.curriculum.data.readers.suites import may_be_wrapped, paired_suite

COLUMNS = ("responses_create_params", "verifier_metadata", "hash_id", "dataset", "source")


def nemotron(entry: Entry, number: int) -> Record:
    asked, about = structured(entry.get("responses_create_params")), structured(entry.get("verifier_metadata"))
    if not isinstance(asked, dict):
        raise Refuse(Reason.NO_STATEMENT, "`responses_create_params` is no object")
    if not isinstance(about, dict):
        raise Refuse(Reason.NO_TESTS, "`verifier_metadata` is no object")
    tests = structured(about.get("unit_tests"))
    suite = paired_suite(tests, "", [])
    return record(
        id=f"nemotron/{name_of(about | entry, number, 'hash_id', 'problem_id')}",
        source="nemotron",
        level="competition",
        statement=asked_of(asked.get("input")),
        starter_code="",
        solutions=[],
        suite=suite,
        wrapped=may_be_wrapped(suite, tests),
    )
