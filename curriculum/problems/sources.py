"""What problems of well-known sources expect of a judge where they say nothing themselves."""

from dataclasses import dataclass

from stepcoder.executor.suite import CompareType, Style


@dataclass(frozen=True, slots=True)
class Defaults:
    """`compare`: see executor.suite.Compare. `prelude`: whether usual imports need not be written."""

    compare: CompareType = "strict"
    prelude: bool = False


# By the beginning of a source's name: letters and digits, in lower case.
_SOURCES = {
    "leetcode": Defaults(prelude=True),
    "livecodebench": Defaults("lcb", prelude=True),
    "lcb": Defaults("lcb", prelude=True),
    "codecontests": Defaults("tokens"),
    "codeforces": Defaults("tokens"),
    "taco": Defaults("tokens", prelude=True),
}
_PRELUDE_OF_SCRIPTS = {"lcb"}  # comparisons whose judge offers the prelude to every program


def defaults(source: str, style: Style, entry_point: str | None = None) -> Defaults:
    """Of a problem; one whose entry point is LeetCode's `Solution().method` gets a prelude whatever its source."""
    name = "".join(filter(str.isalnum, source.lower()))
    found = next((value for key, value in _SOURCES.items() if name.startswith(key)), Defaults())
    wanted = found.prelude or (entry_point or "").startswith("Solution().")
    return Defaults(found.compare, wanted and (style == "call" or found.compare in _PRELUDE_OF_SCRIPTS))
