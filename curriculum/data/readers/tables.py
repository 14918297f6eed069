"""Rows of Parquet and Arrow files, one batch in memory at a time: the forms in which the Hugging Face hub and its
`datasets` library keep data sets. A folder means all such files in it, by path; where `datasets` saved it (its
`state.json`), those that belong to the data set, not what the library cached beside them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc
import pyarrow.parquet

from stepcoder.errors import DataFileError

PARQUET_MAGIC = b"PAR1"
_SUFFIXES = (".parquet", ".arrow")
_ROWS = 64  # rows hold megabytes of tests each


def table_files(path: Path) -> list[Path]:
    """The tables that a path means: those of a folder, a file that is one, else none."""
    if path.is_dir():
        tables = (file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
        found = sorted(file for file in tables if _belongs(file))
        if not found:
            reason = "cannot be read: a folder without .parquet or .arrow files; give a file of JSON lines"
            raise DataFileError(str(path), None, None, reason)
        return found
    if path.suffix in _SUFFIXES:
        return [path]
    with path.open("rb") as stream:
        return [path] if stream.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC else []


def _belongs(file: Path) -> bool:
    try:
        saved = json.loads(file.with_name("state.json").read_bytes())["_data_files"]
        return file.name in [part["filename"] for part in saved]
    except (OSError, ValueError, KeyError, TypeError):  # not saved by `datasets`
        return True


def rows(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of one table. DataFileError for a damaged one."""
    try:
        for batch in _batches(file):
            for start in range(0, batch.num_rows, _ROWS):
                yield from batch.slice(start, _ROWS).to_pylist()
    except pyarrow.ArrowException as error:
        raise DataFileError(str(file), None, None, f"cannot be read: {error}") from error


def _batches(file: Path) -> Iterator[pyarrow.RecordBatch]:
    if file.suffix != ".arrow":
        with pyarrow.parquet.ParquetFile(file) as table:
            yield from table.iter_batches(batch_size=_ROWS)
        return
    with pyarrow.memory_map(str(file)) as stream:
        try:
            yield from pyarrow.ipc.open_stream(stream)  # as `datasets` saves them
        except pyarrow.ArrowInvalid:
            stream.seek(0)
            reader = pyarrow.ipc.open_file(stream)
            yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
