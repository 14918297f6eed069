"""A private read-only root: the interpreter's library, the system's shared libraries, four devices, and nothing else.

Runs in a fresh mount namespace; the host's mounts are never changed, and nothing has to be cleaned up.
"""

import os
import platform
import sys
import sysconfig

from executor.sandbox import syscalls

_SCAFFOLD = "/tmp"  # only shadowed inside the private mount namespace
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
# Mount options that an unprivileged remount must keep: statvfs bit -> mount bit.
_KEEP = (
    (1, syscalls.MS_RDONLY),
    (2, syscalls.MS_NOSUID),
    (4, syscalls.MS_NODEV),
    (8, syscalls.MS_NOEXEC),
    (1024, syscalls.MS_NOATIME),
    (2048, syscalls.MS_NODIRATIME),
    (4096, syscalls.MS_RELATIME),
)


def readable_paths(site_packages: bool) -> list[str]:
    """Absolute paths that a program may read, those that exist: needed for imports that are not preloaded."""
    paths = sysconfig.get_paths()
    machine = platform.machine()
    wanted = [
        paths["stdlib"], paths["platstdlib"], f"/lib/{machine}-linux-gnu", f"/usr/lib/{machine}-linux-gnu",
        "/lib64", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo", *_DEVICES,
    ]  # fmt: skip
    if site_packages:
        wanted += [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    kept: list[str] = []
    for path in wanted:
        if os.path.exists(path) and not any(path == k or path.startswith(k + "/") for k in kept):
            kept.append(path)
    return kept


def enter_private_root(paths: list[str]) -> None:
    """Makes a tmpfs with read-only binds of `paths` the root of this process. Needs CAP_SYS_ADMIN over its mounts."""
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths}
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("tmpfs", _SCAFFOLD, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "size=1m,mode=755")
    for path, fd in sources.items():
        target = _SCAFFOLD + os.path.realpath(path)
        _link_ancestors(path)
        if os.path.lexists(target):
            continue
        if os.path.isdir(path):
            os.makedirs(target, 0o755)
        else:
            os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        syscalls.mount(f"/proc/self/fd/{fd}", target, None, syscalls.MS_BIND | syscalls.MS_REC)
        _make_read_only(target)
    for fd in sources.values():
        os.close(fd)
    os.chdir(_SCAFFOLD)
    syscalls.pivot_root(".", ".")
    syscalls.detach(".")
    os.chdir("/")
    flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("none", "/", None, flags)


def _make_read_only(target: str) -> None:
    present = os.statvfs(target).f_flag
    flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | syscalls.MS_NOSUID
    for bit, flag in _KEEP:
        if present & bit:
            flags |= flag
    syscalls.mount("none", target, None, flags)


def _link_ancestors(path: str) -> None:
    """Repeats symbolic links on the way to `path` (as /lib -> usr/lib), so that the loader's names keep working."""
    parts = path.strip("/").split("/")
    for depth in range(1, len(parts) + 1):
        ancestor = "/" + "/".join(parts[:depth])
        if os.path.islink(ancestor):
            link = _SCAFFOLD + ancestor
            os.makedirs(os.path.dirname(link), 0o755, exist_ok=True)
            if not os.path.lexists(link):
                os.symlink(os.path.realpath(ancestor), link)
            return
