# ruff: noqa: E501  (a table of programs, a row each)
"""Programs that look for the answers, or for a way out, past what the levels of isolation close.

Each returns what it got hold of, which must be nothing. The files that it looks for can be read by any user of the
host, so that only the sandbox is in the way.
"""

from pathlib import Path

from stepcoder import curriculum
from tests.executor.hostile.base import LIBC, PASSED, TRY, WRONG, Hostile, returns
from tests.executor.hostile.canaries import LITTER, SECRET, Facts

_HELDOUT = Path(curriculum.__file__).parent / "starter" / "heldout.jsonl"
# `let_through(...)`: of the calls by number (x86_64, aarch64; -1 where a machine has none), those that the filter lets
# through. With arguments of -1 a call that does get through fails, and changes nothing.
_CALLS = (
    LIBC
    + """
import platform
def let_through(*calls):
    column = ("x86_64", "aarch64").index(platform.machine())
    found = []
    for call in calls:
        ctypes.set_errno(0)
        if call[column] >= 0 and (libc.syscall(call[column], *[-1] * 6) != -1 or ctypes.get_errno() != 1): found.append(call)
    return found
def f(x): return let_through({calls})
"""
)
_PACKAGES = (
    "('stepcoder', 'stepcoder.curriculum', 'stepcoder.curriculum.starter', 'stepcoder.executor', 'curriculum', "
    "'curriculum.starter', 'executor', 'rollout', 'learner', 'deploy', 'benchmarks', 'tests')"
)


def _seen(actions: str) -> str:
    """A program whose result is what `actions`, a list of functions, bring."""
    return (
        TRY
        + f"""
def brings(action):
    try: return got(action)
    except (ImportError, AttributeError, ValueError, TypeError, KeyError, RuntimeError): return None
def f(x): return [str(r)[:80] for r in map(brings, {actions}) if r]
"""
    )


def _refused(name: str, calls: str, threat: int = 44) -> Hostile:
    return Hostile(threat, name, returns([]), _CALLS.replace("{calls}", calls), PASSED)


