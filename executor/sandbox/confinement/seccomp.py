"""The allow-list of system calls, assembled into a seccomp BPF program.

Whatever is not listed fails with EPERM (an OSError in Python), so that a program sees an
ordinary error and its verdict is a runtime error. No file can be opened for writing,
no process started, no signal sent but to itself, no socket made but a private pair. Where no file can be opened at all
none is there: programs that look for an input file expect that.

The kernel runs a filter that is installed once for each call that there is. So the fork server installs most of it
for all programs to come, and a program's process the few rules in which the two differ.
"""

import platform
import struct

from stepcoder.executor.sandbox.confinement import syscalls
from stepcoder.executor.sandbox.confinement.syscall_tables import SERVER, TABLES

_LD, _JEQ, _JGE, _JSET, _RET, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOENT, _EACCES, _ENOSYS = 1, 2, 13, 38
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_WRITE_FLAGS = 0o3 | 0o100 | 0o1000 | 0o2000  # access mode, O_CREAT, O_TRUNC, O_APPEND
_CLONE_THREAD = 0x10000
_CLONE_NEW = 0x7E020000  # every kind of namespace
_FCNTL = (0, 1, 2, 3, 4, 1030, 1032)  # DUPFD, GETFD, SETFD, GETFL, SETFL, DUPFD_CLOEXEC, GETPIPE_SZ
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
_PRCTL = (15, 16)  # the name of a thread

_LINKS = ("readlink", "readlinkat")  # where no file can be opened they would still show what other processes have open

# Allowed whatever the arguments. Names absent from a machine's table are skipped.
_PLAIN = """
    read write lseek fstat newfstatat mmap munmap brk futex close clock_gettime madvise mprotect mremap
    readv writev pread64 pwrite64 stat lstat statx access faccessat faccessat2 getdents64 getcwd readlink readlinkat
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack
    dup dup2 dup3 pipe pipe2 poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2
    sendto recvfrom shutdown nanosleep clock_nanosleep clock_getres gettimeofday time times
    getitimer setitimer alarm pause getpid gettid getppid getuid geteuid getgid getegid getgroups getresuid getresgid
    getpgrp getpgid getsid uname sysinfo getrusage getrlimit setrlimit getpriority set_robust_list rseq
    set_tid_address sched_yield sched_getaffinity getcpu getrandom membarrier exit exit_group restart_syscall
    chdir fchdir umask close_range ftruncate fsync fdatasync
""".split()

_Instruction = tuple[int, int, int, int]


def _ins(code: int, k: int, jt: int = 0, jf: int = 0) -> _Instruction:
    return (code, jt, jf, k)


def _errno(code: int) -> _Instruction:
    return _ins(_RET, _ERRNO | code)


def _arg(index: int) -> _Instruction:
    """Loads the low 32 bits of an argument (both machines are little-endian)."""
    return _ins(_LD, 16 + 8 * index)


def _one_of(index: int, values: tuple[int, ...], otherwise: int = _EPERM) -> list[_Instruction]:
    body = [_arg(index)]
    for value in values:
        body += [_ins(_JEQ, value, 0, 1), _ins(_RET, _ALLOW)]
    return [*body, _errno(otherwise)]


def _no_bits(index: int, bits: int, otherwise: int, without: int = _ALLOW) -> list[_Instruction]:
    return [_arg(index), _ins(_JSET, bits, 0, 1), _errno(otherwise), _ins(_RET, without)]


def _conditional(pid: int, files: bool) -> dict[str, list[_Instruction]]:
    stream_pair = [_arg(0), _ins(_JEQ, 1, 1, 0), _errno(_EPERM), _arg(1), _ins(_AND, 0xF), _ins(_JEQ, 1, 1, 0)]
    rules = {
        "clone": [
            _arg(0),
            _ins(_JSET, _CLONE_NEW, 2, 0),
            _ins(_JSET, _CLONE_THREAD, 0, 1),
            _ins(_RET, _ALLOW),
            _errno(_EPERM),
        ],
        "clone3": [
            _errno(_ENOSYS)
        ],  # flags lie in memory, out of the filter's reach: the C library falls back to clone
        "kill": _one_of(0, (pid,)),
        "tgkill": _one_of(0, (pid,)),
        "prlimit64": _one_of(0, (0, pid)),
        "fcntl": _one_of(1, _FCNTL),
        "ioctl": _one_of(1, _IOCTL),
        "prctl": _one_of(0, _PRCTL),
        "socketpair": [*stream_pair, _errno(_EPERM), _ins(_RET, _ALLOW)],
    }
    opened = _ALLOW if files else _ERRNO | _ENOENT
    rules["openat"] = _no_bits(2, _WRITE_FLAGS, _EACCES, opened)
    rules["open"] = _no_bits(1, _WRITE_FLAGS, _EACCES, opened)
    return rules


