"""What a model is told about its program that failed, before it tries again.

The verdict, the input of the first failing test and the exception; never an expected output, which a program could
repeat. Invariant: a function of the report and the suite's inputs, and no longer than asked for.
"""

import ast
import re

from stepcoder.executor.judging.asserts import Unsupported, program_call, question
from stepcoder.executor.report import Report
from stepcoder.executor.suite import Case, Suite

# What the interpreter says of a call that does not fit the program.
_NAMES_ALONE = re.compile(
    r"NameError: name '\w+' is not defined"
    r"|TypeError: [\w.<>]+\(\) (takes|missing|got an unexpected) [\w ',]+(: [\w ',]+)?"
)


def told(report: Report, suite: Suite, chars: int) -> str:
    """Of a program that did not pass. Input and exception have at most `chars` characters each."""
    failed = next((i for i, test in enumerate(report.tests) if not test.passed), None)
    parts = [f"Your program {report.verdict.told}."]
    if failed is not None and (given := _given(suite, suite.cases[failed])):
        parts.append(f"The input was:\n{_cut(given, chars)}")
    if report.error:
        line = f" in line {report.error_line}" if report.error_line else ""
        own = failed is None or report.error_line is not None or _is_data(suite, suite.cases[failed])
        error = report.error if own or _NAMES_ALONE.fullmatch(report.error) else report.error.partition(":")[0]
        parts.append(f"The error{line}:\n{_cut(error, chars)}")
    return "\n\n".join(parts)


def _is_data(suite: Suite, case: Case) -> bool:
    """Whether no code of the test runs beside the program, whose exceptions may name what was expected."""
    if suite.style != "assert":
        return suite.style != "pytest"
    try:
        question(case.input)
    except (SyntaxError, ValueError, Unsupported):
        return False
    return True


def _given(suite: Suite, case: Case) -> str:
    """The test's input as a person would write it; empty where that cannot be told without the expected output."""
    if suite.style == "stdin":
        return str(case.input)
    if suite.style == "call":
        keywords = [f"{name}={value!r}" for name, value in case.keywords.items()]
        return f"{suite.entry_point}({', '.join([*map(repr, case.input), *keywords])})"
    if suite.style != "assert":
        return ""
    try:
        return ast.unparse(program_call(ast.parse(case.input).body))
    except (SyntaxError, ValueError, Unsupported):
        return ""


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[:chars]}..."
