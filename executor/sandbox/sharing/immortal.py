"""Objects that are not counted any more (PEP 683): a process that only refers to one leaves its page as it was forked.

CPython has such objects from 3.12 on, and marks them in the count itself. Where it has none, nothing is done.
"""

import ctypes
import gc
import types
from typing import Any

_CODE = ("co_consts", "co_exceptiontable", "co_linetable", "co_name", "co_names", "co_qualname", "co_varnames")


def make_immortal() -> None:
    """All objects that there are, and all that they refer to, for good: none is ever given up."""
    mark = _count(None).value
    if mark < 1 << 31:  # as None itself is counted, or its threads count for themselves (PEP 703)
        return
    gc.unfreeze()
    pending = gc.get_objects()
    while pending:
        item = pending.pop()
        count = _count(item)
        if count.value == mark:
            continue
        count.value = mark
        pending.extend(gc.get_referents(item))
        if isinstance(item, types.CodeType):  # the collector does not look into it
            pending.extend(getattr(item, name) for name in _CODE)


def _count(item: Any) -> Any:
    """The lower half of an object's reference count."""
    return ctypes.c_uint32.from_address(id(item))
