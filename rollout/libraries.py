"""The C libraries under a process that computes on a CPU: which are preloaded, and memory that they give back.

glibc keeps tensors below 32 MB for the next ones: after a model is loaded, packed or trained on, half a GiB and more.
"""

import ctypes
import sys
from pathlib import Path


def preload_libraries() -> list[str]:
    """Allocator and OpenMP runtime that make torch fast on a CPU, as far as this machine has them."""
    found = [Path(sys.prefix) / "lib" / "libiomp5.so"]
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"):
        found.append(Path(folder) / "libtcmalloc_minimal.so.4")
    return [str(path) for path in found if path.is_file()]


def release_freed_memory() -> None:
    """Does nothing where the C library has no such call, and little under another allocator."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