def _answers(facts: Facts) -> list[Hostile]:
    files = [str(_HELDOUT), *facts.public]
    openers = "import bz2, codecs, fileinput, io, linecache, lzma, mmap, gzip, runpy, tokenize, zipfile\n"
    return [
        Hostile(15, "imports of this project", returns([]), "import importlib\n" + _seen(f"[lambda n=n: importlib.import_module(n) for n in {_PACKAGES}]"), PASSED),
        Hostile(15, "resources of this project", returns([]), "import importlib.resources\n" + _seen(f"[lambda n=n: list(importlib.resources.files(n).iterdir()) for n in {_PACKAGES}]"), PASSED),
        Hostile(15, "package data of this project", returns([]), "import pkgutil\n" + _seen(f"[lambda n=n, d=d: pkgutil.get_data(n, d) for n in {_PACKAGES} for d in ('starter/heldout.jsonl', 'heldout.jsonl', '__init__.py')]"), PASSED),
        Hostile(15, "metadata of this project", returns([]), "import importlib.metadata\n" + _seen("[lambda: importlib.metadata.distribution('stepcoder').files, lambda: [d.metadata['Name'] for d in importlib.metadata.distributions()], lambda: importlib.metadata.entry_points(name='stepcoder')]"), PASSED),
        Hostile(15, "this project by guessed paths", returns([]), "import sys\n" + _seen("[lambda p=p, n=n: open(os.path.join(p, n)).read(9) for p in [*sys.path, *[os.path.dirname(os.__file__) + '/' + d for d in ('site-packages', 'dist-packages')], sys.prefix, sys.base_prefix, sys.exec_prefix, '/usr/lib/python3/dist-packages', '/app', '/src', '/workspace', '.'] for n in ('curriculum/starter/heldout.jsonl', 'heldout.jsonl', 'starter/train.jsonl', 'curriculum/__init__.py')]"), PASSED),
        Hostile(15, "every way to open a file", returns([]), openers + _seen(f"[a for p in {files!r} for a in (lambda: open(p).read(), lambda: io.open_code(p).read(), lambda: io.FileIO(p).read(), lambda: codecs.open(p).read(), lambda: linecache.getlines(p), lambda: list(fileinput.input([p])), lambda: tokenize.open(p).read(), lambda: gzip.open(p).peek(), lambda: os.open(p, os.O_RDONLY | os.O_NOATIME), lambda: os.open(p, os.O_RDONLY | os.O_DIRECT), lambda: open(p, opener=lambda n, f: os.open(n, f | os.O_CLOEXEC)).read(), lambda: runpy.run_path(p), lambda: open(p.encode()).read(), lambda: open('/.' + p).read(), lambda: open('//' + p).read())]"), PASSED),
        Hostile(15, "files by the C library", returns([]), LIBC + "libc.fopen.restype = ctypes.c_void_p\n" + _seen(f"[a for p in {files!r} for a in (lambda: libc.fopen(p.encode(), b'r'), lambda: libc.open(p.encode(), 0) >= 0, lambda: libc.openat(-100, p.encode(), 0) >= 0, lambda: libc.open64(p.encode(), 0) >= 0)]"), PASSED),
        Hostile(15, "a file as a library", returns([]), "import ctypes\n" + TRY + f"def f(x):\n    found = []\n    for path in {files!r}:\n        try: ctypes.CDLL(path)\n        except OSError as error:\n            if 'ELF' in str(error) or 'short' in str(error): found.append(path)\n    return found", PASSED),
        Hostile(15, "a file as a data base", returns([]), "import sqlite3\n" + TRY + f"def f(x):\n    found = []\n    for path in {files!r}:\n        try: sqlite3.connect(f'file:{{path}}?mode=ro', uri=True).execute('select 1 from x')\n        except sqlite3.DatabaseError as error:\n            if 'not a database' in str(error): found.append(path)\n    return found", PASSED),
        Hostile(15, "files below an opened folder", returns([]), _seen(f"[a for p in {files!r} for d, n in [os.path.split(p)] for a in (lambda: os.open(n, os.O_RDONLY, dir_fd=os.open(d, os.O_PATH)), lambda: (os.chdir(d), open(n).read()), lambda: (os.fchdir(os.open(d, os.O_PATH)), open(n).read()), lambda: open(f'/proc/self/fd/{{os.open(p, os.O_PATH)}}').read(), lambda: open(f'/dev/fd/{{os.open(p, os.O_PATH)}}').read(), lambda: os.pread(os.open(p, os.O_PATH), 9, 0))]"), PASSED),
        Hostile(15, "files by other roots", returns([]), _seen(f"[lambda p=p, r=r: open(r + p).read(9) for p in {files!r} for r in ('/proc/1/root', '/proc/self/root', '/proc/thread-self/root', '/proc/{facts.parent}/root', '/proc/{facts.parent}/cwd/..', '/proc/self/cwd', '/..')]"), PASSED),
        Hostile(15, "links to files", returns([]), _seen(f"[lambda m=m: m({facts.public[0]!r}, {facts.public[0] + LITTER!r}) or open({facts.public[0] + LITTER!r}).read(9) for m in (os.symlink, os.link)]"), PASSED),
        Hostile(15, "installed packages", returns([]), "import sys\n" + _seen("[lambda p=p: open(p).read(9) for d in ('site-packages', 'dist-packages') for b in {os.path.dirname(os.__file__), *[os.path.join(s, 'lib', 'python%d.%d' % sys.version_info[:2]) for s in (sys.prefix, sys.base_prefix)], '/usr/lib/python3'} for r in [os.path.join(b, d)] for p in [os.path.join(r, n, '__init__.py') for n in (got(lambda: os.listdir(r)) or ['pip', 'numpy', 'setuptools', 'pytest', 'pydantic'])]]"), PASSED),
        Hostile(15, "words on the command lines of processes", returns([]), _seen(f"[lambda p=p, n=n: open(f'/proc/{{p}}/{{n}}').read() for p in [1, {facts.parent}, {facts.process}, 'self', *(got(lambda: os.listdir('/proc')) or [])] for n in ('cmdline', 'environ', 'comm', 'status', 'io', 'stat')]"), PASSED),
        Hostile(15, "maps of its own process", returns([]), _seen("[lambda n=n: open(f'/proc/self/{n}', 'rb').read(9) for n in ('maps', 'smaps', 'numa_maps', 'pagemap', 'mem', 'auxv', 'mountinfo', 'mounts', 'cgroup', 'limits', 'syscall', 'wchan', 'stack', 'uid_map', 'task/1/maps')]"), PASSED),
        Hostile(15, "a pipe of the host", returns([]), _seen(f"[lambda: os.read(os.open({facts.fifo!r}, os.O_RDONLY | os.O_NONBLOCK), 99)]"), PASSED),
        Hostile(15, "devices of the host", returns([]), _seen("[lambda n=n: os.open('/dev/' + n, os.O_RDONLY | os.O_NONBLOCK) for n in ('ptmx', 'pts/ptmx', 'pts/0', 'tty', 'console', 'mem', 'kmsg', 'kvm', 'fuse', 'userfaultfd', 'net/tun', 'vda', 'sda', 'loop-control', 'hpet', 'rtc0', 'nvidia0', 'dri/card0', 'shm', 'mqueue', 'full')]"), PASSED),
        Hostile(15, "what the system says of itself", returns([]), "import pwd, grp\n" + _seen("[*[lambda n=n: open(n).read(9) for n in ('/etc/passwd', '/etc/hostname', '/etc/hosts', '/etc/machine-id', '/etc/resolv.conf', '/sys/class/net', '/sys/kernel/notes', '/proc/version', '/proc/cpuinfo', '/proc/net/unix', '/proc/net/tcp', '/proc/kallsyms', '/proc/sysvipc/shm', '/proc/keys', '/run/secrets', '/var/log/syslog')], pwd.getpwall, grp.getgrall]"), PASSED),
    ]  # fmt: skip


