"""Compressed files are told by their content, read as streams, and refused where they are cut."""

import bz2
import gzip
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest

from stepcoder.packed import unpacked

TEXT = b"".join(b"line %d\n" % number for number in range(20_000))
Pack = Callable[[bytes], bytes]


def zstandard(data: bytes) -> bytes:
    return pyarrow.Codec("zstd").compress(data, asbytes=True)


PACKS = [gzip.compress, bz2.compress, lzma.compress, zstandard]
NAMES = ["gzip", "bzip2", "xz", "zstandard"]


@pytest.mark.parametrize("pack", PACKS, ids=NAMES)
def test_parts_that_were_packed_one_by_one_are_read_as_one_file(tmp_path: Path, pack: Pack) -> None:
    file = tmp_path / "no_suffix"
    file.write_bytes(pack(TEXT[:1000]) + pack(TEXT[1000:]))
    with unpacked(file) as stream:
        assert stream.readline() == b"line 0\n"
        assert b"line 0\n" + b"".join(stream) == TEXT


@pytest.mark.parametrize("pack", PACKS, ids=NAMES)
def test_a_cut_file_is_no_short_file(tmp_path: Path, pack: Pack) -> None:
    file = tmp_path / "cut"
    file.write_bytes(pack(TEXT)[:-30])
    with pytest.raises(OSError), unpacked(file) as stream:
        for _ in stream:
            pass


def test_what_is_not_packed_is_read_as_it_is_and_nothing_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "plain.gz"
    for content in (b"", b"B", TEXT):
        file.write_bytes(content)
        with unpacked(file) as stream:
            assert stream.read() == content
    with pytest.raises(FileNotFoundError), unpacked(tmp_path / "none"):
        pass


def test_a_pipe_is_told(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match="a pipe.*give a file"), unpacked(Path(f"/dev/fd/{reader}")):
            pass
    finally:
        os.close(reader)
        os.close(writer)


def test_an_archive_is_told(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("rows.jsonl", "{}")
    with pytest.raises(OSError, match="a zip archive; unpack it"), unpacked(file):
        pass
    for name, mode in (("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tar.xz", "w:xz")):
        with tarfile.open(tmp_path / name, mode) as archive:  # type: ignore[call-overload]
            archive.add(file, "a.jsonl")
        with pytest.raises(OSError, match="a tar archive; unpack it"), unpacked(tmp_path / name):
            pass
    file.write_bytes(pyarrow.Codec("lz4").compress(TEXT, asbytes=True))
    with pytest.raises(OSError, match="packed with LZ4; unpack it"), unpacked(file):
        pass
