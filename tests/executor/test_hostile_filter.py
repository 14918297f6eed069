"""The system-call filter of both machines, run by a small interpreter of BPF: what passes, what fails and how."""

import re
import struct
from pathlib import Path

import pytest

from stepcoder.executor.sandbox.confinement import seccomp
from stepcoder.executor.sandbox.confinement.syscall_tables import SERVER, TABLES

PID = 4711
ALLOW, KILL = "allow", "kill"
EPERM, ENOENT, EACCES, ENOSYS = 1, 2, 13, 38
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
OTHER_AUDITS = {"i386": 0x40000003, "arm": 0x40000028, "riscv64": 0xC00000F3}
# Calls that must be refused, with their numbers in the kernel's own lists.
_FORBIDDEN = {
    "x86_64": """
        socket 41 connect 42 accept 43 sendmsg 46 recvmsg 47 bind 49 listen 50 fork 57 vfork 58 execve 59 shmget
        29 shmat 30 flock 73 truncate 76 rename 82 mkdir 83 rmdir 84 creat 85 link 86 unlink 87 symlink 88 chmod
        90 chown 92 ptrace 101 setuid 105 setpgid 109 setsid 112 mknod 133 personality 135 setpriority 141
        sched_setscheduler 144 mlock 149 pivot_root 155 chroot 161 mount 165 tkill 200 sched_setaffinity 203
        timer_create 222 mq_open 240 add_key 248 keyctl 250 unlinkat 263 unshare 272 splice 275 vmsplice 278
        accept4 288 inotify_init1 294 rt_tgsigqueueinfo 297 perf_event_open 298 setns 308 open_by_handle_at 304
        process_vm_readv 310 process_vm_writev 311 kcmp 312 seccomp 317 memfd_create 319 bpf 321 execveat 322
        userfaultfd 323 pidfd_send_signal 424 io_uring_setup 425 open_tree 428 pidfd_open 434 openat2 437
        pidfd_getfd 438 process_madvise 440 landlock_restrict_self 446 memfd_secret 447
    """,
    "aarch64": """
        socket 198 bind 200 listen 201 accept 202 connect 203 sendmsg 211 recvmsg 212 execve 221 shmget 194
        shmat 196 flock 32 mknodat 33 mkdirat 34 unlinkat 35 symlinkat 36 linkat 37 renameat 38 mount 40
        pivot_root 41 truncate 45 fallocate 47 chroot 51 fchmodat 53 personality 92 unshare 97 timer_create 107
        ptrace 117 sched_setscheduler 119 sched_setaffinity 122 tkill 130 rt_sigqueueinfo 138 setpriority 140
        setuid 146 setpgid 154 setsid 157 mq_open 180 add_key 217 keyctl 219 mlock 228 perf_event_open 241
        accept4 242 setns 268 process_vm_readv 270 process_vm_writev 271 kcmp 272 seccomp 277 memfd_create 279
        bpf 280 execveat 281 userfaultfd 282 pidfd_send_signal 424 io_uring_setup 425 pidfd_open 434 openat2 437
        pidfd_getfd 438 landlock_restrict_self 446 memfd_secret 447
    """,
}
FORBIDDEN = {
    machine: dict(zip(words[::2], map(int, words[1::2]), strict=True))
    for machine, words in ((machine, text.split()) for machine, text in _FORBIDDEN.items())
}


def run(program: bytes, number: int, *args: int, audit: int) -> str | int:
    """What the filter answers to a call: "allow", "kill" or the number of the error."""
    padded = (*args, *[0] * (6 - len(args)))
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, audit, 0, *(a & (1 << 64) - 1 for a in padded))
    accumulator, at = 0, 0
    while True:
        operation, true, false, constant = struct.unpack_from("<HBBI", program, 8 * at)
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, constant)
            case 0x15:
                at += true if accumulator == constant else false
            case 0x35:
                at += true if accumulator >= constant else false
            case 0x45:
                at += true if accumulator & constant else false
            case 0x54:
                accumulator &= constant
            case 0x06:
                return {0x7FFF0000: ALLOW, 0x80000000: KILL}.get(constant) or constant - 0x50000
            case _:
                raise AssertionError(f"operation {operation:#x} is not known here")


class Machine:
    """`machine(name, *args)` asks the filter of one machine about a call of its table."""

    def __init__(self, name: str, files: bool = True) -> None:
        self.name, self.numbers, self.audit = name, TABLES[name], AUDIT[name]
        self.program = seccomp.build(PID, files, name)

    def __call__(self, call: str | int, *args: int) -> str | int:
        number = self.numbers[call] if isinstance(call, str) else call
        return run(self.program, number, *args, audit=self.audit)


@pytest.fixture(params=sorted(TABLES))
def machine(request: pytest.FixtureRequest) -> Machine:
    return Machine(request.param)


def test_only_calls_of_the_table_pass(machine: Machine) -> None:
    """Whatever the arguments: of all numbers, nothing but what the table names."""
    passing = {n for n in range(1024) for args in ((), (PID,), (1, 1), (0x10F00,)) if machine(n, *args) == ALLOW}
    assert passing <= set(machine.numbers.values())
    assert len(passing) > 60


def test_forbidden_calls_fail_with_an_ordinary_error(machine: Machine) -> None:
    for name, number in FORBIDDEN[machine.name].items():
        for args in ((), (PID,), (1, 1), (0x10F00,)):
            assert machine(number, *args) == EPERM, name
        assert number not in machine.numbers.values(), name


