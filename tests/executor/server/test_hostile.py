"""Hostile programs through the server: the verdicts are those of the table, and the server lives on."""

import json
from concurrent.futures import ThreadPoolExecutor

from stepcoder.executor.report import Verdict
from stepcoder.executor.sandbox.values.structures import BinaryTree, LinkedList
from stepcoder.executor.suite import Suite
from tests.executor.hostile.base import Hostile
from tests.executor.hostile.canaries import canaries
from tests.executor.hostile.programs import innocent, programs
from tests.tools.serving import Served, served

EVERY = 3  # of the table: the whole of it is tried in tests/executor/test_hostile.py
SETTINGS = "--executor.cpu_s 0.5 --executor.wall_s 4 --executor.compile_s 5 --executor.memory_mib 128"


def problem(suite: Suite) -> dict | None:
    """In the native format; None for a suite that JSON does not hold."""
    entry = {"entry_point": suite.entry_point} if suite.entry_point else {}
    tests = {
        "stdin": lambda case: {"input": case.input, "output": case.output},
        "call": lambda case: {"input": list(case.input), "output": case.output},
        "assert": lambda case: {"code": case.input},
    }[suite.style]
    rows = [tests(case) for case in suite.cases]
    if any(isinstance(row.get("output"), LinkedList | BinaryTree) for row in rows):
        return None
    data = {"style": suite.style, "tests": rows, "setup": suite.setup, **entry}
    try:
        return data if json.loads(json.dumps(data, allow_nan=False)) == data else None
    except (TypeError, ValueError):
        return None


def ask(server: Served, row: Hostile) -> tuple[int, str]:
    status, answer, _ = server.ask("/judge", {"program": row.program, "problem": problem(row.suite)})
    return status, answer.get("verdict", answer.get("error"))


def fits(row: Hostile, level: int, status: int, said: str) -> bool:
    """A test that no program can pass, as of those that compare NaN with itself, is no problem for the server."""
    verdict = row.verdict(level)
    if status == 422:
        return "no output can pass" in said and verdict != Verdict.PASSED
    return (status, said) == (200, verdict.value)


def test_hostile_programs_get_the_same_verdicts() -> None:
    words = [*SETTINGS.split(), "--executor.output_kib", "64", "--workers", "2"]
    with canaries() as canary, served(*words) as server, ThreadPoolExecutor(4) as threads:
        level = server.ask("/health")[1]["level"]
        sendable = [row for row in programs(canary.facts) if problem(row.suite)]
        rows = [row for row in sendable if _is_text(row.program)][::EVERY]
        assert len(rows) > 25
        found = list(threads.map(lambda row: ask(server, row), rows))
        wrong = [(row.name, got) for row, got in zip(rows, found, strict=True) if not fits(row, level, *got)]
        assert not wrong
        for program, suite in innocent():
            assert server.ask("/judge", {"program": program, "problem": problem(suite)})[1]["verdict"] == "passed"
        assert not canary.touched()


def _is_text(program: str) -> bool:
    """JSON of a client holds no lone surrogates."""
    try:
        program.encode()
    except UnicodeEncodeError:
        return False
    return True
