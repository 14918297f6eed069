"""The standard library in memory, for programs that cannot open a file.

The fork server reads it once, before it confines itself. Modules are imported from there as they would be from their
files; extension modules are mapped beforehand, because the loader opens no file that it has mapped under that name.
"""

import ctypes
import importlib.machinery
import importlib.util
import marshal
import os
import sys
import sysconfig
import types
from collections.abc import Iterator
from typing import Any

from stepcoder.executor.sandbox.confinement import syscalls

# No program of an exercise imports these; each extension module that is mapped makes every fork dearer.
_LEFT_OUT = """
    ensurepip idlelib lib2to3 pydoc_data test tests tkinter turtledemo
    _crypt _dbm _gdbm _tkinter audioop nis ossaudiodev readline spwd syslog
""".split()
_LEFT_OUT_BEGINNINGS = ("_ctypes_test", "_curses", "_test", "_xx", "xx")
_HEAD = 16  # bytes of a compiled file before its code: magic number, flags, time and size of its source


class Library:
    """Finder and loader of the modules of this interpreter's library; belongs before the finder of files."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[str, int, int, bool]] = {}  # by name: file, begin and end of its code, compiled
        self._extensions = dict(_extensions())
        parts, end = [], 0
        for name, path in _modules(sysconfig.get_path("stdlib")):
            code, compiled = _code(path)
            self._places[name] = (path, end, end := end + len(code), compiled)
            parts.append(code)
        self._code = syscalls.in_memory(b"".join(parts))
        self._mapped = [ctypes.CDLL(path) for path in self._extensions.values()]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name in self._extensions:
            file = self._extensions[name]
            loader = importlib.machinery.ExtensionFileLoader(name, file)
            return importlib.util.spec_from_file_location(name, file, loader=loader)
        if name not in self._places:
            return None
        file = self._places[name][0]
        folders = [os.path.dirname(file)] if os.path.basename(file) == "__init__.py" else None
        loader: Any = self
        return importlib.util.spec_from_file_location(name, file, loader=loader, submodule_search_locations=folders)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """As usual."""

    def exec_module(self, module: types.ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name: str) -> types.CodeType:
        file, begin, end, compiled = self._places[name]
        code = self._code[begin:end]
        return marshal.loads(code) if compiled else compile(bytes(code), file, "exec", dont_inherit=True)


def install() -> None:
    """From now on imports look into memory before they look for files."""
    before = sys.meta_path.index(importlib.machinery.PathFinder)
    finder: Any = Library()
    sys.meta_path.insert(before, finder)


def _modules(folder: str, package: str = "") -> Iterator[tuple[str, str]]:
    """Every module in `folder` and its packages, by full name, with its file."""
    for entry in os.scandir(folder):
        name, ending = os.path.splitext(entry.name)
        if not name.isidentifier() or name in _LEFT_OUT or name.startswith(_LEFT_OUT_BEGINNINGS):
            continue
        if ending == ".py":
            yield (package + name if name != "__init__" else package[:-1]), entry.path
        elif not ending and os.path.isfile(os.path.join(entry.path, "__init__.py")):
            yield from _modules(entry.path, f"{package}{name}.")


def _code(path: str) -> tuple[bytes, bool]:
    """What an import of `path` would read, and whether that is compiled."""
    try:
        with open(importlib.util.cache_from_source(path), "rb") as file:
            cached = file.read()
    except OSError:
        cached = b""
    status = os.stat(path)
    seen = b"".join(n.to_bytes(4, "little") for n in (0, int(status.st_mtime), status.st_size & 0xFFFFFFFF))
    if cached[:_HEAD] == importlib.util.MAGIC_NUMBER + seen:
        return cached[_HEAD:], True
    with open(path, "rb") as file:
        return file.read(), False


def _extensions() -> Iterator[tuple[str, str]]:
    """Extension modules by name, with their files."""
    folder = os.path.join(sysconfig.get_path("platstdlib"), "lib-dynload")
    for entry in os.scandir(folder) if os.path.isdir(folder) else ():
        name, _, ending = entry.name.partition(".")
        known = f".{ending}" in importlib.machinery.EXTENSION_SUFFIXES
        if known and name not in _LEFT_OUT and not name.startswith(_LEFT_OUT_BEGINNINGS):
            yield name, entry.path
