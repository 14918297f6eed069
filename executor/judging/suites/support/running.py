# ruff: noqa: F821  (runs in one namespace with its neighbours)
# pyright: reportUndefinedVariable=false, reportOperatorIssue=false, reportArgumentType=false
"""Stands before a test module: runs one of its tests."""


class _Param:
    def __init__(self, values):
        self.values = values


def _sets(names, values):
    """The arguments of each case of one `parametrize`."""
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    found = []
    for value in values:
        given = value.values if isinstance(value, _Param) else (value,) if len(names) == 1 else tuple(value)
        if len(given) != len(names):
            raise ValueError("parametrize: names and values differ in number")
        found.append(dict(zip(names, given, strict=True)))
    return found


def _run(call, parametrized=(), case=None):
    """`call` takes the arguments of a case. `case`: its number; None: all of them."""
    cases = [{}]
    for names, values in parametrized:
        cases = [given | more for given in cases for more in _sets(names, values)]
    for given in cases if case is None else [cases[case]]:
        call(**given)
