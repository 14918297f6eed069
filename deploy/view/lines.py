"""A file of JSON lines that grows: only what is new is read."""

import json
import threading
from typing import Any

from stepcoder.deploy.view.files import Files

_SEEN = 64  # last bytes that were read, by which a file is known again
Record = dict[str, Any]


class Lines:
    """`records()` are the whole lines that are objects; the others are counted in `damaged`.

    A last line without its end is not there yet. A file that was written anew, as a resumed run does, is read anew.
    """

    def __init__(self, files: Files, name: str) -> None:
        self.name, self.damaged = name, 0
        self._files = files
        self._records: list[Record] = []
        self._place, self._mark = 0, b""
        self._stamp: tuple[int, str] | None = None
        self._lock = threading.Lock()

    @property
    def there(self) -> bool:
        return self._stamp is not None

    def records(self) -> list[Record]:
        """A list that does not change any more."""
        with self._lock:
            stamp = self._files.stamp(self.name)
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._read()
                except OSError:  # gone meanwhile
                    self._stamp = None
            return self._records

    def _read(self) -> None:
        if self._stamp is None:
            self._begin()
            return
        since = max(self._place - len(self._mark), 0)
        data = self._files.tail(self.name, since)
        if not data.startswith(self._mark):
            self._begin()
            data = self._files.tail(self.name, 0)
        new = data[len(self._mark) :]
        whole = new[: new.rfind(b"\n") + 1]
        found = list(self._records)
        for line in whole.splitlines():
            record = _object(line)
            if record is not None:
                found.append(record)
            elif line.strip():
                self.damaged += 1
        self._records = found
        self._place += len(whole)
        self._mark = (self._mark + whole)[-_SEEN:]

    def _begin(self) -> None:
        self._records, self._place, self._mark, self.damaged = [], 0, b"", 0


def _object(line: bytes) -> Record | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
