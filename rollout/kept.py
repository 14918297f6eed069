"""What a trajectory keeps of its tests for a person to read: bounded in number and length."""

from dataclasses import dataclass

from stepcoder.executor.case_text import case_text, cut, got_text
from stepcoder.executor.report import Report, TestOutcome
from stepcoder.executor.suite import Suite


@dataclass(frozen=True, slots=True)
class KeptTest:
    """One test, `number` from 1 in its suite; texts are cut. `hidden`: it gives no reward."""

    number: int
    verdict: str
    input: str
    expected: str
    got: str
    stdout: str
    error: str | None
    error_line: int | None
    cpu_s: float
    hidden: bool


def kept_tests(suite: Suite, report: Report, shown: int, most: int, chars: int) -> tuple[KeptTest, ...]:
    """The first `most` tests, the last of them the first that failed where it comes later.

    `shown`: so many of the tests give the reward. Texts have at most `chars` characters of what there was.
    """
    places = list(range(min(len(report.tests), most)))
    failed = next((place for place, test in enumerate(report.tests) if not test.passed), None)
    if failed is not None and places and failed not in places:
        places[-1] = failed
    return tuple(_kept(suite, report.tests[place], place, place >= shown, chars) for place in places)


def _kept(suite: Suite, outcome: TestOutcome, place: int, hidden: bool, chars: int) -> KeptTest:
    case = suite.cases[place]

    def text(whole: str) -> str:
        return cut(storable(whole), chars)

    given, expected = case_text(suite, case)
    stdout = "" if suite.style == "stdin" else text(outcome.stdout)  # there it is what the program gave
    error = None if outcome.error is None else text(outcome.error)
    got = text(got_text(suite, case, outcome))
    return KeptTest(place + 1, str(outcome.verdict), text(given), text(expected), got, stdout, error,
                    outcome.error_line, outcome.cpu_s, hidden)  # fmt: skip


def storable(text: str) -> str:
    """Without lone surrogates, which no file in UTF-8 can hold."""
    return text.encode("utf-8", "backslashreplace").decode()
