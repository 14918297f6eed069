"""The verdict on a test, from what the program's process left and how it ended. Pure, and made in the trusted parent.

The answers are the program's word: nothing in a frame is believed to have any form.
"""

import signal
from dataclasses import dataclass
from typing import Any

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.compare import same_text, same_value
from stepcoder.executor.judging.plan import PlannedCase
from stepcoder.executor.report import Verdict
from stepcoder.executor.sandbox.board import Frame
from stepcoder.executor.sandbox.values import codec
from stepcoder.executor.suite import Compare

_MAX_LINE = (1 << 31) - 1
_KINDS = {"MemoryError": Verdict.MEMORY_LIMIT, "TooLarge": Verdict.OUTPUT_LIMIT}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, the error that a report tells, and its line in the program.

    `open`: a checker still has to judge `answer`, a text or data of values.codec.
    """

    verdict: Verdict
    error: str | None = None
    line: int | None = None
    open: bool = False
    answer: Any = None


DISTURBED = Judgement(Verdict.RUNTIME_ERROR, "the program disturbed its harness")  # an answer that no harness gives


def late(config: ExecutorConfig) -> Judgement:
    limits = f"{config.cpu_s:g} s of CPU or {config.wall_s:g} s of wall time, {config.idle_s:g} s without any CPU"
    return Judgement(Verdict.TIMEOUT, f"more than {limits}, or {config.program_cpu_s:g} s of CPU in all tests")


def over(config: ExecutorConfig) -> Judgement:
    return Judgement(Verdict.OUTPUT_LIMIT, f"more than {config.output_kib} KiB of output")


def of_answer(case: PlannedCase, says: dict[str, Any], text: str, config: ExecutorConfig, how: Compare) -> Judgement:
    """Of a test that came to its end in time: `says` is what its process says, `text` its standard output."""
    if "flood" in says:
        return Judgement(Verdict.OUTPUT_LIMIT, f"a result of more than {config.result_kib} KiB")
    if "error" in says:
        return Judgement(_KINDS.get(str(says.get("kind")), Verdict.RUNTIME_ERROR), _message(says), _line(says))
    if case.kind == "text":
        return of_text(case, text, how)
    if case.kind == "code":
        if says.get("done") is False:
            return Judgement(Verdict.WRONG_ANSWER, "an assert of the test failed")
        sealed = says.get("done") == case.expected
        return Judgement(Verdict.PASSED) if sealed else Judgement(Verdict.RUNTIME_ERROR, "no outcome")
    if "value" not in says:
        return Judgement(Verdict.RUNTIME_ERROR, "the call did not return")
    try:
        answer = codec.decode(says["value"])
        if case.checked:
            return _for_checker(says["value"])
        if case.kind == "check":
            return _compared(case.expected.holds(answer))
        return _compared(same_value(case.expected, answer, how))
    except (ValueError, TypeError, RecursionError, AttributeError, IndexError):
        return DISTURBED


def _for_checker(data: Any) -> Judgement:
    """Of a returned value in the form of codec: a checker gets what iterators gave as lists, and no objects."""
    try:
        return Judgement(Verdict.PASSED, open=True, answer=_listed(data))
    except _HoldsObject as found:
        return Judgement(Verdict.WRONG_ANSWER, f"the answer holds an object of the class {found.args[0]!r:.60}")


class _HoldsObject(Exception):
    """The name of the class of an object without a data form."""


def _listed(data: Any) -> Any:
    if isinstance(data, list):
        return [_listed(part) for part in data]
    if not isinstance(data, dict):
        return data
    ((tag, body),) = data.items()
    if tag != "o":
        return {tag: _listed(body)}
    if len(body) < 3 or "items" not in body[2]:
        raise _HoldsObject(str(body[0]))
    return _listed(body[2]["items"])


def of_text(case: PlannedCase, text: str, how: Compare) -> Judgement:
    if case.checked:
        return Judgement(Verdict.PASSED, open=True, answer=text)
    return _compared(same_text(case.expected, text, how))


def _compared(same: bool) -> Judgement:
    return Judgement(Verdict.PASSED if same else Verdict.WRONG_ANSWER)


def of_exit(code: int) -> Judgement:
    """Of a test in which the process ended with this exit code, negative for a signal."""
    if code == -signal.SIGXCPU:
        return Judgement(Verdict.TIMEOUT, "more CPU time than all tests may use")
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return Judgement(Verdict.RUNTIME_ERROR, f"killed by {name}")
    return Judgement(Verdict.RUNTIME_ERROR, f"the process ended with code {code} before its test did")


def of_refusal(about: dict[str, Any]) -> Judgement:
    """Of a program that does not compile."""
    return Judgement(Verdict.COMPILE_ERROR, _message(about), _line(about))


def of_compiling(frame: Frame | None, code: int, late: bool) -> Judgement:
    """Of a program whose own process did not get to run it: what that says, if anything, and how it ended."""
    if frame is not None and "error" in frame.says:
        return of_refusal(frame.says)
    if late:
        return Judgement(Verdict.COMPILE_ERROR, "compiling took too long")
    return Judgement(Verdict.COMPILE_ERROR, f"the compiler died: {of_exit(code).error}")


def _message(says: dict[str, Any]) -> str:
    """As a text that can be written down: a program may have put anything here."""
    error = says["error"]
    return error[:1000].encode("utf-8", "replace").decode() if isinstance(error, str) else "an error without a message"


def _line(says: dict[str, Any]) -> int | None:
    found = says.get("line")
    return found if isinstance(found, int) and 0 < found <= _MAX_LINE else None
