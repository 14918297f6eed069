"""Linux calls that the standard library lacks, through ctypes: each raises OSError with the call's name.

Only numbers and structs live here; what they are used for is decided by the callers.
"""

import ctypes
import functools
import mmap
import os
import platform
import struct
from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_NOATIME, MS_NODIRATIME = 32, 1024, 2048
MS_BIND, MS_REC, MS_PRIVATE, MS_RELATIME = 4096, 16384, 1 << 18, 1 << 21
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 8, 22, 38
PR_SET_CHILD_SUBREAPER = 36
SECCOMP_MODE_FILTER = 2
CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN = 2, 21

# pivot_root differs by machine; the landlock calls share one number everywhere.
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
LANDLOCK_CREATE, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT = 444, 445, 446


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(name: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def syscall(name: str, number: int, *args: Any) -> int:
    """A raw system call; pointers and integers are passed as 64-bit values."""
    packed = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return _checked(name, _libc().syscall(ctypes.c_long(number), *packed))


@functools.cache
def _prctl() -> Any:
    """Lean, because every program's process calls it: its arguments are plain numbers."""
    function = ctypes.CDLL(None, use_errno=True).prctl
    function.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
    return function


def prctl(option: int, arg: int = 0, arg3: int = 0) -> int:
    return _checked(f"prctl({option})", _prctl()(option, arg, arg3, 0, 0))


def trim_heap() -> None:
    """Memory that the C library keeps for later goes back to the kernel. Only glibc can be asked to."""
    trim = getattr(_libc(), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


def flush_c_streams() -> None:
    """What a program wrote through the C library reaches its descriptors."""
    _libc().fflush(None)


def unshare(flags: int) -> None:
    _checked(f"unshare({flags:#x})", _libc().unshare(flags))


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    _checked(
        f"mount({target})",
        _libc().mount(source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), data.encode()),
    )


def map_shared(fd: int, size: int) -> memoryview:
    """The first `size` bytes behind `fd`, to read and write, for as long as the process lives.

    mmap.mmap would keep a duplicate of the descriptor, which every program could then write to.
    """
    return _mapped(fd, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED)


def in_memory(data: bytes) -> memoryview:
    """A copy of `data` of which a fork copies no page tables, for as long as the process lives."""
    fd = os.memfd_create("data", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        return _mapped(fd, len(data), mmap.PROT_READ, mmap.MAP_PRIVATE)
    finally:
        os.close(fd)


def _mapped(fd: int, size: int, protection: int, kind: int) -> memoryview:
    function = _libc().mmap
    function.restype = ctypes.c_void_p
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_long)
    address = function(None, size, protection, kind, fd, 0)
    if address is None or address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B")


def detach(target: str) -> None:
    _checked(f"umount2({target})", _libc().umount2(target.encode(), MNT_DETACH))


def pivot_root(new: str, old: str) -> None:
    number = PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(38, f"pivot_root: system-call number unknown on {platform.machine()}")
    syscall("pivot_root", number, ctypes.c_char_p(new.encode()), ctypes.c_char_p(old.encode()))


def drop_capabilities(keep: int | None = None) -> None:
    """Leaves this process no capability but `keep` (one of the first 32), which it must have."""
    header = ctypes.create_string_buffer(struct.pack("<Ii", 0x20080522, 0))
    kept = 0 if keep is None else 1 << keep
    _checked(
        "capset", _libc().capset(header, ctypes.create_string_buffer(struct.pack("<6I", kept, kept, 0, 0, 0, 0), 24))
    )


def has_capability(number: int) -> bool:
    header = ctypes.create_string_buffer(struct.pack("<Ii", 0x20080522, 0))
    data = ctypes.create_string_buffer(24)
    _checked("capget", _libc().capget(header, data))
    effective = struct.unpack_from("<I", data, 0)[0] | struct.unpack_from("<I", data, 12)[0] << 32
    return bool(effective >> number & 1)


class Filter:
    """A seccomp filter of 8-byte BPF instructions, laid out in memory before it is needed; `code` may be changed."""

    __slots__ = ("_address", "_struct", "code")

    def __init__(self, program: bytes) -> None:
        self.code = ctypes.create_string_buffer(program, len(program))
        parts = struct.pack("<HxxxxxxQ", len(program) // 8, ctypes.addressof(self.code))
        self._struct = ctypes.create_string_buffer(parts)
        self._address = ctypes.addressof(self._struct)

    def install(self) -> None:
        """For this process, for good; needs no_new_privs."""
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, self._address)
