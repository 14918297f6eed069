"""Names of the library that programs for LeetCode and LiveCodeBench use without an import.

Of the imports that their judges put before each program a program gets those that it names, so that it can share a
process with others of its kind (sharing.ordinary) and pays for nothing else. One that reaches names by text gets all.
"""

import functools
import importlib
import sys
import types

from stepcoder.executor.sandbox.sharing.names import bound, loaded

PRELUDE_FILE = "<prelude>"
# In this order: a later name hides an earlier one. Source: LiveCodeBench, lcb_runner/evaluation/testing_util.py.
_STARS = """
    string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys json
    builtins typing
""".split()
_MODULES = """
    string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys json
    os time queue decimal fractions typing cmath array
""".split()
_BY_TEXT = {"eval", "exec", "globals", "locals", "vars", "getattr", "__import__"}


def prelude(code: types.CodeType) -> str:
    """Source of the imports that a program needs; names that its module binds are its own."""
    named = loaded(code)
    table = _table()
    wanted = table.keys() if named & _BY_TEXT else named & table.keys()
    return "\n".join(table[name] for name in sorted(wanted - bound(code)))


@functools.cache
def _table() -> dict[str, str]:
    """The import of each name."""
    found: dict[str, str] = {}
    for module in _STARS:
        there = sys.modules.get(module) or importlib.import_module(module)
        public = getattr(there, "__all__", [name for name in vars(there) if name[0] != "_"])
        found |= {name: f"from {module} import {name}" for name in public}
    for name in vars(sys.modules["builtins"]):
        found.pop(name, None)
    return found | {name: f"import {name}" for name in _MODULES}
