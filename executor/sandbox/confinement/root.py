"""A private read-only root: the interpreter's library, the system's shared libraries, four devices, and nothing else.

Runs in a fresh mount namespace; the host's mounts are never changed, and nothing has to be cleaned up.
"""

import contextlib
import os
import platform
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stepcoder.executor.sandbox.confinement import syscalls

_SCAFFOLD = "/tmp"  # only shadowed inside the private mount namespace
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_STREAMS = ("stdin", "stdout", "stderr")  # empty files, so that they are there; `open` gives the streams
_PACKAGE_FOLDERS = ("site-packages", "dist-packages")
_PROJECT = "stepcoder"  # the distribution's name, which its metadata, path file and editable finder bear
_OURS = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../.."))  # all five folders
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


@dataclass(frozen=True, slots=True)
class View:
    """What a program may read, by real paths: `roots`, but for what is `hidden` inside them. None is inside its like.

    `links`: (place, real path) of symbolic links outside of the roots on the way to them, as /lib -> /usr/lib.
    """

    roots: tuple[str, ...]
    hidden: tuple[str, ...]
    links: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, wanted: Iterable[str], hidden: Iterable[str]) -> "View":
        """Of paths as they are written, those that exist."""
        wanted = [path for path in wanted if os.path.exists(path)]
        roots: list[str] = []
        for path in sorted(map(os.path.realpath, wanted)):
            if not _inside(path, roots):
                roots.append(path)
        real: list[str] = []
        for path in sorted(os.path.realpath(path) for path in hidden if os.path.exists(path)):
            if not _inside(path, real):
                real.append(path)
        links = dict(link for path in wanted for link in _links(path))
        return cls(
            tuple(roots),
            tuple(path for path in real if path not in roots and _inside(path, roots)),
            tuple((place, target) for place, target in links.items() if not _inside(place, roots)),
        )


def view(site_packages: bool) -> View:
    """The libraries of this interpreter and of the system, which imports that are not preloaded need.

    Installed packages only where they are wanted, wherever they lie; of this project nothing.
    """
    paths = sysconfig.get_paths()
    machine = platform.machine()
    wanted = [
        paths["stdlib"], paths["platstdlib"], f"/lib/{machine}-linux-gnu", f"/usr/lib/{machine}-linux-gnu",
        "/lib64", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo", *_DEVICES,
    ]  # fmt: skip
    wanted += _shared_libraries(os.path.dirname(paths["platstdlib"]))
    packages = [p for p in sys.path if os.path.basename(p) in _PACKAGE_FOLDERS] if site_packages else []
    shown = set(map(os.path.realpath, packages))
    others = {folder for path in wanted for folder in _package_folders(path)} - shown
    ours = [_OURS, *(file for folder in shown for file in _own_files(folder))]
    return View.of([*wanted, *packages], [*others, *ours])


def _inside(path: str, folders: Iterable[str]) -> bool:
    """Whether `path` is one of `folders` or lies in one."""
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _shared_libraries(folder: str) -> list[str]:
    """Those beside the library's folder, which extension modules of an interpreter like conda's need; nothing else."""
    return [entry.path for entry in os.scandir(folder) if entry.name.startswith("lib") and ".so" in entry.name]


def _package_folders(path: str) -> set[str]:
    """Real paths of folders of installed packages in `path`, whichever interpreter's, and of this interpreter's."""
    near = [path, *(entry.path for entry in os.scandir(path) if entry.is_dir())] if os.path.isdir(path) else []
    found = {os.path.join(place, name) for place in near for name in _PACKAGE_FOLDERS}
    schemes = map(sysconfig.get_paths, sysconfig.get_scheme_names())
    found |= {scheme[kind] for scheme in schemes for kind in ("purelib", "platlib")}
    return {os.path.realpath(folder) for folder in found if os.path.isdir(folder)}


def _own_files(folder: str) -> list[str]:
    """What bears this project's name in a folder of packages: the package, its metadata, links to it elsewhere."""
    places = [place for place in (folder, os.path.join(folder, "__pycache__")) if os.path.isdir(place)]
    return [os.path.join(place, name) for place in places for name in os.listdir(place) if _PROJECT in name.lower()]


def enter_private_root(view: View) -> None:
    """Makes a tmpfs with read-only binds of `view` the root of this process. Needs CAP_SYS_ADMIN over its mounts.

    Everything is looked up before the scaffold shadows it: any of it may lie below.
    """
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in view.roots}
    folders = {path for path in (*view.roots, *view.hidden) if os.path.isdir(path)}
    nothing = os.open(os.devnull, os.O_PATH | os.O_CLOEXEC)
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("tmpfs", _SCAFFOLD, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "size=1m,mode=755")
    for path, fd in sources.items():
        target = _SCAFFOLD + path
        if path in folders:
            os.makedirs(target, 0o755)
        else:
            os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        _bind(fd, target)
    for path in view.hidden:
        if path in folders:
            flags = syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV
            syscalls.mount("tmpfs", _SCAFFOLD + path, "tmpfs", flags, "size=4k,mode=555")
        else:
            _bind(nothing, _SCAFFOLD + path)
    for name in _STREAMS:
        with contextlib.suppress(FileNotFoundError):
            os.close(os.open(f"{_SCAFFOLD}/dev/{name}", os.O_CREAT | os.O_RDONLY, 0o444))
    for place, real in view.links:
        os.makedirs(os.path.dirname(_SCAFFOLD + place), 0o755, exist_ok=True)
        os.symlink(real, _SCAFFOLD + place)
    for fd in (nothing, *sources.values()):
        os.close(fd)
    os.chdir(_SCAFFOLD)
    syscalls.pivot_root(".", ".")
    syscalls.detach(".")
    os.chdir("/")
    flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("none", "/", None, flags)


def _bind(fd: int, target: str) -> None:
    syscalls.mount(f"/proc/self/fd/{fd}", target, None, syscalls.MS_BIND | syscalls.MS_REC)
    _make_read_only(target)


def _make_read_only(target: str) -> None:
    present = os.statvfs(target).f_flag
    flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | syscalls.MS_NOSUID
    for bit, flag in _KEEP:
        if present & bit:
            flags |= flag
    syscalls.mount("none", target, None, flags)


def _links(path: str) -> Iterator[tuple[str, str]]:
    """Every symbolic link on the way to `path`, as (place, where it leads in the end), so that names keep working."""
    real = "/"
    for part in os.path.abspath(path).strip("/").split("/"):
        place = os.path.join(real, part)
        real = os.path.realpath(place)
        if os.path.islink(place):
            yield place, real
