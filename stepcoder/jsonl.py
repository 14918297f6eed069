"""Files of JSON lines, one object a line, plain or compressed (stepcoder.packed), and JSON with integers of any length.

Invariant: a line is an object without a repeated key, or it is refused with file, line and field or column.
"""

import codecs
import json
import math
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from stepcoder.errors import DataFileError
from stepcoder.packed import unpacked

_OTHER_FORMS = {b"[": "a JSON array", b"PAR1": "a Parquet table", b"ARROW1": "an Arrow table"}
# The smallest limit on decimal digits that an interpreter can be set to: int() of so few always works.
_SAFE_DIGITS = 640
_HALF = math.log10(2) / 2  # decimal digits of half a bit
_MOST_DIGITS = 50_000  # of an integer that somebody sends: converting one takes more than linear time


def numbered_lines(file: Path, longest: int | None = None) -> Iterator[tuple[int, bytes]]:
    """(number from 1, raw line) of a file. Bytes, so that a bad line is found in its place.

    DataFileError for a file that cannot be read, and for a line of more than `longest` bytes, a multiple of 1 MiB.
    """
    try:
        with unpacked(file) as stream:
            number = 0
            while raw := stream.readline(-1 if longest is None else longest + 1):
                number += 1
                if number == 1:
                    raw = _first(raw, str(file))
                if longest is not None and len(raw) > longest:
                    raise DataFileError(str(file), number, None, f"longer than {longest >> 20} MiB")
                yield number, raw
    except FileNotFoundError:
        raise DataFileError(str(file), None, None, "no such file") from None
    except IsADirectoryError:
        raise DataFileError(str(file), None, None, "is a folder; give a file of JSON lines") from None
    except OSError as error:
        raise DataFileError(str(file), None, None, f"cannot be read: {error.strerror or error}") from error


def _first(raw: bytes, file: str) -> bytes:
    """The first line without an editor's mark. DataFileError for a file in another form."""
    raw = raw.removeprefix(codecs.BOM_UTF8)
    found = next((what for start, what in _OTHER_FORMS.items() if raw[:64].lstrip().startswith(start)), None)
    if found:
        raise DataFileError(file, None, None, f"is {found}; give a file of JSON lines, an object a line")
    return raw


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
        advice = "; a line holds one object" if error.msg == "Extra data" else ""
        fail(f"not valid JSON: {error.msg} at column {error.colno}{advice}")
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


def int_text(value: int) -> str:
    """The inverse of parse_int."""
    if value < 0:
        return "-" + int_text(-value)
    if value.bit_length() <= _SAFE_DIGITS:
        return str(value)
    low = int(value.bit_length() * _HALF)
    high, rest = divmod(value, 10**low)
    return int_text(high) + int_text(rest).zfill(low)


def loads(text: str | bytes) -> Any:
    """As json.loads, with integers of up to 50,000 digits. ValueError; RecursionError."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # more digits than Python converts
        return json.loads(text, parse_int=_bounded)


def dumps(data: Any, **options: Any) -> str:
    """As json.dumps, with integers of any length among its values; options other than `indent`."""
    try:
        return json.dumps(data, **options)
    except ValueError:  # perhaps more digits than Python converts
        mark = secrets.token_hex(16)
        found: list[str] = []
        text = json.dumps(_marked(data, mark, found), **options)
        return re.sub(f'"{mark}([0-9]+)"', lambda place: found[int(place[1])], text)


def _bounded(text: str) -> int:
    if len(text.lstrip("-")) > _MOST_DIGITS:
        raise ValueError(f"an integer of more than {_MOST_DIGITS:,} digits")
    return parse_int(text)


def _marked(data: Any, mark: str, found: list[str]) -> Any:
    """The data with a text in place of each long integer, whose digits are added to `found`."""
    if isinstance(data, dict):
        return {key: _marked(value, mark, found) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_marked(value, mark, found) for value in data]
    if not isinstance(data, int) or data.bit_length() <= _SAFE_DIGITS:
        return data
    found.append(int_text(data))
    return f"{mark}{len(found) - 1}"
