"""LiveCodeBench (arXiv 2403.07974), `code_generation_lite`: public and private tests, no solutions.

Private tests are base64 of zlib of a pickle of one JSON text. The pickle is never loaded: its instructions are read,
and one that does anything but give a text is refused.
"""

import base64
import binascii
import pickletools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from stepcoder.curriculum.data.readers.build import Entry, called, collect, name_of, objects, record, text
from stepcoder.curriculum.data.readers.files import entries, loads, structured
from stepcoder.curriculum.data.readers.hub import Location
from stepcoder.curriculum.data.readers.record import Reason, Record, Refuse, Rejected
from stepcoder.curriculum.data.readers.suites import listed_suite
from stepcoder.executor.suite import Compare

COLUMNS = (
    "question_title", "question_content", "platform", "question_id", "starter_code", "difficulty",
    "public_test_cases", "private_test_cases", "metadata", "contest_date",
)  # fmt: skip
MOST = 128 << 20  # bytes of one problem's private tests, unpacked
_OR_GZIP = 32  # to zlib: told by its first bytes
_TEXTS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
_REST = {"PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP"}


@dataclass(frozen=True, slots=True)
class Days:
    """Contests from `since` to `until`, both days included; None leaves an end open."""

    since: date | None = None
    until: date | None = None

    def hold(self, entry: Entry) -> bool:
        """Whether the contest was then. Refuse for an entry that has no date, where that matters."""
        if self.since is None and self.until is None:
            return True
        try:
            day = _day(entry.get("contest_date")) or date.fromisoformat(text(entry, "contest_date")[:10])
        except ValueError as error:
            raise Refuse(Reason.MISSING_FIELD, f"`contest_date`: {error}") from error
        return (self.since or day) <= day <= (self.until or day)


def _day(when: Any) -> date | None:
    """Of a column of times or days, not of texts."""
    return when.date() if isinstance(when, datetime) else when if isinstance(when, date) else None


def read_livecodebench(path: Location, days: Days | None = None) -> Iterator[Record | Rejected]:
    """`days`: problems of other days are passed over."""
    yield from collect(_held(path, days or Days()), _problem)


def _held(path: Location, days: Days) -> Iterator[tuple[str, Any]]:
    for where, entry in entries(path, COLUMNS):
        try:
            if isinstance(entry, Refuse) or days.hold(entry):
                yield where, entry
        except Refuse as refusal:
            yield where, refusal


def _problem(entry: Entry, number: int) -> Record:
    about = structured(entry.get("metadata"))
    name = about.get("func_name") if isinstance(about, dict) else None
    starter_code = text(entry, "starter_code", default="")
    public = _listed(entry, "public_test_cases", structured)
    tests = public + _listed(entry, "private_test_cases", private_tests)
    return record(
        id=f"livecodebench/{name_of(entry, number, 'question_id')}",
        source="livecodebench",
        level=called(entry.get("difficulty")),
        statement=text(entry, "question_content", default=""),
        starter_code=starter_code,
        solutions=[],
        suite=replace(listed_suite(tests, name, starter_code, []), setup="", compare=Compare("lcb")),
        shown=len(public),
    )


def _listed(entry: Entry, name: str, read: Any) -> list[Any]:
    found = objects(read(entry.get(name))) if entry.get(name) else []
    if not isinstance(found, list):
        raise Refuse(Reason.NOT_KEPT, f"`{name}` holds no list")
    return found


def private_tests(packed: Any) -> Any:
    """The tests in a text that is JSON, or base64 of zlib or gzip of JSON or of a pickle of it; at most MOST bytes."""
    if not isinstance(packed, str):
        return packed
    if packed.lstrip()[:1] == "[":
        return loads(packed)
    try:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | _OR_GZIP)
        raw = unpacker.decompress(base64.b64decode("".join(packed.split()), validate=True), MOST + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise Refuse(Reason.NOT_KEPT, f"private tests cannot be unpacked: {error}") from error
    if len(raw) > MOST:
        raise Refuse(Reason.TOO_LARGE, f"private tests of more than {MOST >> 20} MiB")
    if not unpacker.eof:
        raise Refuse(Reason.NOT_KEPT, "private tests are cut off")
    found = loads(raw.decode("utf-8", "surrogateescape") if raw[:1] == b"[" else pickled_text(raw))
    return loads(found) if isinstance(found, str) else found


def pickled_text(raw: bytes) -> str:
    """The one text of a pickle, of which nothing is executed. Refuse for any other pickle."""
    found: list[str] = []
    try:
        for instruction, argument, _ in pickletools.genops(raw):
            if instruction.name in _TEXTS and not found:
                found.append(str(argument))
            elif instruction.name not in _REST:
                raise Refuse(Reason.NOT_KEPT, f"a pickle of more than one text ({instruction.name}) is not read")
    except Refuse:
        raise
    except Exception as error:  # what is no pickle: each instruction has errors of its own
        raise Refuse(Reason.NOT_KEPT, f"private tests are no pickle: {error}") from error
    if not found:
        raise Refuse(Reason.NOT_KEPT, "a pickle without a text is not read")
    return found[0]
