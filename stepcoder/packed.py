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
_OTHERS = {
    b"PK\x03\x04": "a zip archive", b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"Rar!": "a rar archive",
    b"\x04\x22\x4d\x18": "packed with LZ4", b"\x1f\x9d": "packed with compress",
}  # fmt: skip
_TAR, _TAR_AT = b"ustar", 257


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The content of a file, whatever it is packed with. OSError where it cannot be read, is damaged or cut short."""
    with path.open("rb") as raw:
        if not raw.seekable():
            raise OSError("a pipe, or no regular file, and files may be read twice; give a file")
        magic = raw.read(_MAGIC_BYTES)
        raw.seek(0)
        if other := next((what for start, what in _OTHERS.items() if magic.startswith(start)), None):
            raise OSError(f"{other}; unpack it, and give the file in it")
        open_packed = next((opened for start, opened in _FORMATS if magic.startswith(start)), None)
        try:
            with raw if open_packed is None else open_packed(raw) as stream:
                if stream.peek(_TAR_AT + len(_TAR))[_TAR_AT:].startswith(_TAR):
                    raise OSError("a tar archive; unpack it, and give the file in it")
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
