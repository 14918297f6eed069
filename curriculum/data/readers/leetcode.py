"""LeetCodeDataset (arXiv 2504.14655): `class Solution` whose method is called by keywords, with lists and trees.

`prompt` holds imports and helper classes, and is the suite's setup; `query` ends with the code to complete.
"""

import re

from stepcoder.curriculum.data.readers.build import Entry, name_of, record, solutions, text, told
from stepcoder.curriculum.data.readers.checks import split_check
from stepcoder.curriculum.data.readers.files import structured
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse
from stepcoder.curriculum.problems.problem import Level
from stepcoder.executor.judging.asserts import Unsupported, constant
from stepcoder.executor.suite import Case, Suite

_LEVELS: dict[str, Level] = {"Easy": "introductory", "Medium": "interview", "Hard": "competition"}
_COMPLETE = re.compile(r"\s*(?:Please complete the following python code[^\n]*)?\n```python\n(.*?)```\s*\Z", re.DOTALL)


def leetcode(entry: Entry, number: int) -> Record:
    name, query = text(entry, "entry_point", default=""), text(entry, "query", "problem_description", default="")
    if not re.fullmatch(r"[^\W\d]\w*(\(\)\.[^\W\d]\w*)?", name):
        raise Refuse(Reason.NO_ENTRY_POINT)
    meta = structured(entry.get("meta"))
    level = entry.get("difficulty") or (meta.get("difficulty") if isinstance(meta, dict) else None)
    if not isinstance(level, str) or level not in _LEVELS:
        raise Refuse(Reason.MISSING_FIELD, f"`difficulty` is {told(level)}")
    starter = _COMPLETE.search(query)
    return record(
        id=f"leetcode/{name_of(entry, number, 'task_id')}",
        source="leetcode",
        level=_LEVELS[level],
        statement=query[: starter.start()] if starter else query,
        starter_code=text(entry, "starter_code", default=starter[1] if starter else ""),
        solutions=solutions(entry.get("completion")),
        suite=_suite(text(entry, "test", default=""), name, text(entry, "prompt", default="")),
    )


def _suite(test: str, name: str, setup: str) -> Suite:
    """Call style where every assert compares with a constant, else asserts."""
    try:
        tests = split_check(test, name)
    except (SyntaxError, ValueError) as error:
        raise Refuse(Reason.NO_TESTS, str(error)) from error
    cases = []
    for _, asked in tests:
        other = asked.check.equals() if asked else None
        try:
            if asked is None or other is None or asked.function != name:
                raise Unsupported("not a comparison with a constant")
            cases.append(Case(asked.args, constant(other), asked.keywords))
        except Unsupported:
            return Suite("assert", tuple(Case(code) for code, _ in tests), setup=setup)
    return Suite("call", tuple(cases), name, setup)
