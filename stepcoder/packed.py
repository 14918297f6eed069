"""Files that may be compressed, told by their first bytes and read as a stream: gzip, bzip2, xz and Zstandard."""

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

_MAGIC_BYTES = 6
_ZIP = b"PK\x03\x04"


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The content of a file, whatever it is packed with. OSError where it cannot be read, is damaged or cut short."""
    with path.open("rb") as raw:
        if not raw.seekable():
            raise OSError("a pipe, or no regular file, and files may be read twice; give a file")
        magic = raw.read(_MAGIC_BYTES)
        raw.seek(0)
        if magic.startswith(_ZIP):
            raise OSError("a zip archive; unpack it, and give the file in it")
        open_packed = next((opened for start, opened in _FORMATS if magic.startswith(start)), None)
        try:
            if open_packed is None:
                yield raw
                return
            with open_packed(raw) as stream:
                yield stream
        except (EOFError, zlib.error, lzma.LZMAError) as error:
            raise OSError(str(error)) from error


def _zstandard(raw: Any) -> Any:
    import pyarrow  # half a second, for this format alone

    return io.BufferedReader(pyarrow.CompressedInputStream(raw, "zstd"))  # pyright: ignore[reportArgumentType]


_FORMATS: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
    (b"\x28\xb5\x2f\xfd", _zstandard),
)
