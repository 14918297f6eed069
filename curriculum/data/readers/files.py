"""Entries of data sets, one in memory at a time: JSON lines or one JSON array, plain or compressed (stepcoder.packed),
tables (curriculum.data.readers.tables), or rows of the hub (curriculum.data.readers.hub).

A byte that is not UTF-8 costs its own entry only. An entry that is not JSON costs its line, or in an array the
rest of the file, since nobody knows where the next one begins.
"""

import ast
import codecs
import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from stepcoder.curriculum.data.readers.hub import HubData, Location, hub_rows
from stepcoder.curriculum.data.readers.record import Reason, Refuse
from stepcoder.curriculum.data.readers.tables import rows, table_files
from stepcoder.errors import DataFileError
from stepcoder.jsonl import parse_int
from stepcoder.packed import unpacked

_CHUNK = 1 << 20
_MARK, _TEXT_MARK = codecs.BOM_UTF8, "\ufeff"
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_DECODER = json.JSONDecoder(parse_int=parse_int)
_LITERAL, _PARTS = 64 << 20, 1_000_000  # characters and commas of a literal: its syntax tree is far larger
_AROUND = 20  # characters before and after an error that are told
_CUT = 16  # an error so near to the end of what has been read may be due to that end


def entries(path: Location, columns: Collection[str] | None = None) -> Iterator[tuple[str, Any]]:
    """(where, entry) of a file, a folder of tables or a data set of the hub; the entry is a dict, or a Refuse.

    Of tables only `columns` are read, where they are given. DataFileError for a file that cannot be read.
    """
    if isinstance(path, HubData):
        yield from ((f"{path}, row {number}", row) for number, row in enumerate(hub_rows(path, columns), 1))
        return
    try:
        if tables := table_files(path):
            for table in tables:
                yield from ((f"{table}, row {number}", row) for number, row in enumerate(rows(table, columns), 1))
            return
        with unpacked(path) as stream:
            yield from _entries(stream, str(path))
    except FileNotFoundError:
        raise DataFileError(str(path), None, None, "no such file") from None
    except OSError as error:
        raise DataFileError(str(path), None, None, f"cannot be read: {error.strerror or error}") from error


def loads(text: str) -> Any:
    """JSON text with integers of any length; Refuse for what is not JSON or holds bytes that were not UTF-8."""
    if _NOT_UTF8.search(text):
        raise Refuse(Reason.NON_UTF8)
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        place = max(0, getattr(error, "pos", 0) - _AROUND)
        raise Refuse(Reason.BAD_JSON, f"{error}, in {text[place : place + 2 * _AROUND]!r}") from error


def decoded(value: Any) -> Any:
    """A text as the data it writes down, in JSON or as Python prints it; what is no text as it is; None for blanks."""
    if not isinstance(value, str):
        return value
    value = value.removeprefix(_TEXT_MARK)
    if not value.strip():
        return None
    try:
        return loads(value)
    except Refuse as refusal:
        if refusal.reason is not Reason.BAD_JSON or value.lstrip()[0] not in "[{('\"-0123456789TFN":
            raise
        if len(value) > _LITERAL or value.count(",") > _PARTS:
            raise Refuse(Reason.TOO_LARGE, f"{len(value):,} characters of a Python literal") from refusal
        try:
            return ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise refusal from None


def structured(value: Any) -> Any:
    """As decoded, also where the data is written down twice: of what holds lists and objects, never of a value."""
    found = decoded(value)
    return decoded(found) if isinstance(found, str) and found.lstrip()[:1] in ("[", "{") else found


def decoded_list(value: Any) -> Any:
    """As decoded, but a text that is no data, such as a program, as it is; Refuse for a damaged list or object."""
    try:
        return decoded(value)
    except Refuse as refusal:
        if refusal.reason is Reason.BAD_JSON and value.removeprefix(_TEXT_MARK).lstrip()[:1] not in ("[", "{"):
            return value
        raise


def _entries(stream: Any, name: str) -> Iterator[tuple[str, Any]]:
    first = stream.read(1)
    if first == _MARK[:1]:  # an editor's mark before all else
        first += stream.read(len(_MARK) - 1)
        first = first.removeprefix(_MARK) or stream.read(1)
    while first.isspace():
        first = stream.read(1)
    if first == b"[":
        for number, entry in enumerate(_array(stream), 1):
            yield f"{name}, entry {number}", entry
        return
    for number, line in enumerate(stream, 1):
        line, first = first + line, b""
        if line.strip():
            yield f"{name}, line {number}", _line(line)


def _line(line: bytes) -> Any:
    try:
        return _object(loads(line.decode("utf-8", "surrogateescape")))
    except Refuse as refusal:
        return refusal


def _object(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise Refuse(Reason.BAD_JSON, f"an object was expected, not {type(entry).__name__}")
    return entry


def _array(stream: Any) -> Iterator[Any]:
    """The elements of an array whose `[` has been read. What is read at once at least doubles until an element is
    whole, so that time stays linear and memory is that of the largest element."""
    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    text, ended, wanted = "", False, _CHUNK
    position = 0
    while True:
        position = _BETWEEN.match(text, position).end()  # pyright: ignore[reportOptionalMemberAccess]
        if text[position : position + 1] == "]":
            return
        try:
            entry, end = _DECODER.raw_decode(text, position)
            whole = end < len(text) or ended  # a number may go on
        except RecursionError as error:
            yield Refuse(Reason.BAD_JSON, str(error))
            return
        except json.JSONDecodeError as error:
            cut = error.pos >= len(text) - _CUT or error.msg.startswith("Unterminated string")
            if ended or not cut:
                yield Refuse(Reason.BAD_JSON, f"{error.msg}; the rest of the file cannot be read")
                return
            entry, end, whole = None, position, False
        if not whole:
            chunk = stream.read(wanted)
            ended = not chunk
            text, position = text[position:] + decode(chunk, final=ended), 0
            wanted = max(_CHUNK, len(text))
            continue
        if _NOT_UTF8.search(text, position, end):
            yield Refuse(Reason.NON_UTF8)
        else:
            yield entry if isinstance(entry, dict) else Refuse(Reason.BAD_JSON, "an object was expected")
        position, wanted = end, _CHUNK
