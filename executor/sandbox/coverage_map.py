"""The coverage map: a Python list whose cells lie in memory shared with the trusted parent.

Storing into a list is the cheapest write that CPython 3.11 has (a specialised instruction), far cheaper
than into an mmap. The cells are object pointers: "not executed" is the pointer that the parent filled in,
anything else means executed. Where the interpreter's list is laid out otherwise, a plain view of the
memory serves, slower and with the same meaning.
"""

import ctypes
import mmap
import sys
from typing import Any

WORD = 8


def capacity(size: int) -> int:
    """Lines that a map of `size` bytes holds (line 0 is never used)."""
    return size // WORD


def open_map(fd: int, size: int) -> tuple[Any, int]:
    """(the list or view to store 1 into, the word that means "not executed")."""
    memory = mmap.mmap(fd, size)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))  # stays mapped: the list does not hold it
    cells = capacity(size)
    if sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)():
        shared = _shared_list(memory, cells)
        if shared is not None:
            return shared, id(0)
    return memoryview(memory).cast("Q"), 0


def _shared_list(memory: mmap.mmap, cells: int) -> list[int] | None:
    """A list over `memory`, or None when a store does not show up there. Lives as long as the process."""
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    words = memoryview(memory).cast("Q")
    for index in range(cells):
        words[index] = id(0)
    # Every cell counts as a reference that is never given up.
    count = ctypes.c_ssize_t.from_address(id(0))
    if sys.version_info < (3, 12):  # immortal later
        count.value += 1 << 40
    shared: list[int] = [0, 0]
    fields = (ctypes.c_ssize_t * 5).from_address(id(shared))  # refcount, type, size, items, allocated
    if fields[1] != id(list) or fields[2] != 2:
        return None
    own_items = ctypes.cast(fields[3], ctypes.POINTER(ctypes.c_size_t))
    if own_items[0] != id(0) or own_items[1] != id(0):
        return None
    fields[2], fields[3], fields[4] = cells, address, cells
    fields[0] += 1 << 20  # never freed: its cells are not the allocator's
    shared[1] = 1
    return shared if words[1] == id(1) else None
