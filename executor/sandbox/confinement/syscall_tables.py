"""System-call numbers of the allow-list by machine. A name that a machine lacks is absent."""

# fmt: off
TABLES: dict[str, dict[str, int]] = {
    "x86_64": {
        "read": 0, "write": 1, "lseek": 8, "fstat": 5, "newfstatat": 262, "mmap": 9, "munmap": 11, "brk": 12,
        "futex": 202, "close": 3, "clock_gettime": 228, "madvise": 28, "mprotect": 10, "mremap": 25, "readv": 19,
        "writev": 20, "pread64": 17, "pwrite64": 18, "stat": 4, "lstat": 6, "statx": 332, "access": 21,
        "faccessat": 269, "faccessat2": 439, "getdents64": 217, "getcwd": 79, "readlink": 89, "readlinkat": 267,
        "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "rt_sigpending": 127, "rt_sigtimedwait": 128,
        "rt_sigsuspend": 130, "sigaltstack": 131, "dup": 32, "dup2": 33, "dup3": 292, "pipe": 22, "pipe2": 293,
        "poll": 7, "ppoll": 271, "select": 23, "pselect6": 270, "epoll_create1": 291, "epoll_ctl": 233,
        "epoll_wait": 232, "epoll_pwait": 281, "eventfd2": 290, "sendto": 44, "recvfrom": 45, "shutdown": 48,
        "nanosleep": 35, "clock_nanosleep": 230, "clock_getres": 229, "gettimeofday": 96, "time": 201, "times": 100,
        "getitimer": 36, "setitimer": 38, "alarm": 37, "pause": 34, "getpid": 39, "gettid": 186, "getppid": 110,
        "getuid": 102, "geteuid": 107, "getgid": 104, "getegid": 108, "getgroups": 115, "getresuid": 118,
        "getresgid": 120, "getpgrp": 111, "getpgid": 121, "getsid": 124, "uname": 63, "sysinfo": 99, "getrusage": 98,
        "getrlimit": 97, "setrlimit": 160, "getpriority": 140, "set_robust_list": 273, "rseq": 334,
        "set_tid_address": 218, "sched_yield": 24, "sched_getaffinity": 204, "getcpu": 309, "getrandom": 318,
        "membarrier": 324, "exit": 60, "exit_group": 231, "restart_syscall": 219, "chdir": 80, "fchdir": 81,
        "umask": 95, "close_range": 436, "ftruncate": 77, "fsync": 74, "fdatasync": 75, "clone": 56, "clone3": 435,
        "kill": 62, "tgkill": 234, "prlimit64": 302, "fcntl": 72, "ioctl": 16, "prctl": 157, "socketpair": 53,
        "openat": 257, "open": 2,
    },
    "aarch64": {
        "read": 63, "write": 64, "lseek": 62, "fstat": 80, "newfstatat": 79, "mmap": 222, "munmap": 215, "brk": 214,
        "futex": 98, "close": 57, "clock_gettime": 113, "madvise": 233, "mprotect": 226, "mremap": 216, "readv": 65,
        "writev": 66, "pread64": 67, "pwrite64": 68, "statx": 291, "faccessat": 48, "faccessat2": 439,
        "getdents64": 61, "getcwd": 17, "readlinkat": 78, "rt_sigaction": 134, "rt_sigprocmask": 135,
        "rt_sigreturn": 139, "rt_sigpending": 136, "rt_sigtimedwait": 137, "rt_sigsuspend": 133, "sigaltstack": 132,
        "dup": 23, "dup3": 24, "pipe2": 59, "ppoll": 73, "pselect6": 72, "epoll_create1": 20, "epoll_ctl": 21,
        "epoll_pwait": 22, "eventfd2": 19, "sendto": 206, "recvfrom": 207, "shutdown": 210, "nanosleep": 101,
        "clock_nanosleep": 115, "clock_getres": 114, "gettimeofday": 169, "times": 153, "getitimer": 102,
        "setitimer": 103, "getpid": 172, "gettid": 178, "getppid": 173, "getuid": 174, "geteuid": 175, "getgid": 176,
        "getegid": 177, "getgroups": 158, "getresuid": 148, "getresgid": 150, "getpgid": 155, "getsid": 156,
        "uname": 160, "sysinfo": 179, "getrusage": 165, "getrlimit": 163, "setrlimit": 164, "getpriority": 141,
        "set_robust_list": 99, "rseq": 293, "set_tid_address": 96, "sched_yield": 124, "sched_getaffinity": 123,
        "getcpu": 168, "getrandom": 278, "membarrier": 283, "exit": 93, "exit_group": 94, "restart_syscall": 128,
        "chdir": 49, "fchdir": 50, "umask": 166, "close_range": 436, "ftruncate": 46, "fsync": 82, "fdatasync": 83,
        "clone": 220, "clone3": 435, "kill": 129, "tgkill": 131, "prlimit64": 261, "fcntl": 25, "ioctl": 29,
        "prctl": 167, "socketpair": 199, "openat": 56,
    },
}
# fmt: on
# Of the fork server, never of a program.
SERVER: dict[str, dict[str, int]] = {"x86_64": {"wait4": 61}, "aarch64": {"wait4": 260}}
