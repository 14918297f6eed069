"""Time and memory limits in the forms in which data sets write them."""

import math
import re
from typing import Any

from stepcoder.executor.suite import Limits

_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)")
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "ms": 1e-3, "millisecond": 1e-3, "minute": 60.0}
_MIB = {"": 1.0, "mb": 1.0, "mib": 1.0, "megabyte": 1.0, "kb": 2**-10, "kilobyte": 2**-10, "gb": 2.0**10}
_MIB |= {"gigabyte": 2.0**10, "b": 2**-20, "byte": 2**-20, "bytes": 2**-20}
_LEAST_MIB = 16
_NO_LIMIT = 1e9  # seconds or mebibytes, and more


def limits(time: Any = None, memory: Any = None, seconds: float = 1.0, mebibytes: float = 1.0) -> Limits:
    """Limits of a test. A number counts `seconds`, or `mebibytes`; a text names its unit, or else counts the same.

    What is no positive number, or a senseless one, is no limit.
    """
    if isinstance(time, dict):  # a protocol buffer's duration
        whole, part = _value(time.get("seconds"), {}, 1.0) or 0.0, _value(time.get("nanos"), {}, 1e-9) or 0.0
        time, seconds = whole + part, 1.0
    cpu, size = _value(time, _SECONDS, seconds), _value(memory, _MIB, mebibytes)
    cpu, size = (value if value and value < _NO_LIMIT else None for value in (cpu, size))
    return Limits(cpu or None, max(_LEAST_MIB, math.ceil(size)) if size else None)


def _value(given: Any, units: dict[str, float], unit: float) -> float | None:
    if isinstance(given, str):
        found = _NUMBER.match(given)
        if not found:
            return None
        word = found[2].lower()
        word = word if word in units else word.removesuffix("s")
        return float(found[1]) * (units.get(word, unit) if word else unit)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < _NO_LIMIT / unit:
        return None
    return float(given) * unit
