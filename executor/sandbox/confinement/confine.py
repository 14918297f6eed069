"""Isolation, applied in two strokes: once to the fork server, and the rest to each program after its fork.

Level 1: namespaces + private root + landlock + seccomp. Level 2: landlock + seccomp. Level 3: seccomp; no file can be
opened, because a filter cannot judge paths. Level 4: limits only. A step that fails raises: the caller must then not
run anything.
"""

import errno
import os
import resource
import signal
from dataclasses import dataclass

from stepcoder.executor.sandbox.confinement import landlock, root, seccomp, syscalls

NOBODY = 65534
# Users of nobody's: above those that systems hand out, below the sign bit. One a fork server, so that threads are
# counted for each alone and neighbours are strangers to each other.
_SPARE_USERS = range(0x7000_0000, 0x7FFF_0000)
_PENDING_SIGNALS = 64  # a program could else use up those of its user
_MIB = 1 << 20
_set_limit = resource.setrlimit  # programs get another (executor.sandbox.offered.surroundings)
# Added to the niceness of what started the sandbox, whose thread then gets twice the time of a program's on one core:
# 1.25 to the power of 3. A program beside two such threads still gets a fifth of its core, which is as much as the
# default limits of wall and CPU time need: more would turn a busy machine into timeouts.
_GIVES_WAY = 3
_FIRST_TO_DIE = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use. memory_mib is on top of the fork server's own address space."""

    memory_mib: int
    output_bytes: int
    result_bytes: int
    cpu_s: float
    wall_s: float
    idle_s: float
    compile_s: float
    open_files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Confinement:
    """What was applied to the fork server, and what each child still needs."""

    level: int
    server: int
    applied: tuple[str, ...]
    private_pids: bool
    filter: seccomp.Template | None
    process_limit: int
    own_bytes: int = 0  # the fork server's own address space


def give_way() -> None:
    """Before the trainer in everything scarce: the kernel's choice where memory runs out, later where cores do.

    No part of the isolation: a machine that does not allow it goes on without.
    """
    os.nice(_GIVES_WAY)
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(_FIRST_TO_DIE))
    except OSError:
        return


def detach_namespaces() -> None:
    """New user (where not privileged), process, network, IPC, host-name and mount namespaces for the next fork."""
    flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNET
    flags |= syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
    if syscalls.has_capability(syscalls.CAP_SYS_ADMIN):
        syscalls.unshare(flags)
        return
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(flags | syscalls.CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def confine_server(level: int, threads: int, site_packages: bool) -> Confinement:
    """Confines this process for good. At level 1 it must be the first process of its own process namespace."""
    applied: list[str] = []
    process_limit, template, keep = threads, None, None
    if level < 4:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    view = root.view(site_packages) if level <= 2 else None
    if view is not None and level == 1:
        root.enter_private_root(view)
        applied += ["namespaces", "private root"]
        if os.geteuid() == 0:
            _leave_root()
        syscalls.unshare(syscalls.CLONE_NEWUSER)  # its own count of threads
        applied.append("user namespace")
    elif level < 4:
        if os.geteuid() == 0:
            keep = syscalls.CAP_DAC_READ_SEARCH if view and not _world_readable(os.__file__) else None
            counted_alone = _leave_root(keep)
            applied.append("user of its own" if counted_alone else "user nobody")
        else:
            counted_alone = _own_user_namespace()
            applied += ["user namespace"] if counted_alone else []
        if not counted_alone:
            process_limit += _tasks_of_user()
    os.chdir("/")
    if view is not None:
        version = landlock.restrict(["/"]) if level == 1 else landlock.restrict(view.roots, view.hidden)
        applied.append(f"landlock {version}")
    if level < 4:
        template = seccomp.Template(files=view is not None)  # raises here where the machine has no table
        applied += ["seccomp"] if view else ["seccomp", "no files"]
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        syscalls.drop_capabilities(keep)
        syscalls.Filter(seccomp.server(files=view is not None)).install()
    process_limit += 2  # this process and the compiler
    return Confinement(level, os.getpid(), tuple(applied), level == 1, template, process_limit)


def limit_resources(limits: Limits, own_bytes: int) -> None:
    """The limits that a fork server can have too, and that its children inherit. OSError when one cannot be set."""
    for kind, value in (
        (resource.RLIMIT_AS, own_bytes + limits.memory_mib * _MIB),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, _PENDING_SIGNALS),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        _set_limit(kind, (value, value))


def confine_child(confinement: Confinement, file_bytes: int, cpu_s: int, memory_bytes: int = 0) -> None:
    """What is left for one process, in the process itself. Raises OSError when a step fails."""
    if not confinement.private_pids:  # else it dies with the first process of its namespace
        die_with_parent()
        if os.getppid() != confinement.server:
            raise OSError(errno.ESRCH, "the fork server ended before its program started")
    _set_limit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    _set_limit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    if memory_bytes:
        most = confinement.own_bytes + memory_bytes
        _set_limit(resource.RLIMIT_AS, (most, most))
    if confinement.filter is None:
        return
    _set_limit(resource.RLIMIT_NPROC, (confinement.process_limit, confinement.process_limit))
    confinement.filter.filled(os.getpid()).install()


def die_with_parent() -> None:
    """SIGKILL for this process when the thread that started it ends. Cleared by the kernel on a change of user."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _leave_root(keep: int | None = None) -> bool:
    """Becomes a user that nobody else is (True), or `nobody` where too few users are mapped; keeps one capability."""
    os.setgroups([])
    if keep is not None:
        syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)
    alone = True
    try:
        _become(_SPARE_USERS[int.from_bytes(os.urandom(4), "little") % len(_SPARE_USERS)])
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        alone = False
        _become(NOBODY)
    if keep is not None:
        syscalls.drop_capabilities(keep)  # a change of user disables it
    return alone


def _become(user: int) -> None:
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _own_user_namespace() -> bool:
    """Whether this process could have one, in which its threads are counted alone."""
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSPC, errno.EINVAL):
            return False
        raise
    return True


def _world_readable(path: str) -> bool:
    """Whether any user may read `path`: every directory on the way must be open to others."""
    if not os.stat(path).st_mode & 0o004:
        return False
    while path != "/":
        path = os.path.dirname(path)
        if not os.stat(path).st_mode & 0o001:
            return False
    return True


def _tasks_of_user() -> int:
    """Threads of this user now: the process limit counts all of them."""
    uid, count = os.geteuid(), 0
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.stat(f"/proc/{entry}").st_uid == uid:
                    count += len(os.listdir(f"/proc/{entry}/task"))
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ESRCH, errno.EACCES, errno.EPERM):
                    raise
    return count
