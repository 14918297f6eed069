"""The reward of a program, from its report. Pure; runs in the trusted parent."""

from executor.report import Report, Verdict

# StepCoder, section 4: all pass, some test fails, runtime error (limits count as such), does not compile.
_STEPCODER = {
    Verdict.PASSED: 1.0,
    Verdict.WRONG_ANSWER: -0.3,
    Verdict.RUNTIME_ERROR: -0.6,
    Verdict.TIMEOUT: -0.6,
    Verdict.MEMORY_LIMIT: -0.6,
    Verdict.OUTPUT_LIMIT: -0.6,
    Verdict.COMPILE_ERROR: -1.0,
}


def reward(report: Report, kind: str) -> float:
    """`stepcoder`, `binary` (1 or 0), or `ratio` (RLTF: -0.3 + 1.3 x share of tests passed where the program ran).

    ValueError for `infra_error`, which says nothing about the program, and for an unknown kind.
    """
    if report.verdict is Verdict.INFRA_ERROR:
        raise ValueError(f"no reward for infra_error ({report.error}): run the program again or leave it out")
    if kind == "stepcoder":
        return _STEPCODER[report.verdict]
    if kind == "binary":
        return float(report.passed)
    if kind == "ratio":
        return _ratio(report)
    raise ValueError(f"unknown reward {kind!r}: choose stepcoder, binary or ratio")


def _ratio(report: Report) -> float:
    """Errors keep StepCoder's penalty; a program that ran every test to its end is paid by the share that passed."""
    failures = {test.verdict for test in report.tests} - {Verdict.PASSED, Verdict.WRONG_ANSWER}
    if report.verdict is Verdict.COMPILE_ERROR:
        return -1.0
    if failures:
        return -0.6
    return -0.3 + 1.3 * sum(test.verdict is Verdict.PASSED for test in report.tests) / len(report.tests)
