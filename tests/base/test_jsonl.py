"""JSON lines: what is good is read, what is bad is refused with its place."""

import gzip
import json
import math
import pickle
from pathlib import Path

import pytest

from stepcoder.errors import DataFileError, UserError
from stepcoder.jsonl import dumps, loads, numbered_lines, parse_object


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{", "f, line 3: not valid JSON: Expecting property name enclosed in double quotes at column 2"),
        (b'{"a": "\xff"}', "f, line 3: not UTF-8: byte 0xff at column 8; save the file as UTF-8"),
        (b"{}\r{}", "f, line 3: not valid JSON: Extra data at column 4; a line holds one object"),
        (b"[1]", "f, line 3: expected a JSON object, got list"),
        (b"[" * 100_000, "f, line 3: JSON nested too deeply"),
        (b'{"a": {"b": 1, "b": 2}}', "f, line 3, field `b`: key `b` given twice in one object"),
        (b'{"a": -Infinity}', "f, line 3: -Infinity is not JSON and never equals an output; give the value as"),
    ],
)
def test_a_bad_line_is_refused_with_its_place(raw: bytes, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_object(raw, "f", 3)
    assert str(caught.value).startswith(message)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_numbers_exact_or_as_python_writes_them() -> None:
    huge = b'{"a": -' + b"7" * 5000 + b"}"
    assert parse_object(huge, "f", 1)["a"] == -(7 * (10**5000 - 1) // 9)
    with pytest.raises(DataFileError, match="4300 digits"):
        parse_object(huge, "f", 1, plain_numbers=True)
    found = parse_object(b'{"a": NaN, "b": 0.1}', "f", 1, plain_numbers=True)
    assert math.isnan(found["a"]) and found["b"] == 0.1


def test_integers_of_any_length_in_any_text() -> None:
    data = {"a": [7 * (10**5000 - 1) // 9, -(10**5000), True, 1], "b": "7" * 5000, "c": 2**700}
    assert loads(dumps(data)) == data and loads(dumps(data, ensure_ascii=False).encode()) == data
    assert dumps(data["a"][0]) == data["b"]
    with pytest.raises(ValueError, match="more than 50,000 digits"):
        loads("-" + "1" * 50_001)
    with pytest.raises(ValueError, match="JSON compliant"):
        dumps([10**5000, math.nan], allow_nan=False)


def test_an_editors_mark_is_none_of_the_text_and_other_forms_are_named(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n')
    assert list(numbered_lines(file)) == [(1, b'{"a": 1}\r\n')]
    for raw, what in ((b"\xef\xbb\xbf [\n{}]", "a JSON array"), (b"PAR1\x15", "a Parquet table")):
        file.write_bytes(raw)
        with pytest.raises(DataFileError, match=f"a.jsonl: is {what}; give a file of JSON lines"):
            list(numbered_lines(file))


def test_lines_are_numbered_and_their_length_is_limited(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    long = json.dumps({"a": "x" * (1 << 20)}).encode() + b"\n"
    file.write_bytes(gzip.compress(b"{}\n\n" + long + b"{}"))
    assert list(numbered_lines(file)) == [(1, b"{}\n"), (2, b"\n"), (3, long), (4, b"{}")]
    with pytest.raises(DataFileError, match="a.jsonl, line 3: longer than 1 MiB"):
        list(numbered_lines(file, 1 << 20))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="none.jsonl: no such file"):
        list(numbered_lines(tmp_path / "none.jsonl"))
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(b"{}\n" * 1000)[:-9])
    with pytest.raises(DataFileError, match="cut.gz: cannot be read"):
        list(numbered_lines(cut))
