"""Readers of data sets: from a file, a folder or a name of the hub to a stream of problems, one in memory at a time.

The format NAME is the function NAME of the module of that name here, which makes a `Record` of an entry and its number
from 0, or raises `Refuse`; of a table it asks for `COLUMNS`. Where entries are not all, it is `read_NAME` of
the whole. One's own reader is named `package.module:function`: it takes a `Location` and gives a `Record` for each
problem, a `Rejected` for each entry that cannot be used. Nothing is imported before it is asked for.
"""

import importlib
import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from stepcoder.errors import nearest

if TYPE_CHECKING:
    from stepcoder.curriculum.data.readers.hub import Location
    from stepcoder.curriculum.data.readers.record import Record, Rejected

FORMATS = (
    "apps", "apps_plus", "taco", "mbpp", "mbpp_plus", "humaneval", "humaneval_plus", "leetcode", "codecontests",
    "livecodebench", "deepcoder", "primeintellect", "acecode", "kodcode", "verl", "rstar_coder", "open_r1_codeforces",
    "nemotron", "native",
)  # fmt: skip
_ELSEWHERE = {"humaneval_plus": "evalplus", "mbpp_plus": "evalplus"}  # modules that read several formats


def reader(kind: str) -> "Callable[[Location], Iterable[Record | Rejected]]":
    """The reader of a format, or one's own by its dotted name. ValueError says what is wrong with `kind`."""
    if kind in FORMATS:
        module = importlib.import_module(f"{__name__}.{_ELSEWHERE.get(kind, kind)}")
        if (whole := getattr(module, f"read_{kind}", None)) is not None:
            return whole
        from stepcoder.curriculum.data.readers.build import read_entries

        return partial(read_entries, make=getattr(module, kind), columns=getattr(module, "COLUMNS", None))
    if ":" not in kind:
        close = nearest(kind, list(FORMATS))
        hint = f"; did you mean {close[0]}?" if close else "."
        known = f"Known: {', '.join(FORMATS)}, or your own reader as package.module:function"
        raise ValueError(f"no format {kind!r}{hint} {known}")
    from stepcoder.own import own

    found = own(kind, "the reader")
    try:
        inspect.signature(found).bind("location")
    except TypeError as error:
        raise ValueError(f"the reader {kind} has to take one argument, what is read: {error}") from error
    return found
