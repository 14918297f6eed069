"""A problem's own checker: what it is asked about an answer, and what its word means. Pure.

`check(input, output, expected)` returns True, False, or either with a text. Of a test in stdin style all three are
texts; of one in call style `input` is the list of arguments, with a dictionary of the keyword arguments at its end
where there are any. Anything else that it does is its own failure, and no verdict.
"""

from typing import Any

from stepcoder.executor.judging.judge import Judgement
from stepcoder.executor.report import Verdict
from stepcoder.executor.sandbox.values import codec
from stepcoder.executor.suite import Case


class CheckerFailed(Exception):
    """A checker did not decide, which says nothing about the program."""


def asked(case: Case, answer: Any) -> dict[str, Any]:
    """The call of `check` about an answer, which is a text or data of values.codec."""
    given = case.input if isinstance(case.input, str) else [*case.input, *([case.keywords] if case.keywords else [])]
    return {"fn": "check", "args": [codec.encode(given), answer, codec.encode(case.output)]}


def said(says: dict[str, Any], number: int) -> Judgement:
    """What a frame of the checker's process says of test `number`; CheckerFailed where that is no verdict."""
    if says.get("kind") == "WrongAnswer":
        return Judgement(Verdict.WRONG_ANSWER, str(says["error"]).removeprefix("WrongAnswer: "))
    if "error" in says:
        raise CheckerFailed(f"the checker failed on test {number}: {says['error']}")
    if "flood" in says:
        raise CheckerFailed(f"the checker returned more than executor.result_kib for test {number}")
    answer = codec.decode(says.get("value"))
    holds, text = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, "")
    if not isinstance(holds, bool) or not isinstance(text, str):
        raise CheckerFailed(f"the checker returned {_shown(answer)} for test {number}, not a bool or (bool, text)")
    return Judgement(Verdict.PASSED) if holds else Judgement(Verdict.WRONG_ANSWER, text[:1000] or None)


def _shown(answer: Any) -> str:
    try:
        return f"{answer!r:.100}"
    except (TypeError, ValueError):  # an object without a data form, a number of more digits than Python writes
        return f"an object of the type {answer.kind if isinstance(answer, codec.Opaque) else type(answer).__name__}"
