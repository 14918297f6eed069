"""Peak memory and speed of `stepcoder data convert` on files that are larger than memory should be.

    python -m benchmarks.convert --scratch DIR [--gib 2] [--rows 4000] [--only lines array gzip parquet livecodebench]

Writes one file after the other to the folder, converts it, and deletes both. A row is a problem with tests of
`--gib` / `--rows`; each row's digits are its own, so that packing does not make the file small. `parquet` holds the
rows as one writer's row groups of 100; `livecodebench` packs its private tests as that data set does.
Exit code 1 where a conversion takes 1 GiB or more.
"""

import argparse
import base64
import gzip
import json
import pickle
import random
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from rich.console import Console
from rich.table import Table

from benchmarks.memory import GIB, watch

MOST = GIB  # bytes that a conversion may take
TESTS = 20
GROUP = 100  # rows of a row group
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A format for --from, a file's name, and what writes the file."""

    reader: str
    name: str
    write: Callable[[Path, Iterator[Row]], None]
    of_livecodebench: bool = False


def rows(count: int, size: int, packed: bool) -> Iterator[Row]:
    """Problems with tests of about `size` bytes each row."""
    draw = random.Random(0)
    for number in range(count):
        digits = [draw.randbytes(size // TESTS // 2).hex() for _ in range(TESTS)]
        inputs, outputs = [text + "\n" for text in digits], [f"{int(text[:7], 16) + 1}\n" for text in digits]
        yield _livecodebench(number, inputs, outputs) if packed else _taco(number, inputs, outputs)


def _taco(number: int, inputs: list[str], outputs: list[str]) -> Row:
    return {
        "question": f"Problem {number}: print the first seven hexadecimal digits, plus one.", "starter_code": "",
        "solutions": json.dumps(["print(int(input()[:7], 16) + 1)\n"]), "difficulty": "EASY", "name": str(number),
        "input_output": json.dumps({"inputs": inputs, "outputs": outputs}),
    }  # fmt: skip


def _livecodebench(number: int, inputs: list[str], outputs: list[str]) -> Row:
    pairs = zip(inputs, outputs, strict=True)
    tests = [{"input": one, "output": two, "testtype": "stdin"} for one, two in pairs]
    private = base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests[1:])), 1)).decode()
    return {
        "question_title": str(number), "question_content": f"Problem {number}", "platform": "atcoder",
        "question_id": str(number), "starter_code": "", "difficulty": "easy", "metadata": "{}",
        "public_test_cases": json.dumps(tests[:1]), "private_test_cases": private,
    }  # fmt: skip


def _lines(file: Path, found: Iterator[Row]) -> None:
    with file.open("w", encoding="utf-8") as stream:
        for row in found:
            stream.write(json.dumps(row) + "\n")


def _gzip(file: Path, found: Iterator[Row]) -> None:
    with gzip.open(file, "wt", compresslevel=1, encoding="utf-8") as stream:
        for row in found:
            stream.write(json.dumps(row) + "\n")


def _array(file: Path, found: Iterator[Row]) -> None:
    with file.open("w", encoding="utf-8") as stream:
        for number, row in enumerate(found):
            stream.write(("," if number else "[") + json.dumps(row))
        stream.write("]")


def _parquet(file: Path, found: Iterator[Row]) -> None:
    writer: pyarrow.parquet.ParquetWriter | None = None
    group: list[Row] = []
    for row in found:
        group.append(row)
        if len(group) == GROUP:
            table = pyarrow.Table.from_pylist(group)
            writer = writer or pyarrow.parquet.ParquetWriter(file, table.schema)
            writer.write_table(table)
            group.clear()
    assert writer is not None and not group
    writer.close()


KINDS = {
    "lines": Kind("taco", "rows.jsonl", _lines),
    "array": Kind("taco", "rows.json", _array),
    "gzip": Kind("taco", "rows.jsonl.gz", _gzip),
    "parquet": Kind("taco", "rows.parquet", _parquet),
    "livecodebench": Kind("livecodebench", "lcb.jsonl", _lines, of_livecodebench=True),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, metavar="DIR", help="folder with room for the files")
    parser.add_argument("--gib", type=float, default=2.0, help="tests of each file (GiB)")
    parser.add_argument("--rows", type=int, default=4000, help="rows of each file, a multiple of 100")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    table = Table("file", "GiB", "rows", "peak GiB", "MiB/s")
    too_much = False
    for name in options.only:
        kind = KINDS[name]
        file, out = options.scratch / kind.name, options.scratch / "out.jsonl"
        try:
            kind.write(file, rows(options.rows, int(options.gib * GIB / options.rows), kind.of_livecodebench))
            size, start = file.stat().st_size, time.monotonic()
            command = ["data", "convert", "--from", kind.reader, str(file), str(out)]
            peak, code = watch([sys.executable, "-m", "stepcoder.deploy.cli", *command], interval_s=0.2)
            seconds = time.monotonic() - start
            if code:
                raise RuntimeError(f"stepcoder {' '.join(command)} failed")
            largest = sum(peak.at_peak.values())
        finally:
            for made in (file, out, options.scratch / "out.jsonl.rejected.jsonl"):
                made.unlink(missing_ok=True)
        too_much |= largest >= MOST
        table.add_row(name, f"{size / GIB:.2f}", str(options.rows), f"{largest / GIB:.2f}",
                      f"{size / seconds / (1 << 20):.0f}")  # fmt: skip
    Console(width=None if sys.stdout.isatty() else 110).print(table)
    return 1 if too_much else 0


if __name__ == "__main__":
    sys.exit(main())
