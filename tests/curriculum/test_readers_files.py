"""JSON arrays as data sets: read piece by piece, in bounded memory."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepcoder.curriculum.data.readers import files, reader
from stepcoder.curriculum.data.readers.record import Record

ROW = {"prompt": "Double it.", "canonical_solution": "print(2 * int(input()))", "outputs": ["2\n", "4\n"]}
ENTRY = st.dictionaries(
    st.text(), st.integers() | st.text() | st.floats(allow_nan=False) | st.lists(st.text()), max_size=3
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(ENTRY, max_size=5), st.integers(1, 40), st.booleans(), st.booleans())
def test_an_array_is_read_alike_in_pieces_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[dict], chunk: int, escaped: bool, packed: bool
) -> None:
    monkeypatch.setattr(files, "_CHUNK", chunk)
    data = json.dumps(rows, indent=chunk % 3 or None, ensure_ascii=escaped).encode()
    path = tmp_path / "rows"
    path.write_bytes(gzip.compress(data) if packed else data)
    assert [entry for _, entry in files.entries(path)] == rows


@pytest.mark.parametrize("data", [b"[%s]", b" [%s]", b"%s\n", b"\r\n%s\r\n"])
def test_an_editors_mark_before_all_else_is_no_part_of_the_first_entry(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b"\xef\xbb\xbf" + data % json.dumps(ROW).encode())
    assert [entry for _, entry in files.entries(path)] == [ROW]
    path.write_bytes(b"\xef\xbb\xbf")
    assert list(files.entries(path)) == []


def test_a_large_array_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("w") as file:
        for number in range(400):
            file.write(("[" if number == 0 else ",\n") + json.dumps(ROW | {"id": number, "inputs": ["x" * 50_000] * 2}))
        file.write("]")
    assert path.stat().st_size > 40_000_000
    read = reader("apps_plus")
    tracemalloc.start()
    try:
        assert sum(isinstance(found, Record) for found in read(path)) == 400
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_a_folder_means_its_tables_and_nothing_hidden(tmp_path: Path) -> None:
    folder = tmp_path / ".data"
    (folder / ".cache").mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([ROW]), folder / "train.parquet")
    for name in ("._train.parquet", ".cache/train.parquet"):
        (folder / name).write_bytes(b"no table")
    assert [entry for _, entry in files.entries(folder)] == [ROW]
