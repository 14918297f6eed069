"""Executed lines from the interpreter itself: `sys.monitoring`, which CPython has from 3.12 on (PEP 669).

Only the program's own code is watched. A place that was hit is switched off until the next test, so that a loop
runs at full speed. Every line is written before it runs, into memory that outlives the process. A program can reach
`sys.monitoring` too: `intact` tells whether it did, and nothing but its own coverage depends on that.
"""

import sys
import types
from collections.abc import Iterator
from typing import Any

AVAILABLE = hasattr(sys, "monitoring")
_TOOL, _NAME = 4, "lines"  # one of the two numbers that no kind of tool is meant to have


def recordable(code: types.CodeType, lines: int) -> list[int]:
    """The lines up to `lines` that a monitor of `code` can record."""
    found = {line for part in nested(code) for _, _, line in part.co_lines()}
    return sorted(line for line in found if line is not None and 0 < line <= lines)


class LineMonitor:
    """Watches one compiled program."""

    __slots__ = ("_codes", "_events", "_monitoring", "_record")

    def __init__(self, code: types.CodeType, cells: Any) -> None:
        """`cells`: the coverage map, indexed by line; lines behind its end are not recorded."""
        monitoring: Any = sys.monitoring  # pyright: ignore[reportAttributeAccessIssue]
        self._codes = tuple(nested(code))
        capacity, off = len(cells), monitoring.DISABLE

        def record(_: types.CodeType, line: int) -> Any:
            if 0 < line < capacity:  # a module starts on line 0
                cells[line] = 1
            return off

        self._record, self._events = record, monitoring.events.LINE
        # Kept: a program may replace what `sys.monitoring` holds.
        self._monitoring = types.SimpleNamespace(**vars(monitoring))
        monitoring.use_tool_id(_TOOL, _NAME)
        monitoring.register_callback(_TOOL, self._events, record)
        for part in self._codes:
            monitoring.set_local_events(_TOOL, part, self._events)

    def restart(self) -> None:
        """Records every line once more, from now on."""
        self._monitoring.restart_events()

    def intact(self) -> bool:
        """Whether the program left the monitor alone, as far as can be seen from inside its process."""
        monitoring, events = self._monitoring, self._events
        try:
            return (
                monitoring.get_tool(_TOOL) is _NAME
                and monitoring.register_callback(_TOOL, events, self._record) is self._record
                and all(monitoring.get_local_events(_TOOL, part) == events for part in self._codes)
            )
        except ValueError:  # the tool was given up
            return False


def nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code object and all those inside it: functions, classes, comprehensions."""
    pending = [code]
    while pending:
        part = pending.pop()
        yield part
        pending.extend(constant for constant in part.co_consts if isinstance(constant, types.CodeType))