def test_another_numbering_is_killed_or_refused(machine: Machine) -> None:
    for audit in (*OTHER_AUDITS.values(), *(a for n, a in AUDIT.items() if n != machine.name)):
        for number in range(512):
            assert run(machine.program, number, audit=audit) == KILL
    for number in (*range(600), *machine.numbers.values()):
        assert machine(0x40000000 | number, PID) == EPERM  # x32 shares the audit number of x86-64


def test_files_open_for_reading_only(machine: Machine) -> None:
    calls = [("openat", 2)] + ([("open", 1)] if "open" in machine.numbers else [])
    for name, position in calls:
        for flags in (0, 0o2000000, 0o200000 | 0o2000000, 0o400000, 0o4000):  # CLOEXEC, DIRECTORY, NOFOLLOW, NONBLOCK
            assert machine(name, *[0] * position, flags) == ALLOW
        for flags in (1, 2, 3, 0o100, 0o1000, 0o2000, 0o20200002, 0o101, 1 << 40 | 1):
            assert machine(name, *[0] * position, flags) == EACCES
    blind = Machine(machine.name, files=False)
    for name, refused in (("openat", ENOENT), ("open", ENOENT), ("readlinkat", EPERM), ("readlink", EPERM)):
        if name in machine.numbers:
            assert blind(name, 0, 0, 0) == refused and machine(name, 0, 0, 0) == ALLOW
    assert all(blind(name, *[0] * position, 0o101) == EACCES for name, position in calls)
    assert blind("read") == blind("stat" if "stat" in blind.numbers else "statx") == ALLOW


def test_threads_but_no_processes(machine: Machine) -> None:
    thread = 0x3D0F00  # what the C library asks for
    assert machine("clone", thread) == ALLOW
    for flags in (17, 0, 0x4111, 0x1200011, thread & ~0x10000):
        assert machine("clone", flags) == EPERM
    for namespace in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert machine("clone", thread | namespace) == machine("clone", namespace | 17) == EPERM
    assert machine("clone3") == ENOSYS  # so that the C library falls back to clone


def test_signals_and_limits_of_itself_only(machine: Machine) -> None:
    for call in ("kill", "tgkill"):
        assert machine(call, PID, 9) == ALLOW
        for target in (0, 1, -1, -PID, PID + 1, PID - 1, 0xFFFF):
            assert machine(call, target, 9) == EPERM
    assert machine("prlimit64", 0) == machine("prlimit64", PID) == ALLOW
    assert machine("prlimit64", PID + 1) == EPERM


def test_arguments_of_the_rest(machine: Machine) -> None:
    assert [c for c in range(2000) if machine("fcntl", 3, c) == ALLOW] == [0, 1, 2, 3, 4, 1030, 1032]
    terminals = [c for c in range(0x5000, 0x5800) if machine("ioctl", 0, c) == ALLOW]
    assert terminals == [0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451]
    assert [c for c in range(100) if machine("prctl", c) == ALLOW] == [15, 16]
    pairs = [(f, k) for f in range(46) for k in range(16) if machine("socketpair", f, k) == ALLOW]
    assert pairs == [(1, 1)]
    assert machine("socketpair", 1, 1 | 0o2000000) == ALLOW


def test_a_template_is_what_the_process_adds() -> None:
    for files in (True, False):
        assert seccomp.Template(files).filled(PID).code.raw == seccomp.rest(PID, files)


@pytest.mark.parametrize(
    ("name", "header"),
    [("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), ("aarch64", "/usr/include/asm-generic/unistd.h")],
)
def test_numbers_are_those_of_the_kernel(name: str, header: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"no kernel headers at {header}: install them (Debian: linux-libc-dev) to compare")
    lines = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\s*$", Path(header).read_text(), re.MULTILINE)
    kernel = {call: int(number) for call, number in lines}
    kernel.setdefault("newfstatat", kernel.get("fstatat", -1))
    assert {c: (n, kernel.get(c)) for c, n in TABLES[name].items() if kernel.get(c) != n} == {}
    # Calls younger than the headers have one number everywhere.
    assert {c: (n, kernel.get(c)) for c, n in FORBIDDEN[name].items() if kernel.get(c, n) != n} == {}


def test_the_filters_of_server_and_program_are_together_the_filter_of_a_program(machine: Machine) -> None:
    """The kernel runs both; a call passes where both let it."""
    waiting = SERVER[machine.name]["wait4"]
    arguments = [(), (PID,), (PID + 1,), (1, 1), (0x10F00,), (0x3D0F00,), (17,), (0x20011,), (22,), (0, 0, 1), (0, 3)]
    for files in (True, False):
        whole = seccomp.build(PID, files, machine.name)
        server, rest = seccomp.server(files, machine.name), seccomp.rest(PID, files, machine.name)
        assert run(server, waiting, audit=machine.audit) == ALLOW and run(whole, waiting, audit=machine.audit) == EPERM
        for number in (*range(600), 0x40000000 | 39):
            for args in (*arguments, *((n,) for n in range(1, 100, 7) if number == machine.numbers["prctl"])):
                both = [run(program, number, *args, audit=machine.audit) for program in (server, rest)]
                refused = [answer for answer in both if answer != ALLOW]
                assert (refused or [ALLOW])[0] == run(whole, number, *args, audit=machine.audit), (number, args)
        for audit in (*OTHER_AUDITS.values(), *(a for n, a in AUDIT.items() if n != machine.name)):
            assert run(server, 39, audit=audit) == run(rest, 39, audit=audit) == KILL
