"""`problems.parquet` of a run: small columns at once, a problem's texts when they are shown."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from stepcoder.deploy.view.files import Files


@dataclass(frozen=True, slots=True)
class Known:
    """`place` is the row; `conditionals` those of the reference solution."""

    place: int
    level: str
    conditionals: int
    tests: int


class ProblemFile:
    """`damage` says what could not be read. The file never changes once it is there."""

    def __init__(self, files: Files, name: str) -> None:
        self._files, self._name = files, name
        self._known: dict[str, Known] | None = None
        self.damage: list[str] = []

    def known(self) -> dict[str, Known]:
        if self._known is None and self._files.size(self._name) is not None:
            try:
                with self._files.open(self._name) as stream:
                    names = ["id", "level", "conditionals", "tests"]
                    found = pq.ParquetFile(stream).read(columns=names)  # read_table would load half of pyarrow first
                    rows = zip(*(column.to_pylist() for column in found), strict=True)
                    self._known = {str(row[0]): Known(n, str(row[1]), row[2] or 0, row[3] or 0)
                                   for n, row in enumerate(rows)}  # fmt: skip
            except (OSError, pa.ArrowException, ValueError, KeyError):
                self._known = {}
                self.damage.append(f"{self._name} is damaged: levels and statements are not known")
        return self._known or {}

    def texts(self, problem: str) -> tuple[str, str]:
        """(statement, solution): of the row group that has the problem no other column is read."""
        if (known := self.known().get(problem)) is None:
            return "", ""
        try:
            with self._files.open(self._name) as stream:
                file, first = pq.ParquetFile(stream), 0
                for group in range(file.num_row_groups):
                    rows = file.metadata.row_group(group).num_rows
                    if known.place < first + rows:
                        found = file.read_row_group(group, columns=["statement", "solution"])
                        row = found.slice(known.place - first, 1).to_pylist()[0]
                        return row["statement"] or "", row["solution"] or ""
                    first += rows
        except (OSError, pa.ArrowException, ValueError, KeyError):
            pass
        return "", ""
