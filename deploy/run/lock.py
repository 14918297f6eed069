"""One driver a run directory.

The lock is the kernel's (flock), so it ends with the process that holds it, however that ends; the file beside it says
who holds it or held it last. A driver that finds the note of a dead one takes over and says so.
"""

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from stepcoder.errors import UserError

LOCK = "driver.lock"


class RunLock:
    """Held from construction to `release()`; raises UserError while another driver holds it. `option` names the place.

    `took_over_from` is the process id of a driver that died without releasing, else None.
    """

    def __init__(self, directory: Path, option: str = "run.directory") -> None:
        self.path = directory / LOCK
        self._file = self.path.open("a+", encoding="utf-8")
        note = self._note()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            who = f"process {note.get('pid', '?')} on {note.get('host', '?')}, since {note.get('since', '?')}"
            raise UserError(
                f"{option}: another driver is writing to {directory} ({who}). "
                f"Wait for it, stop it, or give another --{option}."
            ) from None
        self.took_over_from: int | None = note.get("pid")
        self._write({"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})

    def _note(self) -> dict[str, Any]:
        self._file.seek(0)
        try:
            note = json.loads(self._file.read() or "{}")
        except ValueError:
            return {}
        return note if isinstance(note, dict) else {}

    def _write(self, note: dict[str, Any]) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps(note) if note else "")
        self._file.flush()

    def release(self) -> None:
        if not self._file.closed:
            self._write({})
            self._file.close()
