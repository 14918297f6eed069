"""Landlock: after `restrict`, only the given paths can be read, nothing can be written, and no TCP port is reachable.

Rights are those that the kernel's version knows; an unknown right would make the call fail.
"""

import ctypes
import os
import struct
from collections.abc import Collection, Iterable

from stepcoder.executor.sandbox.confinement import syscalls

READ_FILE, READ_DIR = 1 << 2, 1 << 3
# Number of file-system rights known to each ABI version (the last figure also serves later ones).
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NET_BIND_CONNECT = 0b11  # ABI 4
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11  # ABI 6


def abi() -> int:
    """The kernel's landlock version; OSError when it has none or it is switched off."""
    return syscalls.syscall("landlock_create_ruleset", syscalls.LANDLOCK_CREATE, 0, 0, 1)


def restrict(readable: Iterable[str], hidden: Collection[str] = ()) -> int:
    """Confines this process (and its children) for good. Returns the ABI version. Needs no_new_privs.

    What is `hidden` inside a readable folder, by real paths, cannot be read, but its names can be listed: a right to a
    folder is one to all below it, and imports have to list the folder.
    """
    version = abi()
    handled = (1 << _FS_RIGHTS.get(version, 16)) - 1
    attributes = struct.pack(
        "<QQQ",
        handled,
        _NET_BIND_CONNECT if version >= 4 else 0,
        _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0,
    )
    size = 8 if version < 4 else 16 if version < 6 else 24
    buffer = ctypes.create_string_buffer(attributes, 24)
    ruleset = syscalls.syscall("landlock_create_ruleset", syscalls.LANDLOCK_CREATE, buffer, size, 0)
    try:
        for path in readable:
            _allow_around(ruleset, path, hidden)
        syscalls.syscall("landlock_restrict_self", syscalls.LANDLOCK_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def _allow_around(ruleset: int, path: str, hidden: Collection[str]) -> None:
    """Allows `path` but for what is hidden inside it."""
    if not any(place.startswith(path.rstrip("/") + "/") for place in hidden):
        _allow(ruleset, path, READ_FILE | READ_DIR)
        return
    _allow(ruleset, path, READ_DIR)
    for entry in os.scandir(path):
        if not entry.is_symlink() and entry.path not in hidden:  # what a link leads to inside has a rule of its own
            _allow_around(ruleset, entry.path, hidden)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return  # what cannot be opened needs no permission
    try:
        rights &= READ_FILE | (READ_DIR if os.path.isdir(path) else 0)
        rule = ctypes.create_string_buffer(struct.pack("<Qi", rights, fd), 12)
        syscalls.syscall("landlock_add_rule", syscalls.LANDLOCK_ADD_RULE, ruleset, 1, rule, 0)
    finally:
        os.close(fd)
