"""Gives back to the system what a process has freed.

glibc keeps tensors below 32 MB for the next ones: after a model is loaded, packed or trained on, half a GiB and more.
"""

import ctypes


def release_freed_memory() -> None:
    """Does nothing where the C library has no such call, and little under another allocator."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
