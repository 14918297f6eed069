"""The coverage map: a byte a line, in memory shared with the trusted parent, which outlives the program.

Zero: not executed. A line is stored once a test, before it first runs; the parent clears the map before each test.
Byte 0 belongs to no line.
"""

import mmap


def open_map(fd: int, size: int) -> memoryview:
    """The cells, to store 1 into; the index is the line."""
    return memoryview(mmap.mmap(fd, size)).cast("B")