def _memory(facts: Facts) -> list[Hostile]:
    # Looks for a shifted word in shifted copies of the pages: neither the program nor its copies contain the word.
    shifted = bytes(byte + 1 for byte in SECRET.encode())
    walk = f"""
{LIBC}
import array, mmap, sys
up, down = (bytes(i + step & 255 for i in range(256)) for step in (1, -1))
def f(x):
    reader, writer = os.pipe()
    def there(page): return libc.write(writer, ctypes.c_void_p(page), 1) == 1 and os.read(reader, 1)
    for place in START:
        for step in (4096, -4096):
            page = place & ~4095
            for _ in range(2000):
                if page <= 0 or not there(page): break
                if {shifted!r} in ctypes.string_at(page, 4096).translate(up): return {shifted!r}.translate(down).decode()
                page += step
    return ''
"""
    inherited = "[n for n in range(3, 64) if got(lambda: os.fstat(n))]"
    return [
        Hostile(6, "memory around its objects", returns(SECRET), walk.replace("START", "(id(object()), id(f), id(sys), id('x' * 9), id(type))"), WRONG),
        Hostile(6, "memory around its buffers", returns(SECRET), walk.replace("START", "(array.array('b', bytes(1 << 20)).buffer_info()[0], ctypes.addressof(ctypes.c_char.from_buffer(mmap.mmap(-1, 4096))), ctypes.addressof(ctypes.create_string_buffer(9)))"), WRONG),
        Hostile(6, "memory around the libraries", returns(SECRET), walk.replace("START", "[ctypes.cast(n, ctypes.c_void_p).value for n in (libc.printf, libc.malloc, ctypes.pythonapi.Py_GetVersion)]"), WRONG),
        Hostile(16, "inherited descriptors opened anew", returns([]), _seen(f"[lambda n=n, r=r: os.open(f'{{r}}/{{n}}', os.O_RDWR) for n in {inherited} for r in ('/proc/self/fd', '/dev/fd', '/proc/{facts.parent}/fd')]"), PASSED),
        Hostile(16, "inherited descriptors written to", returns([]), _seen(f"[lambda n=n: os.write(n, b'') is not None and os.pwrite(n, b'x', 0) for n in {inherited} if os.fstat(n).st_size]"), PASSED),
        Hostile(16, "descriptors sent and copied", returns([]), "import array, socket\n" + _seen("[lambda: socket.send_fds(socket.socketpair()[0], [b'x'], [0]), lambda: os.sendfile(1, 0, 0, 9), lambda: os.splice(0, 1, 9), lambda: os.copy_file_range(0, 1, 9), lambda: os.dup(99)]"), PASSED),
        Hostile(17, "named memory of others", returns([]), LIBC + "from multiprocessing import shared_memory\n" + _seen("[*[lambda n=n, f=f: libc.shm_open(n, f, 0o666) >= 0 for n in (b'/LITTER', b'/sem.LITTER') for f in (0, 2, 0o102)], lambda: libc.sem_open(b'/LITTER', 0o100, 0o666, 1), lambda: shared_memory.SharedMemory('LITTER'), lambda: libc.mq_open(b'/LITTER', 0o102, 0o666, 0) >= 0]".replace('LITTER', LITTER)), PASSED),
        Hostile(17, "memory and queues of System V by number", returns([]), LIBC + _seen("[a for n in range(64) for a in (lambda: libc.shmat(n, 0, 0) != -1, lambda: libc.msgrcv(n, ctypes.create_string_buffer(99), 9, 0, 0o4000) >= 0, lambda: libc.semctl(n, 0, 12) >= 0, lambda: libc.shmctl(n, 13, ctypes.create_string_buffer(999)) >= 0)]"), PASSED),
        Hostile(42, "a pair connected elsewhere", returns([]), "import socket\n" + _seen(f"[lambda a=a, k=k: getattr(socket.socketpair()[0], k)(*([b'x', a] if k == 'sendto' else [a])) or 'done' for a in ({facts.abstract_socket!r}, {facts.unix_socket!r}) for k in ('connect', 'bind', 'sendto')]"), PASSED),
    ]  # fmt: skip


