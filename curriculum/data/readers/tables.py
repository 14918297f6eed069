"""Rows of Parquet and Arrow files, a few in memory at a time: the forms in which the Hugging Face hub and its
`datasets` library keep data sets. Only the columns that a reader names are read.

A folder means all such files in it, by path; where `datasets` saved it (its `state.json`), those that belong to the
data set, not what the library cached beside them. What a writer put into one page of Parquet is unpacked at once.
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc
import pyarrow.parquet

from stepcoder.errors import DataFileError

PARQUET_MAGIC = b"PAR1"
_SUFFIXES = (".parquet", ".arrow")
_ROWS = 64
_BATCH = 16 << 20  # bytes of rows that are decoded at once; a row holds megabytes of tests, and is never divided
_READ = 1 << 20  # bytes read at once: without it a whole column of a row group is


def table_files(path: Path) -> list[Path]:
    """The tables that a path means: those of a folder, a file that is one, else none."""
    if path.is_dir():
        tables = (file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
        found = sorted(file for file in tables if _belongs(file) and not _is_hidden(file.relative_to(path)))
        if not found:
            reason = "cannot be read: a folder without .parquet or .arrow files; give a file of JSON lines"
            raise DataFileError(str(path), None, None, reason)
        return found
    if path.suffix in _SUFFIXES:
        return [path]
    with path.open("rb") as stream:
        return [path] if stream.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC else []


def _is_hidden(file: Path) -> bool:
    """What other programs keep beside a data set."""
    return any(part.startswith(".") for part in file.parts)


def _belongs(file: Path) -> bool:
    try:
        saved = json.loads(file.with_name("state.json").read_bytes())["_data_files"]
        return file.name in [part["filename"] for part in saved]
    except (OSError, ValueError, KeyError, TypeError):  # not saved by `datasets`
        return True


def rows(file: Path, columns: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of one table, with those of `columns` that it has, or all. DataFileError for a damaged one."""
    try:
        for batch in _batches(file, columns):
            for start in range(0, batch.num_rows, _ROWS):
                yield from batch.slice(start, _ROWS).to_pylist()
    except pyarrow.ArrowException as error:
        raise DataFileError(str(file), None, None, f"cannot be read: {' '.join(str(error).split())}") from error


def _batches(file: Path, columns: Collection[str] | None) -> Iterator[pyarrow.RecordBatch]:
    if file.suffix != ".arrow":
        with pyarrow.parquet.ParquetFile(file, buffer_size=_READ, pre_buffer=False) as table:
            yield from _parquet(table, _chosen(table.schema_arrow, columns))
        return
    with pyarrow.memory_map(str(file)) as stream:
        for batch in _arrow(stream):
            size = max(1, batch.nbytes // max(1, batch.num_rows))
            wanted = batch.select(_chosen(batch.schema, columns))
            count = _rows_of(size)
            yield from (wanted.slice(start, count) for start in range(0, batch.num_rows, count))


def _arrow(stream: pyarrow.MemoryMappedFile) -> Iterator[pyarrow.RecordBatch]:
    try:
        yield from pyarrow.ipc.open_stream(stream)  # as `datasets` saves them
    except pyarrow.ArrowInvalid:
        stream.seek(0)
        reader = pyarrow.ipc.open_file(stream)
        yield from (reader.get_batch(number) for number in range(reader.num_record_batches))


def _parquet(table: pyarrow.parquet.ParquetFile, columns: list[str]) -> Iterator[pyarrow.RecordBatch]:
    """One row group at a time, in batches by the mean size of its rows."""
    for number in range(table.num_row_groups):
        group = table.metadata.row_group(number)
        chosen = [group.column(n) for n in range(group.num_columns)]
        size = sum(c.total_uncompressed_size for c in chosen if c.path_in_schema.partition(".")[0] in columns)
        count = _rows_of(max(1, size // max(1, group.num_rows)))
        yield from table.iter_batches(count, [number], columns, use_threads=False)


def _rows_of(size: int) -> int:
    return max(1, min(_ROWS, _BATCH // size))


def _chosen(schema: pyarrow.Schema, columns: Collection[str] | None) -> list[str]:
    return [name for name in schema.names if columns is None or name in columns]
