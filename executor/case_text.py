"""A test of a suite as text for a person: what it gives, what it expects, and what a program gave instead."""

import json
from typing import Any

from stepcoder.executor.report import TestOutcome
from stepcoder.executor.sandbox.values.codec import decode
from stepcoder.executor.suite import Case, Suite


def case_text(suite: Suite, case: Case) -> tuple[str, str]:
    """(input, expected). A test that is code or has a name of its own expects nothing besides."""
    if suite.style == "stdin":
        return case.input.rstrip("\n"), case.output.rstrip("\n")
    if suite.style == "call":
        named = [f"{name}={value_text(value)}" for name, value in case.keywords.items()]
        return ", ".join([*map(value_text, case.input), *named]), value_text(case.output)
    return str(case.input), ""


def got_text(suite: Suite, case: Case, outcome: TestOutcome) -> str:
    """What a program answered, as far as it was kept; empty where it gave no answer."""
    if suite.style == "stdin":
        return outcome.stdout.rstrip("\n")
    if outcome.passed:
        return case_text(suite, case)[1]
    try:
        return value_text(decode(json.loads(outcome.answer))) if outcome.answer else ""
    except (ValueError, TypeError, RecursionError):  # cut short, or no value that Python can show
        return outcome.answer


def value_text(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # more digits than Python shows
        return "(a value with a huge integer)"


def cut(text: str, limit: int) -> str:
    """At most `limit` characters of a text, and how many there were."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text):,} characters)"