def _calls() -> list[Hostile]:
    return [
        _refused("watches on files", "(253, -1), (294, 26), (254, 27), (300, 262), (301, 263)"),
        _refused("keyrings", "(248, 217), (249, 218), (250, 219)"),
        _refused("files by handle and by new calls", "(303, 264), (304, 265), (428, 428), (430, 430), (433, 433), (432, 432), (429, 429), (437, 437), (457, 457), (458, 458)"),
        _refused("asynchronous input", "(425, 425), (426, 426), (427, 427), (206, 0), (209, 2)"),
        _refused("performance counters, filters and page faults", "(298, 241), (321, 280), (323, 282), (317, 277)"),
        _refused("processes by descriptor", "(434, 434), (438, 438), (424, 424), (440, 440), (448, 448), (312, 272), (310, 270), (311, 271), (101, 117)", 18),
        _refused("files in memory", "(319, 279), (447, 447), (322, 281), (29, 194), (30, 196), (216, 234)"),
        _refused("clocks and timers by number", "(222, 107), (283, 85), (289, 74), (227, 112), (164, 170), (159, 171)"),
        _refused("the machine itself", "(169, 142), (246, 104), (320, 294), (167, 224), (170, 161), (171, 162), (172, -1), (173, -1), (175, 105), (103, 116), (163, 89), (135, 92), (154, -1)"),
        _refused("moving data between descriptors", "(40, 71), (275, 76), (276, 77), (278, 75), (326, 285), (295, 69), (296, 70), (46, 211), (47, 212), (299, 243), (307, 269)"),
        _refused("names, owners and modes of files", "(76, 45), (86, -1), (88, -1), (90, -1), (92, -1), (133, -1), (132, -1), (280, 88), (268, 53), (260, 54), (265, 37), (266, 36), (316, 276), (188, 5), (285, 47)"),
        Hostile(44, "switches of the process", returns([]), LIBC + "def f(x): return [n for n, a in ((4, 1), (1, 9), (8, 1), (24, 0), (28, 0), (29, 1), (35, 1), (36, 1), (38, 1), (41, 1), (47, 2), (52, 0), (53, 0), (54, 1), (0x59616d61, -1)) if libc.prctl(n, a, 0, 0, 0) == 0]", PASSED),
    ]  # fmt: skip


def isolation(facts: Facts) -> list[Hostile]:
    """The rows of this file, for a host with these canaries."""
    return [*_answers(facts), *_memory(facts), *_calls()]