# What the fork server may call beyond a program's, which is narrower or has none of it.
_SERVER: dict[str, list[_Instruction]] = {
    "clone": _no_bits(0, _CLONE_NEW, _EPERM),
    "wait4": [_ins(_RET, _ALLOW)],
    "kill": [_ins(_RET, _ALLOW)],
    "tgkill": [_ins(_RET, _ALLOW)],
    "prlimit64": [_ins(_RET, _ALLOW)],
    "prctl": _one_of(0, (*_PRCTL, syscalls.PR_SET_PDEATHSIG, syscalls.PR_SET_SECCOMP)),
}


def build(pid: int, files: bool = True, machine: str | None = None) -> bytes:
    """What the process `pid` of a program (as it sees itself) may call. `files` False: nothing can be opened at all.

    Raises KeyError for a machine without a table: the caller must treat that as "no isolation".
    """
    machine = machine or platform.machine()
    return _assembled(_allowed(pid, files, machine), machine, _errno(_EPERM))


def server(files: bool = True, machine: str | None = None) -> bytes:
    """What the fork server may call: what a program may, and what starts, confines, watches and ends a process."""
    machine = machine or platform.machine()
    numbers = TABLES[machine] | SERVER[machine]
    more = {numbers[name]: body for name, body in _SERVER.items()}
    return _assembled(_allowed(0, files, machine) | more, machine, _errno(_EPERM))


def rest(pid: int, files: bool = True, machine: str | None = None) -> bytes:
    """What a program's process adds to the filter of the fork server, so that the two together are `build`."""
    machine = machine or platform.machine()
    numbers = TABLES[machine] | SERVER[machine]
    allowed = _allowed(pid, files, machine)
    actions = {numbers[name]: allowed.get(numbers[name], [_errno(_EPERM)]) for name in _SERVER}
    return _assembled(actions, machine, _ins(_RET, _ALLOW))


def _allowed(pid: int, files: bool, machine: str) -> dict[int, list[_Instruction]]:
    numbers = TABLES[machine]
    plain = (name for name in _PLAIN if name in numbers and (files or name not in _LINKS))
    actions = {numbers[name]: [_ins(_RET, _ALLOW)] for name in plain}
    return actions | {numbers[name]: body for name, body in _conditional(pid, files).items() if name in numbers}


def _assembled(actions: dict[int, list[_Instruction]], machine: str, otherwise: _Instruction) -> bytes:
    program = [_ins(_LD, 4), _ins(_JEQ, _AUDIT_ARCH[machine], 1, 0), _ins(_RET, _KILL), _ins(_LD, 0)]
    program += _search(_ranges(actions, [otherwise]))
    return b"".join(struct.pack("<HBBI", *ins) for ins in program)


def _ranges(
    actions: dict[int, list[_Instruction]], otherwise: list[_Instruction]
) -> list[tuple[int, list[_Instruction]]]:
    """(first number, what to do from there on) in rising order."""
    ranges: list[tuple[int, list[_Instruction]]] = []
    edges = {0} | set(actions) | {number + 1 for number in actions}
    for number in sorted(edges):
        action = actions.get(number, otherwise)
        if not ranges or ranges[-1][1] != action:
            ranges.append((number, action))
    return ranges


def _search(ranges: list[tuple[int, list[_Instruction]]]) -> list[_Instruction]:
    """Halving, so that each run is short."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    return [_ins(_JGE, ranges[middle][0], len(below), 0), *below, *above]


class Template:
    """`rest` with room for the process id, so that a child patches three numbers instead of assembling it anew."""

    _PLACEHOLDER = 0x7A5A11ED

    def __init__(self, files: bool) -> None:
        program = rest(self._PLACEHOLDER, files)
        needle = struct.pack("<I", self._PLACEHOLDER)
        self._places = [place // 4 for place in range(4, len(program), 8) if program[place : place + 4] == needle]
        self._filter = syscalls.Filter(program)
        self._words = memoryview(self._filter.code).cast("B").cast("I")

    def filled(self, pid: int) -> syscalls.Filter:
        """For the process `pid`, as it sees itself."""
        for place in self._places:
            self._words[place] = pid
        return self._filter
