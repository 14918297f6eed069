"""Files of JSON lines, one object a line, plain or compressed (stepcoder.packed).

Invariant: a line is an object without a repeated key, or it is refused with file, line and field or column.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from stepcoder.errors import DataFileError
from stepcoder.packed import unpacked

# The smallest limit on decimal digits that an interpreter can be set to: int() of so few always works.
_SAFE_DIGITS = 640


def numbered_lines(file: Path, longest: int | None = None) -> Iterator[tuple[int, bytes]]:
    """(number from 1, raw line) of a file. Bytes, so that a bad line is found in its place.

    DataFileError for a file that cannot be read, and for a line of more than `longest` bytes, a multiple of 1 MiB.
    """
    try:
        with unpacked(file) as stream:
            number = 0
            while raw := stream.readline(-1 if longest is None else longest + 1):
                number += 1
                if longest is not None and len(raw) > longest:
                    raise DataFileError(str(file), number, None, f"longer than {longest >> 20} MiB")
                yield number, raw
    except FileNotFoundError:
        raise DataFileError(str(file), None, None, "no such file") from None
    except IsADirectoryError:
        raise DataFileError(str(file), None, None, "is a folder; give a file of JSON lines") from None
    except OSError as error:
        raise DataFileError(str(file), None, None, f"cannot be read: {error.strerror or error}") from error


def parse_object(raw: bytes, file: str, number: int, plain_numbers: bool = False) -> dict[str, Any]:
    """The object of a line; `file` and `number` only go into the error.

    Integers may have any length; NaN, Infinity and numbers that no float holds are refused. With `plain_numbers` it is
    the other way round, as in the module json: what is read can be written again.
    """

    def fail(reason: str, field: str | None = None) -> NoReturn:
        raise DataFileError(file, number, field, reason)

    def refuse_constant(name: str) -> NoReturn:
        fail(f"{name} is not JSON and never equals an output; give the value as a string or drop the test")

    def finite(text: str) -> float:
        if math.isinf(number := float(text)):
            fail(f"{text} is larger than any float and would be read as Infinity; give the value as a string")
        return number

    def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            fail(f"key `{twice}` given twice in one object", twice)
        return result

    rules: dict[str, Any] = (
        {} if plain_numbers else {"parse_int": parse_int, "parse_float": finite, "parse_constant": refuse_constant}
    )
    try:
        data = json.loads(raw.decode("utf-8"), object_pairs_hook=unique_keys, **rules)
    except UnicodeDecodeError as error:
        fail(f"not UTF-8: byte {raw[error.start]:#04x} at column {error.start + 1}; save the file as UTF-8")
    except json.JSONDecodeError as error:
        fail(f"not valid JSON: {error.msg} at column {error.colno}")
    except RecursionError:
        fail("JSON nested too deeply")
    except ValueError as error:  # more digits than Python converts
        fail(str(error))
    if not isinstance(data, dict):
        fail(f"expected a JSON object, got {type(data).__name__}")
    return data


def parse_int(text: str) -> int:
    """Decimal text of any length to int, whatever the interpreter's limit on digits (real data sets exceed it)."""
    if len(text) <= _SAFE_DIGITS:
        return int(text)
    if text[0] == "-":
        return -parse_int(text[1:])
    low = len(text) // 2
    return parse_int(text[:-low]) * 10**low + parse_int(text[-low:])
