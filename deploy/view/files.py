"""The files of a run directory, local or at a URI, for reading only."""

from pathlib import Path
from typing import IO, Any

from stepcoder.errors import UserError


class Files:
    """Names are relative to the run. What is not there or cannot be read is None, or an OSError where it is opened."""

    def __init__(self, place: str) -> None:
        """UserError where there is no such directory."""
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        self._remote = "://" in place
        try:
            self._system: Any
            if self._remote:
                self._system, root = fsspec.core.url_to_fs(place)
            else:
                self._system, root = LocalFileSystem(), Path(place).expanduser().absolute()
            self._root = str(root).rstrip("/")
            there = self._system.isdir(self._root)
        except Exception as error:  # every file system has its own kinds
            raise UserError(f"{place}: cannot be read: {error or type(error).__name__}") from None
        if not there:
            raise UserError(f"{place}: there is no such directory; give that of a run")

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""
        return None if (found := self.stamp(name)) is None else found[0]

    def stamp(self, name: str) -> tuple[int, str] | None:
        """(bytes, what changes when it is written anew); None where there is none."""
        try:
            self._forget()
            info = self._system.info(f"{self._root}/{name}")
        except (OSError, ValueError):
            return None
        if info.get("type") == "directory":
            return None
        return int(info["size"]), str(info.get("mtime") or info.get("LastModified") or info.get("ETag") or "")

    def tail(self, name: str, start: int) -> bytes:
        """What a file holds from a byte on. OSError where it cannot be read."""
        with self.open(name) as file:
            file.seek(start)
            return file.read()

    def open(self, name: str) -> IO[bytes]:
        return self._system.open(f"{self._root}/{name}", "rb")

    def names(self, folder: str) -> list[str]:
        """What is in a folder, in order; nothing where there is no such folder."""
        try:
            self._forget()
            found = self._system.ls(f"{self._root}/{folder}".rstrip("/"), detail=False)
        except (OSError, ValueError):
            return []
        return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in found)

    def _forget(self) -> None:
        if self._remote:  # a listing that is kept hides what has come since
            self._system.invalidate_cache()
