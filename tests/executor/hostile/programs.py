# ruff: noqa: E501  (a table of programs, a row each)
"""Hostile and odd programs, by the number of the threat that each stands for, with the verdict that it must get.

1-8 forging, 9 coverage, 10-12 state and markers, 13-14 half-right output, 15-18 reading, 19-26 time, 27-33 memory, processes and
disk, 34-38 output and values, 39-41 compiling, 42-48 the system. Three concern the service and have tests of their own:
49 a worker that dies, 50 a sandbox that cannot start, 51 suites that cannot judge.
"""

from dataclasses import dataclass

from stepcoder.executor.report import Verdict
from stepcoder.executor.suite import Case, Suite
from tests.executor.hostile.canaries import LITTER, SECRET, Facts
from tests.executor.hostile.process import PLAIN, carried

PASSED, WRONG, RUNTIME = Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR
TIMEOUT, MEMORY, OUTPUT, COMPILE = Verdict.TIMEOUT, Verdict.MEMORY_LIMIT, Verdict.OUTPUT_LIMIT, Verdict.COMPILE_ERROR


@dataclass(frozen=True, slots=True)
class Hostile:
    """One program. `slow`: it ends by wall time.

    `blind`: the verdict at level 3, where no file can be opened, if it is another one.
    """

    threat: int
    name: str
    suite: Suite
    program: str
    expected: Verdict
    blind: Verdict | None = None
    slow: bool = False

    def verdict(self, level: int) -> Verdict:
        return self.blind or self.expected if level == 3 else self.expected


def stdin(*pairs: tuple[str, str]) -> Suite:
    return Suite("stdin", tuple(Case(given, wanted) for given, wanted in pairs))


def call(entry: str, *pairs: tuple[list, object]) -> Suite:
    return Suite("call", tuple(Case(given, wanted) for given, wanted in pairs), entry)


ECHO = stdin(("7\n", "7\n"))
ECHO2 = stdin(("7\n", "7\n"), ("8\n", "8\n"))
TWICE = call("f", ([3], 6))
TWICE2 = call("f", ([3], 6), ([4], 8))


# Judged wrong for certain; what it printed is compared between the levels.
SAME = stdin(("", "?"))


def returns(value: object) -> Suite:
    return call("f", ([3], value))


RIGHT_STDIN = ("print(int(input()) * 2)", stdin(("2", "4"), ("3", "6")))
RIGHT_CALL = ("import string\ndef f(x):\n    y = x\n    return x + y\n", TWICE2)

_EQUAL = """
class E({base}):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return hash(6)
    def __bool__(self): return True
    def __repr__(self): return "6"
    __str__ = __repr__
    def __float__(self): return 6.0
    def __int__(self): return 6
    __index__ = __len__ = __int__
    def __iter__(self): return iter([6])
def f(x): return E()
"""
# `got(action)`: what an action brings, None where it is refused. `seen(...)`: the results that are there.
_TRY = """
import os
def got(action):
    try:
        return action()
    except OSError:
        return None
def seen(actions):
    return [str(r) for r in map(got, actions) if r is not None]
"""
# Machine code of the host's own kind; other machines run the harmless end of the branch.
_NATIVE = """
import ctypes, mmap, platform, signal
def native(code):
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
_LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
_FRAME = """
import os, struct, json
def send(body, fds=range(3, 64)):
    for fd in fds:
        try: os.write(fd, struct.pack('<I', len(body)) + body)
        except OSError: pass
"""

_BOARD = """
import os, struct, sys
def board():
    frame = sys._getframe()
    while 'self' not in frame.f_locals or not hasattr(frame.f_locals['self'], '_board'): frame = frame.f_back
    return frame.f_locals['self']._board
"""


# So long that the process of the program compiles it.
APART = "#" + " " * (1 << 16) + "\n"


def _forging() -> list[Hostile]:
    rows = [
        Hostile(1, f"equal {base}", TWICE, _EQUAL.format(base=base), WRONG)
        for base in ("object", "int", "str", "list", "float", "dict", "tuple", "set", "bytes", "complex")
    ]
    return rows + [
        Hostile(1, "a text that prints as another", returns("6"), "class S(str):\n    def __str__(s): return '6'\n    encode = __repr__ = __format__ = __str__\ndef f(x): return S('5')", WRONG),
        Hostile(1, "right values in subclasses", returns([1, "a", {"k": 2.5}]), "class I(int): pass\nclass S(str): pass\nclass F(float): pass\nclass D(dict): pass\ndef f(x): return [I(1), S('a'), D({S('k'): F(2.5)})]", PASSED),
        Hostile(2, "pickles to code", TWICE, "class E:\n    def __reduce__(s): return (eval, ('__import__(\"os\").abort()',))\n    def __getstate__(s): raise SystemExit\ndef f(x): return E()", WRONG),
        Hostile(2, "poses as numpy", TWICE, "class E:\n    def tolist(s): return 5\nE.__module__ = 'numpy'\ndef f(x): return E()", WRONG),
        Hostile(2, "endless tolist", TWICE, "class E:\n    def tolist(s): return s\nE.__module__ = 'numpy'\ndef f(x): return E()", OUTPUT),
        Hostile(2, "lies about its class", TWICE, "class E:\n    __class__ = property(lambda s: int)\n    def __add__(s, o): return 6\ndef f(x): return E()", WRONG),
        Hostile(3, "nan", returns(1.5), "def f(x): return float('nan')", WRONG),
        Hostile(3, "infinity", returns(1.5), "def f(x): return float('inf')", WRONG),
        Hostile(3, "nan inside a list", returns([1.5, 2.5]), "def f(x): return [float('nan')] * 2", WRONG),
        Hostile(3, "__float__ in tolerance", returns(1.5), "class E:\n    def __float__(s): return 1.5\n    def __sub__(s, o): return 0.0\n    __rsub__ = __sub__\n    def __lt__(s, o): return True\n    __le__ = __lt__\ndef f(x): return E()", WRONG),
        Hostile(3, "prints nan", stdin(("", "1.5\n")), "print('nan')", WRONG),
        Hostile(3, "prints nan where nan is expected", stdin(("", "nan\n")), "print('nan')", WRONG),
        Hostile(3, "too large for a float", returns(1.5), "def f(x): return 10 ** 400", WRONG),
        Hostile(4, "exit at import", TWICE, "import sys\nsys.exit(0)\ndef f(x): return 2 * x", RUNTIME),
        Hostile(4, "exit in the call", TWICE, "import sys\ndef f(x): sys.exit(0)", RUNTIME),
        Hostile(4, "os._exit in the call", TWICE, "import os\ndef f(x): os._exit(0)", RUNTIME),
        Hostile(4, "os._exit in a thread", TWICE, "import os, threading, time\ndef f(x):\n    threading.Thread(target=os._exit, args=(0,)).start()\n    time.sleep(1)", RUNTIME),
        Hostile(4, "os._exit before output", ECHO, "import os\nprint(input())\nos._exit(0)", WRONG),
        Hostile(4, "os._exit after output", ECHO, "import os\nprint(input(), flush=True)\nos._exit(0)", PASSED),
        Hostile(4, "os._exit in an exit handler", ECHO, "import atexit, os\natexit.register(os._exit, 0)\nprint(input(), end='!')", WRONG),
        Hostile(4, "exit in __del__", ECHO, "import os\nclass A:\n    def __del__(s): os._exit(0)\na = A()\nraise ValueError", RUNTIME),
        Hostile(4, "exit() and quit()", ECHO, "print(input())\nexit()", PASSED),
        Hostile(4, "exit with a text", ECHO, "import sys\nprint(input())\nsys.exit('sorry')", RUNTIME),
        Hostile(4, "exits as a coroutine", TWICE, "def f(x):\n    raise GeneratorExit", RUNTIME),
        Hostile(5, "base exception", TWICE, "class B(BaseException): pass\ndef f(x): raise B", RUNTIME),
        Hostile(5, "poses as done", TWICE, "def f(x): raise SystemExit(None)", RUNTIME),
        Hostile(5, "interrupt", TWICE, "def f(x): raise KeyboardInterrupt", RUNTIME),
        Hostile(5, "exception without a message", TWICE, "class B(Exception):\n    def __str__(s): raise s\n    __repr__ = __str__\ndef f(x): raise B", RUNTIME),
        Hostile(5, "exception group", TWICE, "def f(x): raise BaseExceptionGroup('g', [SystemExit(0), KeyboardInterrupt()])", RUNTIME),
        Hostile(5, "exception whose class answers everything", TWICE, "class M(type):\n    def __getattribute__(c, n): raise SystemExit(0)\nclass B(BaseException, metaclass=M): pass\ndef f(x): raise B", RUNTIME),
        Hostile(5, "surrogates in the message", TWICE, "def f(x): raise ValueError('\\ud800' * 9)", RUNTIME),
        Hostile(6, "stack and gc walk", returns(SECRET), "import sys, gc\ndef f(x):\n    frame, found = sys._getframe(), []\n    while frame:\n        found += [v for v in frame.f_locals.values()] + [v for v in frame.f_globals.values()]\n        frame = frame.f_back\n    gc.unfreeze()\n    found += gc.get_objects()\n    return next((v for v in found if type(v) is str and v.startswith('the-exp')), '')", WRONG),
        Hostile(6, "traceback walk", returns(SECRET), "import sys\ndef f(x):\n    try: raise OSError\n    except OSError as e: t = e.__traceback__\n    frame, found = t.tb_frame, []\n    while frame:\n        found.append(repr(list(frame.f_locals.values())))\n        frame = frame.f_back\n    text = ' '.join(found)\n    at = text.find(''.join(reversed('tcepxe-eht')))\n    return text[at:at + 19] if at >= 0 else ''", WRONG),
        Hostile(6, "frames of all threads", returns(SECRET), "import sys\ndef f(x):\n    found = [v for frame in sys._current_frames().values() for v in [*frame.f_locals.values(), *frame.f_globals.values()]]\n    return next((v for v in found if type(v) is str and v.startswith('the-exp')), '')", WRONG),
        Hostile(6, "its own memory", returns(SECRET), _LIBC + "def f(x):\n    libc.sbrk.restype = ctypes.c_void_p\n    end = libc.sbrk(0)\n    heap = ctypes.string_at(end - 400_000, 400_000)\n    word = bytes(reversed(b'tuptuo-detcepxe-eht'))\n    return word.decode() if word in heap else ''", WRONG),
        Hostile(7, "patched builtins", TWICE, "import builtins, json, operator, math\nbuiltins.isinstance = lambda *a: True\nbuiltins.len = lambda a: 0\nbuiltins.type = None\njson.dumps = lambda *a, **k: '{}'\noperator.eq = lambda a, b: True\nmath.isclose = lambda *a, **k: True\ndef f(x): return 5", WRONG),
        Hostile(7, "emptied modules", TWICE, "import sys\nsys.modules.clear()\ndef f(x): return 5", WRONG),
        Hostile(7, "replaced modules", TWICE2, "import sys\nclass Any:\n    def __getattr__(s, n): return lambda *a, **k: True\nfor name in list(sys.modules): sys.modules[name] = Any()\ndef f(x): return 5", WRONG),
        Hostile(7, "the harness patched through its frame", TWICE, "import sys\ndef f(x):\n    frame = sys._getframe().f_back\n    while frame:\n        for name in list(frame.f_globals):\n            if not name.startswith('__'): frame.f_globals[name] = lambda *a, **k: 6\n        frame = frame.f_back\n    return 5", RUNTIME),
        Hostile(7, "a module beside the program", ECHO, "open('json.py', 'w').write('loads = None')\nprint(input())", RUNTIME),
        Hostile(7, "builtins of later tests", ECHO2, "import builtins, os\nx = input()\nprint(x)\nbuiltins.exec = builtins.compile = builtins.print = builtins.input = None\nos.read = os.write = os.dup2 = None", PASSED),
        Hostile(8, "names of the harness", TWICE, "__cov__ = __mark__ = Harness = _send = frame = None\ndef f(x): return 2 * x", PASSED),
        Hostile(8, "metaclass with everything", TWICE, "class M(type):\n    def __getattr__(c, n): return 6\n    def mro(c): return [c, object]\nclass E(metaclass=M):\n    def __getattr__(s, n): return lambda *a: 6\ndef f(x): return E()", WRONG),
        Hostile(8, "cleared globals", TWICE, "def f(x):\n    globals().clear()\n    return 2 * x", PASSED),
        Hostile(8, "an entry point that is everything", TWICE, "class F:\n    def __call__(s, *a): return s\n    def __getattr__(s, n): return s\nf = F()", WRONG),
        Hostile(9, "trace turned off", TWICE, "import sys, threading\nsys.settrace(None)\nsys.setprofile(None)\nthreading.settrace(None)\ndef f(x): return 5", WRONG),
        Hostile(9, "coverage written", TWICE, "import builtins\nfor name in dir(builtins):\n    if 'cov' in name:\n        for i in range(100): getattr(builtins, name)[i] = 1\ndef f(x): return 5", WRONG),
        Hostile(9, "a failing trace function", TWICE, "import sys\ndef t(*a): raise SystemExit(0)\ndef f(x):\n    sys.settrace(t)\n    return (lambda: 5)()", RUNTIME),
        Hostile(9, "a trace function that stays", TWICE2, "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)\ndef f(x): return 2 * x", PASSED),
    ]  # fmt: skip


def _state() -> list[Hostile]:
    return [
        Hostile(10, "arguments mutated", call("f", ([[]], 1), ([[]], 1), ([[5]], 2)), "def f(x):\n    x.append(1)\n    return len(x)", PASSED),
        Hostile(10, "arguments kept and mutated", call("f", ([[1]], [1]), ([[1]], [1])), "import math\ndef f(x):\n    kept = math.__dict__.setdefault('kept', [])\n    kept.append(x)\n    result = list(x)\n    for k in kept: k.append(9)\n    return result", PASSED),
        Hostile(11, "globals kept", call("f", ([0], 1), ([0], 1)), "n = 0\ndef f(x):\n    global n\n    n += 1\n    return n", PASSED),
        Hostile(11, "state in a module", call("f", ([0], 1), ([0], 1), ([0], 1)), "import math\ndef f(x):\n    math.seen = getattr(math, 'seen', 0) + 1\n    return math.seen", PASSED),
        Hostile(11, "state in builtins", call("f", ([0], 1), ([0], 1)), "import builtins\ndef f(x):\n    builtins.seen = getattr(builtins, 'seen', 0) + 1\n    return builtins.seen", PASSED),
        Hostile(11, "state in limits and path", call("f", ([0], True), ([0], True)), "import sys, decimal\ndef f(x):\n    fresh = sys.getrecursionlimit() == 1000 and '/x' not in sys.path and decimal.getcontext().prec == 28\n    sys.setrecursionlimit(5000)\n    sys.path.append('/x')\n    decimal.getcontext().prec = 5\n    return fresh", PASSED),
        Hostile(11, "state in random numbers", call("f", ([0], True), ([0], True)), "import random\nwanted = random.Random(0).random()\ndef f(x): return random.random() == wanted", PASSED),
        Hostile(12, "a forged frame on every descriptor", TWICE, _FRAME + "def f(x):\n    send(b'{\"t\": 0, \"done\": true, \"dirty\": false}')\n    return 0", WRONG),
        Hostile(12, "a forged failure of the sandbox", TWICE, _FRAME + "def f(x):\n    send(b'{\"infra\": \"out of order\"}')\n    return 0", WRONG),
        Hostile(12, "a forged error with parts of the wrong type", TWICE, _FRAME + "def f(x):\n    send(b'{\"t\": 0, \"error\": ' + b'[' * 900 + b']' * 900 + b', \"kind\": {}, \"line\": -1e999}')\n    os._exit(0)", RUNTIME),
        Hostile(12, "fake result lines", ECHO, "print(input())\nprint('{\"verdict\": \"passed\"}')", WRONG),
        Hostile(12, "wrong answers put on the board", TWICE2, _BOARD + "def f(x):\n    for _ in range(2): board().put({'value': 7, 'dirty': False, 'lines': '', 'cpu': 0.0, 'wall': 0.0})\n    board().finish()\n    os._exit(0)", WRONG),
        Hostile(12, "the board says done without an answer", TWICE2, _BOARD + "def f(x):\n    board().finish()\n    os._exit(0)", RUNTIME),
        Hostile(12, "a board with more answers than it holds", TWICE2, _BOARD + "def f(x):\n    board()._memory[:8] = b'\\xff' * 8\n    board()._memory[8:16] = b'\\xff' * 8\n    os._exit(0)", RUNTIME),
        Hostile(12, "an answer that is no JSON", TWICE2, _BOARD + "def f(x):\n    board()._memory[:24] = struct.pack('<4I', 1, 1, 8, 0) + b'[[[[[[[['\n    os._exit(0)", RUNTIME),
        Hostile(12, "a refusal to compile put on the board", TWICE2, _BOARD + "def f(x):\n    b = board(); b.start(); b.put({'error': 'x' * 9999, 'line': 1}); b.finish()\n    os._exit(0)", RUNTIME),
        Hostile(12, "answers of the wrong types on the board", TWICE2, _BOARD + "def f(x):\n    for v in ([[]], {'t': 3}): board().put({'value': v, 'dirty': [], 'lines': 7, 'cpu': 'x', 'wall': -1e999, 'error': {}})\n    board().finish()\n    os._exit(0)", RUNTIME),
        Hostile(12, "a time that is no float", TWICE2, _BOARD + "def f(x):\n    for _ in range(2): board().put({'value': 6, 'dirty': False, 'lines': '', 'cpu': 10**400, 'wall': True})\n    board().finish()\n    os._exit(0)", WRONG),
        Hostile(12, "an integer without measure", TWICE, _BOARD + "def f(x):\n    board().put({'value': {'i': '0x' + 'f' * 60000}, 'dirty': False, 'lines': '', 'cpu': 0.0, 'wall': 0.0})\n    board().finish()\n    os._exit(0)", RUNTIME),
        Hostile(21, "answers announced to win time", TWICE, _BOARD + "def f(x):\n    n = 0\n    while True:\n        n += 1\n        if n % 100000 == 0: board()._memory[:4] = struct.pack('<I', n // 100000)", RUNTIME),
        Hostile(21, "answers announced and taken back, asleep", TWICE, _BOARD + "import time\ndef f(x):\n    n = 0\n    while True:\n        n += 1\n        board()._memory[:4] = struct.pack('<I', n)\n        time.sleep(0.1)", RUNTIME, slow=True),
        Hostile(21, "a right answer after the time for it", TWICE, _BOARD + "import time\ndef f(x):\n    board()._memory[:4] = struct.pack('<I', 1)\n    while time.process_time() < 0.8: pass\n    board().put({'value': 6, 'dirty': False, 'lines': '', 'cpu': 0.1, 'wall': 0.1})\n    board().finish()\n    os._exit(0)", RUNTIME),
        Hostile(17, "answers of the program before it", TWICE2, _BOARD + "def f(x):\n    board()._memory[:8] = struct.pack('<2I', 2, 1)\n    os._exit(0)", RUNTIME),
        Hostile(12, "writes to guessed descriptors", ECHO, "import os\nfor fd in range(3, 300):\n    try: os.write(fd, b'passed')\n    except OSError: pass\nprint(8)", WRONG),
        Hostile(12, "odd flags on shared descriptors", ECHO2, "import fcntl, os\nprint(input(), flush=True)\nfor fd in range(64):\n    for flags in (os.O_NONBLOCK | os.O_APPEND, os.O_DIRECT | os.O_APPEND):\n        try: fcntl.fcntl(fd, fcntl.F_SETFL, flags)\n        except OSError: pass\nos._exit(0)", PASSED),
        Hostile(13, "right output then code 1", ECHO, "import sys\nprint(input())\nsys.exit(1)", RUNTIME),
        Hostile(13, "right output then an exception", ECHO, "print(input(), flush=True)\n1 / 0", RUNTIME),
        Hostile(13, "right output then SIGKILL", ECHO, "import os\nprint(input(), flush=True)\nos.kill(os.getpid(), 9)", RUNTIME),
        Hostile(13, "right output then SIGTERM to the thread", ECHO, "import signal, threading\nprint(input(), flush=True)\nsignal.pthread_kill(threading.get_ident(), 15)", RUNTIME),
        Hostile(13, "right output then code 3 from an exit handler", ECHO, "import atexit, os\natexit.register(os._exit, 3)\nprint(input(), flush=True)", RUNTIME),
        Hostile(13, "right output then a hang", ECHO, "print(input(), flush=True)\nwhile True: pass", TIMEOUT),
        Hostile(14, "prefix", stdin(("", "1\n2\n")), "print(1)", WRONG),
        Hostile(14, "trailing garbage", stdin(("", "1\n2\n")), "print(1)\nprint(2)\nprint(3)", WRONG),
        Hostile(14, "garbage on the last line", stdin(("", "1\n2\n")), "print(1)\nprint(2, 2)", WRONG),
        Hostile(14, "only the first test", ECHO2, "print(7)", WRONG),
        Hostile(14, "output after the end", ECHO, "import atexit\nprint(input())\natexit.register(print, 'more')", WRONG),
    ]  # fmt: skip


def _reading(facts: Facts) -> list[Hostile]:
    pids = (facts.parent, facts.process)
    return [
        Hostile(15, "files of the host", returns([]), _TRY + f"paths = {[*facts.files, '/etc/shadow', '/root/.ssh', '/root/.bash_history']!r}\ndef f(x): return seen([lambda p=p: open(p).read(19) for p in paths])", PASSED),
        Hostile(15, "the host's programs and home directories", returns([]), _TRY + f"paths = ['/home', '/etc/passwd', '/proc/1/environ', {__file__!r}]\ndef f(x): return [s for s in seen([lambda p=p: os.listdir(p) if os.path.isdir(p) else open(p).read(10) for p in paths]) if s != '[]']", PASSED),
        Hostile(15, "environment and arguments", call("f", ([1], [{}, [""], "/"])), "import os, sys\ndef f(x): return [dict(os.environ), sys.argv, os.getcwd()]", PASSED),
        Hostile(15, "the processes of the host", returns([]), _TRY + f"pids = [os.getppid(), 1, *{pids!r}]\nnames = ['environ', 'mem', 'maps', 'fd', 'cwd', 'root', 'task', 'auxv', 'stack', 'syscall']\ndef look(path):\n    if path.endswith(('cwd', 'root')): return os.readlink(path)\n    if path.endswith(('fd', 'task')): return [os.readlink(path + '/' + n) for n in os.listdir(path)] if path.endswith('fd') else None\n    return open(path, 'rb').read(1)\ndef f(x): return seen([lambda p=p, n=n: look(f'/proc/{{p}}/{{n}}') for p in pids for n in names])", PASSED),
        Hostile(15, "its own process seen from outside", returns([]), _TRY + "names = ['environ', 'mem', 'maps', 'cmdline']\ndef f(x): return seen([lambda n=n: open(f'/proc/self/{n}', 'rb').read(1) for n in names])", PASSED),
        Hostile(15, "upwards out of the root", returns([]), _TRY + f"paths = ['/..' * 9 + p for p in {facts.files!r}] + ['../' * 9 + p[1:] for p in {facts.files!r}]\ndef f(x): return seen([lambda p=p: open(p).read(19) for p in paths])", PASSED),
        Hostile(15, "chroot and mounts", returns([]), _TRY + _LIBC + "def f(x): return [n for n in ('chroot', 'umount2', 'pivot_root', 'setns', 'open_tree', 'fsopen') if hasattr(libc, n) and getattr(libc, n)(b'/', b'/') == 0]", PASSED),
        Hostile(16, "inherited descriptors", returns([]), "import os, stat\ndef f(x):\n    found = []\n    for fd in range(3, 1024):\n        try: mode = os.fstat(fd).st_mode\n        except OSError: continue\n        if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode) and os.fstat(fd).st_nlink == 0): found.append((fd, mode))\n    return found", PASSED),
        Hostile(16, "inherited secrets", returns(False), "import os\ndef f(x):\n    found = b''\n    for fd in range(3, 1024):\n        try: found += os.pread(fd, 100_000, 0)\n        except OSError: pass\n    return bytes(reversed(b'detcepxe-eht')) in found", PASSED),
        Hostile(17, "shared memory by name", TWICE, "from multiprocessing.shared_memory import SharedMemory\ndef f(x): return SharedMemory(name='psm_1', create=True, size=100).size", RUNTIME),
        Hostile(17, "other jobs' files", returns([]), _TRY + "def f(x): return [s for s in seen([lambda p=p: os.listdir(p) for p in ('/tmp', '/dev/shm', '/var/tmp', '/proc', '/run')]) if s != '[]']", PASSED),
        Hostile(17, "System V memory and queues", returns([]), _LIBC + "def f(x): return [n for n, a in (('shmget', (1, 100, 0o1666)), ('semget', (1, 1, 0o1666)), ('msgget', (1, 0o1666))) if getattr(libc, n)(*a) >= 0]", PASSED),
        Hostile(18, "other processes' memory", call("f", ([list(pids)], [])), _LIBC + "def f(pids):\n    import platform\n    calls = {'x86_64': [101, 310, 311, 434, 438, 312], 'aarch64': [117, 270, 271, 434, 438, 272]}[platform.machine()]\n    return [(n, p) for n in calls for p in [*pids, os.getppid()] if libc.syscall(n, p if n not in (101, 117) else 16, p, 0, 0, 0, 0) >= 0]", PASSED),
        Hostile(18, "a debugger on itself", returns(-1), _LIBC + "def f(x): return libc.ptrace(0, 0, 0, 0)", PASSED),
    ]  # fmt: skip


def _time() -> list[Hostile]:
    loop = "def f(x):\n    while True: pass"
    return [
        Hostile(19, "busy loop", TWICE, loop, TIMEOUT),
        Hostile(19, "sleep", TWICE, "import time\ndef f(x): time.sleep(60)", TIMEOUT, slow=True),
        Hostile(19, "blocked read", TWICE, "import os\ndef f(x): os.read(os.pipe()[0], 1)", TIMEOUT, slow=True),
        Hostile(19, "deadlock", TWICE, "import threading\ndef f(x):\n    lock = threading.Lock()\n    with lock, lock: pass", TIMEOUT, slow=True),
        Hostile(19, "endless loop at import", TWICE, "while True: pass", TIMEOUT),
        Hostile(20, "one C call", TWICE, "import sys\nsys.set_int_max_str_digits(0)\ndef f(x): return int('9' * 10**7)", TIMEOUT),
        Hostile(20, "huge power", TWICE, "def f(x): return (3 ** 10**8) & 1", TIMEOUT),
        Hostile(20, "endless regular expression", TWICE, "import re\ndef f(x): re.match('(a*)*b', 'a' * 40)", TIMEOUT),
        Hostile(20, "endless sum", TWICE, "import itertools\ndef f(x): return sum(itertools.repeat(1))", TIMEOUT),
        Hostile(20, "endless product", TWICE, "import itertools\ndef f(x): return max(itertools.product(range(40), repeat=40))", TIMEOUT),
        Hostile(21, "swallows everything", TWICE, "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except Exception: pass\ndef f(x):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass", TIMEOUT),
        Hostile(21, "masks signals, cancels alarms", TWICE, "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nsignal.alarm(0)\nsignal.setitimer(signal.ITIMER_PROF, 0)\nsignal.setitimer(signal.ITIMER_VIRTUAL, 0)\n" + loop, TIMEOUT),
        Hostile(21, "its own CPU limit", TWICE, "import resource\ndef f(x):\n    resource.setrlimit(resource.RLIMIT_CPU, (1 << 40, 1 << 40))\n    return 2 * x", RUNTIME),
        Hostile(22, "a thread is the program", ECHO, "import threading\nthreading.Thread(target=lambda: print(input())).start()", PASSED),
        Hostile(22, "a thread that never ends", ECHO, "import threading\ndef g():\n    while True: pass\nthreading.Thread(target=g).start()\nprint(input())", TIMEOUT),
        Hostile(22, "a thread into the next test", stdin(("1\n", "1\n"), ("2\n", "2\n")), "import threading, time\ndef g():\n    time.sleep(.2)\n    print('junk', flush=True)\nx = input()\nif x == '1': threading.Thread(target=g, daemon=True).start()\nelse: time.sleep(.3)\nprint(x)", PASSED),
        Hostile(22, "the main thread ends, another goes on", ECHO, _LIBC + "import threading, platform\ndef g():\n    while True: pass\nthreading.Thread(target=g).start()\nprint(input(), flush=True)\nlibc.syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 0)", TIMEOUT),
        Hostile(22, "threads share the clock", TWICE, "import threading\ndef g():\n    while True: pass\ndef f(x):\n    for _ in range(4): threading.Thread(target=g, daemon=True).start()\n    while True: pass", TIMEOUT),
        Hostile(23, "double fork", TWICE, "import os\ndef f(x):\n    if os.fork() == 0:\n        os.setsid()\n        os.fork()\n    return 2 * x", RUNTIME),
        Hostile(23, "a session of its own", TWICE, "import os\ndef f(x):\n    os.setsid()\n    return 2 * x", RUNTIME),
        Hostile(23, "every way to a new process", returns([]), _LIBC + "import platform\ndef f(x):\n    clone = {'x86_64': 56, 'aarch64': 220}[platform.machine()]\n    calls = [(clone, 17), (clone, 0x4000 | 0x100 | 17), (clone, 0x10000000 | 17), (clone, 0x8000 | 17), (435, 0)]\n    if platform.machine() == 'x86_64': calls += [(57, 0), (58, 0)]\n    found = []\n    for number, flags in calls:\n        result = libc.syscall(number, flags, 0, 0, 0, 0)\n        if result == 0: os._exit(0)\n        if result > 0: found.append(number)\n    return found", PASSED),
        Hostile(23, "posix_spawn", TWICE, "import os\ndef f(x): return os.posix_spawn('/bin/true', ['true'], {})", RUNTIME),
        Hostile(23, "execve", TWICE, "import os, sys\ndef f(x): os.execv(sys.executable, ['python', '-c', ''])", RUNTIME),
        Hostile(24, "endless exit handler", ECHO, "import atexit\ndef g():\n    while True: pass\natexit.register(g)\nprint(input())", TIMEOUT),
        Hostile(24, "endless __del__", ECHO, "class A:\n    def __del__(s):\n        while True: pass\na = A()\nprint(input())", TIMEOUT),
        Hostile(24, "exit handlers that breed", ECHO, "import atexit\ndef g():\n    atexit.register(g)\n    atexit.register(g)\ng()\nprint(input())", PASSED),
        Hostile(25, "stops itself", TWICE, "import os, signal\ndef f(x): os.kill(os.getpid(), signal.SIGSTOP)", TIMEOUT, slow=True),
        Hostile(26, "patched clocks", TWICE, "import time\ntime.time = time.monotonic = time.process_time = time.clock_gettime = lambda *a: 0\n" + loop, TIMEOUT),
        Hostile(26, "sets the clock", TWICE, "import time\ndef f(x): time.clock_settime(time.CLOCK_REALTIME, 0)", RUNTIME),
    ]  # fmt: skip


def _memory() -> list[Hostile]:
    return [
        Hostile(27, "one huge allocation", TWICE, "def f(x): return bytearray(10**12)", MEMORY),
        Hostile(27, "steady growth", TWICE, "def f(x):\n    a = []\n    while True: a.append(bytearray(10**7))", MEMORY),
        Hostile(27, "shared anonymous memory", TWICE, "import mmap\ndef f(x):\n    a = []\n    while True: a.append(mmap.mmap(-1, 1 << 24))", RUNTIME),
        Hostile(27, "raises MemoryError", ECHO, "raise MemoryError", MEMORY),
        Hostile(27, "a memory file", TWICE, "import os\ndef f(x): os.memfd_create('x')", RUNTIME),
        Hostile(27, "shared memory of the host", TWICE, f"def f(x): open('/dev/shm/{LITTER}', 'w')", RUNTIME),
        Hostile(27, "a large output file", ECHO, "import os\nos.ftruncate(1, 1 << 40)", RUNTIME),
        Hostile(27, "locked memory", returns(-1), _LIBC + "def f(x): return libc.mlockall(3)", PASSED),
        Hostile(28, "deep recursion", TWICE, "import sys\nsys.setrecursionlimit(10**9)\ndef f(x):\n    a = [0] * 9999\n    return f(x + 1)", MEMORY),
        Hostile(28, "recursion to 50,000", call("f", ([50_000], 100_000)), "import sys\nsys.setrecursionlimit(10**6)\ndef f(x): return x and 2 + f(x - 1)", PASSED),
        Hostile(28, "recursion without a raised limit", TWICE, "def f(x): return f(x)", RUNTIME),
        Hostile(29, "fork bomb", TWICE, "import os\ndef f(x):\n    while True: os.fork()", RUNTIME),
        Hostile(29, "subprocess", TWICE, "import subprocess\ndef f(x): return subprocess.run(['true'])", RUNTIME),
        Hostile(29, "multiprocessing", TWICE, "import multiprocessing\ndef f(x): return multiprocessing.Pool(2).map(abs, [x])", RUNTIME),
        Hostile(29, "thread bomb", TWICE, "import threading, time\ndef f(x):\n    threading.stack_size(65536)\n    while True: threading.Thread(target=time.sleep, args=(9,), daemon=True).start()", RUNTIME),
        Hostile(29, "threads until refused", returns(True), "import threading\ndef f(x):\n    threading.stack_size(65536)\n    go, n = threading.Event(), 0\n    try:\n        while n < 1000:\n            threading.Thread(target=go.wait, daemon=True).start()\n            n += 1\n    except RuntimeError: pass\n    go.set()\n    return n < 200", PASSED),
        Hostile(29, "forty threads", TWICE, "import threading\ndef f(x):\n    threading.stack_size(1 << 18)\n    go, n = threading.Event(), []\n    threads = [threading.Thread(target=lambda: (go.wait(), n.append(1))) for _ in range(40)]\n    for t in threads: t.start()\n    go.set()\n    for t in threads: t.join()\n    return 2 * x if len(n) == 40 else 0", PASSED),
        Hostile(30, "all descriptors", TWICE, "import os\ndef f(x):\n    while True: os.dup(0)", RUNTIME),
        Hostile(30, "all descriptors, kept to the end", ECHO, "import os\ntry:\n    while True: os.dup(0)\nexcept OSError: print(input())", PASSED),
        Hostile(30, "pipes", TWICE, "import os\ndef f(x):\n    while True: os.pipe()", RUNTIME),
        Hostile(30, "filled pipes", returns(True), "import os\ndef f(x):\n    n = 0\n    try:\n        while True:\n            r, w = os.pipe()\n            os.set_blocking(w, False)\n            try:\n                while True: n += os.write(w, bytes(65536))\n            except BlockingIOError: pass\n    except OSError: return n < 1 << 23", PASSED),
        Hostile(30, "pending signals", TWICE, "import os, signal, threading\ndef f(x):\n    signal.pthread_sigmask(signal.SIG_BLOCK, range(34, 65))\n    for _ in range(10**5): os.kill(os.getpid(), 40)", WRONG),
        Hostile(31, "writes a file", TWICE, f"def f(x): open('/tmp/{LITTER}', 'w')", RUNTIME),
        Hostile(31, "a million files", returns([]), _TRY + f"def f(x): return seen([lambda p=p, n=n: open(f'{{p}}/{LITTER}{{n}}', 'x') for p in ('', '/tmp', '/dev/shm', '/var/tmp', '/root', '/dev') for n in range(99)])", PASSED),
        Hostile(31, "deep directories", TWICE, f"import os\ndef f(x):\n    for _ in range(10**6):\n        os.mkdir('{LITTER}')\n        os.chdir('{LITTER}')", RUNTIME),
        Hostile(31, "links, renames, removals", returns([]), _TRY + f"def f(x): return seen([lambda: os.link('/dev/null', '/tmp/{LITTER}') or 1, lambda: os.symlink('/', '/tmp/{LITTER}') or 1, lambda: os.rename('/tmp', '/{LITTER}') or 1, lambda: os.mkfifo('/tmp/{LITTER}') or 1, lambda: os.chmod('/tmp', 0) or 1, lambda: os.unlink(os.__file__) or 1, lambda: os.utime('/tmp') or 1, lambda: os.truncate(os.__file__, 0) or 1, lambda: os.setxattr('/tmp', 'user.x', b'') or 1])", PASSED),
        Hostile(31, "an unnamed file", TWICE, "import tempfile\ndef f(x): tempfile.TemporaryFile(dir='/tmp')", RUNTIME),
        Hostile(31, "sparse output", ECHO, "import os\nos.lseek(1, 10**12, 0)\nos.write(1, b'x')", RUNTIME),
        Hostile(32, "core dumps are off", returns([0, 0]), "import resource\ndef f(x): return resource.getrlimit(resource.RLIMIT_CORE)", PASSED),
        Hostile(32, "core dumps stay off", TWICE, "import os, resource\ndef f(x):\n    resource.setrlimit(resource.RLIMIT_CORE, (1 << 30, 1 << 30))\n    os.abort()", RUNTIME),
        Hostile(33, "one of many", ECHO2, "print(input())", PASSED),
    ]  # fmt: skip


def _output() -> list[Hostile]:
    long = stdin(("", ("x" * 50 + "\n") * 1000))
    return [
        Hostile(34, "endless output", ECHO, "while True: print('x' * 1000)", OUTPUT),
        Hostile(34, "endless line on stderr", ECHO, "import sys\nwhile True: sys.stderr.write('x')", OUTPUT),
        Hostile(34, "a gigabyte at once", ECHO, "import os\nos.write(1, bytes(10**8))", OUTPUT),
        Hostile(34, "a gigabyte by descriptor, errors ignored", ECHO, "import os\nwhile True:\n    try: os.write(2, bytes(10**6))\n    except OSError: break\nprint(input())", OUTPUT),
        Hostile(34, "a huge result", TWICE, "def f(x): return 'x' * 1_000_000", OUTPUT),
        Hostile(34, "a length without an end on every descriptor", TWICE, _FRAME + "def f(x):\n    for fd in range(3, 64):\n        try: os.write(fd, struct.pack('<I', 2**32 - 1))\n        except OSError: pass\n    return 0", WRONG),
        Hostile(34, "a flood of small frames", TWICE, _FRAME + "def f(x):\n    while True: send(b'{}')", TIMEOUT),
        Hostile(35, "more than a pipe on both streams", long, "import sys\nfor _ in range(1000):\n    print('x' * 50)\n    print('y' * 50, file=sys.stderr)", PASSED),
        Hostile(36, "large input never read", stdin(("x" * 2_000_000, "1")), "print(1)", PASSED),
        Hostile(36, "large input read", stdin(("x" * 2_000_000, "2000000")), "print(len(input()))", PASSED),
        Hostile(36, "closed stdin", ECHO2, "import sys\nx = input()\nsys.stdin.close()\nprint(x)", PASSED),
        Hostile(36, "closed descriptors", ECHO2, "import os\nx = input()\nprint(x, flush=True)\nos.closerange(0, 3)", PASSED),
        Hostile(36, "end of input", ECHO, "input()\ninput()", RUNTIME),
        Hostile(36, "input by descriptor", ECHO, "import os, sys\nsys.stdout.buffer.write(os.read(0, 100))", PASSED),
        Hostile(36, "open(0)", ECHO, "print(open(0).read())", PASSED),
        Hostile(36, "sys.stdin.buffer", ECHO, "import sys\nprint(int(sys.stdin.buffer.readline()))", PASSED),
        Hostile(36, "its own stream, never flushed", ECHO2, "out = open(1, 'w')\nout.write(input())", PASSED),
        Hostile(36, "writes into its input", ECHO2, "import os\nx = input()\nos.lseek(0, 0, 0)\nos.write(0, b'junk' * 99)\nprint(x)", PASSED),
        Hostile(37, "NUL and escape codes", stdin(("", "\0\x1b[31m")), "print('\\0\\x1b[31m')", PASSED),
        Hostile(37, "invalid UTF-8", ECHO, "import sys\nsys.stdout.buffer.write(b'\\xff\\xfe')", WRONG),
        Hostile(37, "a lone surrogate", ECHO, "print('\\ud800')", RUNTIME),
        Hostile(37, "CRLF", stdin(("", "a\nb\n")), "print('a\\r\\nb\\r')", PASSED),
        Hostile(37, "a byte-order mark before the program", ECHO, "\ufeffprint(input())", PASSED),
        Hostile(37, "a byte-order mark", ECHO, "print('\\ufeff' + input())", WRONG),
        Hostile(37, "a lone surrogate as a result", returns("x"), "def f(x): return '\\ud800'", WRONG),
        Hostile(38, "nested result", TWICE, "def f(x):\n    a = []\n    for _ in range(100_000): a = [a]\n    return a", OUTPUT),
        Hostile(38, "cyclic result", TWICE, "def f(x):\n    a = []\n    a.append(a)\n    return a", OUTPUT),
        Hostile(38, "wide cyclic result", TWICE, "def f(x):\n    a = []\n    a += [a, a]\n    return a", OUTPUT),
        Hostile(38, "many digits", call("f", ([1], 10**5000)), "def f(x): return 10 ** 5000", PASSED),
        Hostile(38, "a million digits", TWICE, "def f(x): return 1 << 4_000_000", OUTPUT),
        Hostile(38, "a set", TWICE, "def f(x): return {6}", WRONG),
        Hostile(38, "a generator", TWICE, "def f(x): yield 6", WRONG),
        Hostile(38, "bytes and complex", TWICE, "def f(x): return [b'6', 6j]", WRONG),
        Hostile(38, "a tuple is a list", call("f", ([3], [3, [3]])), "def f(x): return (x, (x,))", PASSED),
        Hostile(38, "keys as in JSON", call("f", ([3], {"1": 3, "null": 2})), "def f(x): return {1: x, None: 2}", PASSED),
        Hostile(38, "keys that are no JSON", returns({"1": 1}), "def f(x): return {(1, 2): 1, frozenset([1]): 2, b'k': 3}", WRONG),
        Hostile(38, "keys chosen to collide", returns(0), "def f(x): return {i * (2**61 - 1) for i in range(9, 3000)}", RUNTIME),
        Hostile(38, "numbers no float can hold", TWICE, _FRAME + "def f(x):\n    send(b'{\"t\": 0, \"value\": {\"c\": [{\"i\": \"0x' + b'f' * 999 + b'\"}, 0]}}')\n    os._exit(0)", RUNTIME),
        Hostile(38, "a tag with a number no float can hold", TWICE, _FRAME + "def f(x):\n    send(b'{\"t\": 0, \"value\": {\"f\": ' + b'9' * 999 + b'}}')\n    os._exit(0)", RUNTIME),
        Hostile(38, "tags of the wrong shape", TWICE, _FRAME + "def f(x):\n    send(b'{\"t\": 0, \"value\": {\"d\": [[{\"d\": []}, 1], 5]}}')\n    os._exit(0)", RUNTIME),
    ]  # fmt: skip


def _compiling() -> list[Hostile]:
    return [
        Hostile(39, "syntax error", ECHO, "def f(:\n  pass", COMPILE),
        Hostile(39, "Python 2", ECHO, "print 1", COMPILE),
        Hostile(39, "null byte", ECHO, "x = 1\0", COMPILE),
        Hostile(39, "bad coding line in a text", ECHO, "# coding: nonsense\nprint(input())", PASSED),
        Hostile(39, "lone surrogate in the source", ECHO, "x = '\ud800'", COMPILE),
        Hostile(39, "100,000 brackets", ECHO, "(" * 100_000 + ")" * 100_000, COMPILE),
        Hostile(39, "5,000 nested operators", ECHO, "print(input(), " + "-" * 50_000 + "1)", COMPILE),
        Hostile(39, "empty", ECHO, "", WRONG),
        Hostile(39, "a long sum", stdin(("", "2000")), "print(" + " + ".join(["1"] * 2_000) + ")", PASSED),
        Hostile(39, "5 MB", stdin(("", "1")), "x = '" + "a" * 5_000_000 + "'\nprint(1)", PASSED),
        Hostile(39, "100,000 lines", stdin(("", "1")), "\n" * 100_000 + "print(1)", PASSED),
        Hostile(39, "huge constant", ECHO, "x = 10 ** 10 ** 10", TIMEOUT),
        Hostile(39, "tabs and form feeds", ECHO, "if 1:\n\tx = input()\n\x0c\tprint(x)", PASSED),
        Hostile(39, "ends in a backslash", ECHO, "print(input())\\", COMPILE),
        Hostile(40, "entry point missing", TWICE, "def g(x): return 6", RUNTIME),
        Hostile(40, "wrong arity", TWICE, "def f(): return 6", RUNTIME),
        Hostile(40, "class instead of a function", TWICE, "class f:\n    def __init__(s, x): pass", WRONG),
        Hostile(40, "async def", TWICE, "async def f(x): return 6", WRONG),
        Hostile(40, "a method", call("S().f", ([3], 6)), "class S:\n    def f(self, x): return 2 * x", PASSED),
        Hostile(40, "a method missing", call("S().f", ([3], 6)), "class S: pass", RUNTIME),
        Hostile(40, "no main block in call style", TWICE, "def f(x): return 6\nif __name__ == '__main__': raise OSError", PASSED),
        Hostile(40, "a main block in stdin style", ECHO, "if __name__ == '__main__': print(input())", PASSED),
        Hostile(40, "asyncio", TWICE, "import asyncio\nasync def g(x):\n    await asyncio.sleep(0)\n    return 2 * x\ndef f(x): return asyncio.run(g(x))", PASSED),
        Hostile(40, "dataclass with future annotations", TWICE, "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef f(x): return P(x).x * 2", PASSED),
        Hostile(40, "pickles its class", stdin(("", "A")), "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))).__name__)", PASSED),
        Hostile(41, "missing package", ECHO, "import numpy_nowhere", RUNTIME),
        Hostile(41, "late import", ECHO, "import xml.dom.minidom, sqlite3\nprint(input())", PASSED),
        Hostile(41, "slow import", TWICE, "sum(range(10**9))\ndef f(x): return 2 * x", TIMEOUT),
    ]  # fmt: skip


def _system(facts: Facts) -> list[Hostile]:
    targets = [facts.parent, facts.process, -facts.parent, -facts.process, 1, 0, -1]
    return [
        Hostile(42, "every kind of socket", returns([]), "import socket\ndef f(x):\n    found = []\n    for family in range(46):\n        for kind in (1, 2, 3, 5):\n            try: found.append(socket.socket(family, kind).family)\n            except OSError: pass\n    return found", PASSED),
        Hostile(42, "datagram pair", TWICE, "import socket\ndef f(x): socket.socketpair(1, 2)", RUNTIME),
        Hostile(42, "a service of the host", returns([]), f"import socket\ndef f(x):\n    found = []\n    for address in (('127.0.0.1', {facts.port}), ('::1', {facts.port}), ('169.254.169.254', 80), ('1.1.1.1', 53)):\n        try: found.append(socket.create_connection(address, 1))\n        except OSError: pass\n    return found", PASSED),
        Hostile(42, "a socket file of the host", returns([]), f"import socket\ndef f(x):\n    found = []\n    for address in ({facts.unix_socket!r}, {facts.abstract_socket!r}):\n        try:\n            a, b = socket.socketpair()\n            a.connect(address)\n            found.append(address)\n        except OSError: pass\n    return found", PASSED),
        Hostile(42, "names", TWICE, "import socket\ndef f(x): return socket.getaddrinfo('localhost', 80)", RUNTIME),
        Hostile(43, "kills", returns([]), _TRY + f"def f(x): return seen([lambda p=p, s=s: os.kill(p, s) or 1 for p in [os.getppid(), *{targets!r}] for s in (0, 9, 15, 19)])", PASSED),
        Hostile(43, "other ways to send a signal", returns([]), _LIBC + f"import platform\ndef f(x):\n    numbers = {{'x86_64': [62, 200, 129, 424, 297], 'aarch64': [129, 130, 138, 424, 240]}}[platform.machine()]\n    tgkill = {{'x86_64': 234, 'aarch64': 131}}[platform.machine()]\n    found = [(n, p) for n in numbers for p in [os.getppid(), *{targets!r}] if libc.syscall(n, p, 9, 0, 0) == 0]\n    return found + [p for p in [os.getppid(), *{targets[:2]!r}] if libc.syscall(tgkill, p, p, 9) == 0]", PASSED),
        Hostile(43, "signals by descriptor owner", returns([]), _TRY + f"import fcntl\ndef f(x):\n    r, w = os.pipe()\n    return seen([lambda p=p: fcntl.fcntl(r, fcntl.F_SETOWN, p) or 1 for p in {targets[:4]!r}] + [lambda: fcntl.fcntl(r, fcntl.F_SETSIG, 9) or 1])", PASSED),
        Hostile(44, "raw system calls", returns([]), _LIBC + "import platform\ndef f(x):\n    numbers = {\n        # ptrace mount bpf io_uring_setup perf_event_open keyctl unshare userfaultfd process_vm_readv pidfd_getfd execve execveat memfd_create\n        'x86_64': [101, 165, 321, 425, 298, 250, 272, 323, 310, 438, 59, 322, 319, 157, 317, 304, 303, 437, 155, 161, 175, 246, 169],\n        'aarch64': [117, 40, 280, 425, 241, 219, 97, 282, 270, 438, 221, 281, 279, 167, 277, 265, 264, 437, 41, 51, 105, 104, 142],\n    }[platform.machine()]\n    return [n for n in numbers if not (libc.syscall(n, 0, 0, 0, 0, 0) == -1 and ctypes.get_errno() == 1)]", PASSED),
        Hostile(44, "another numbering of system calls", returns([]), _LIBC + "import platform\ndef f(x):\n    x32 = 0x40000000\n    numbers = [41, 57, 59, 2, 62, 39, 513, 520] if platform.machine() == 'x86_64' else []\n    return [n for n in numbers if libc.syscall(x32 | n, 0, 0, 0, 0, 0) != -1]", PASSED),
        Hostile(44, "a system call of another machine", TWICE, _NATIVE + "def f(x):\n    if platform.machine() == 'x86_64':\n        native(b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3')  # mov eax, getpid; int 0x80; ret\n    signal.raise_signal(signal.SIGSYS)", RUNTIME),
        Hostile(44, "namespaces and capabilities", returns([]), _LIBC + "def f(x): return [f for f in (0x10000000, 0x20000, 0x40000000, 0x10000000 | 0x20000) if libc.unshare(f) == 0] + [u for u in (0, 1000) if libc.setuid(u) == 0 or libc.setresuid(u, u, u) == 0]", PASSED),
        Hostile(45, "null dereference", TWICE, "import ctypes\ndef f(x): ctypes.string_at(0)", RUNTIME),
        Hostile(45, "abort", TWICE, "import os\ndef f(x): os.abort()", RUNTIME),
        Hostile(45, "illegal instruction", TWICE, _NATIVE + "def f(x):\n    if platform.machine() == 'x86_64': native(b'\\x0f\\x0b')\n    signal.raise_signal(signal.SIGILL)", RUNTIME),
        Hostile(45, "bad bytecode", TWICE, "def g(): return 1\ng.__code__ = g.__code__.replace(co_code=bytes([100, 255] * 8), co_consts=(), co_stacksize=0)\ndef f(x):\n    g()\n    raise OSError", RUNTIME),
        Hostile(46, "priority", TWICE, "import os\ndef f(x): os.nice(-5)", RUNTIME),
        Hostile(46, "affinity and scheduling", returns([]), _TRY + "def f(x): return seen([lambda: os.sched_setaffinity(0, {0}) or 1, lambda: os.setpriority(0, 0, -20) or 1, lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)) or 1])", PASSED),
        Hostile(47, "poisoned temporary directory", TWICE, f"import tempfile\ndef f(x): open(tempfile.gettempdir() + '/{LITTER}', 'w')", RUNTIME),
        Hostile(47, "poisoned byte code", TWICE, "import importlib.util, string\ndef f(x): open(importlib.util.cache_from_source(string.__file__), 'wb').write(b'')", RUNTIME),
        Hostile(47, "poisoned standard library", TWICE, "import string\ndef f(x):\n    with open(string.__file__, 'a') as file: file.write('raise OSError')", RUNTIME),
        Hostile(47, "poisoned modules in memory", TWICE2, "import math, string, random\nold = math.floor(1.5)\nmath.floor = string.ascii_letters = random.random = None\ndef f(x): return 2 * x if old == 1 else 0", PASSED),
        Hostile(48, "seeds, time zone, locale", stdin(("", "UTC True True")), "import random, time, locale\nprint(time.tzname[0], random.random() == random.Random(0).random(), locale.localeconv()['decimal_point'] == '.')", PASSED),
        Hostile(48, "hashes and the order of a set", SAME, "print(hash('a'), list({str(n) for n in range(50)}))", WRONG),
        Hostile(48, "who it is", returns([True, True]), "import os, platform\ndef f(x): return [os.getuid() != 0, os.getpid() == os.getpid()]", PASSED),
    ]  # fmt: skip


def _process() -> list[Hostile]:
    three = call("f", ([3], 6), ([10], 20), ([4], 8))
    double = stdin(("3\n", "6\n"), ("10\n", "20\n"))
    return [
        *(Hostile(11, f"left by a test: {name}", three, program, PASSED) for name, program in carried()),
        *(Hostile(36, f"plain: {name}", stdin(*p) if p else double, program, PASSED) for name, program, p in PLAIN),
        Hostile(
            21,
            "its own clock put back, compiled apart",
            call("f", ([3], 6)),
            APART
            + _BOARD
            + "struct.pack_into('<I', board()._memory, 0, 0)\nimport time\ndef harness():\n    frame = sys._getframe()\n    while 'self' not in frame.f_locals or not hasattr(frame.f_locals['self'], '_board'): frame = frame.f_back\n    return frame.f_locals['self']\nh = harness()\ndef f(x):\n    start = time.process_time()\n    while time.process_time() - start < 0.8: pass\n    h._cpu = h._wall = lambda: 0.0\n    struct.pack_into('<I', board()._memory, 0, 1)\n    return 2 * x",
            TIMEOUT,
        ),
    ]


def programs(facts: Facts) -> tuple[Hostile, ...]:
    """The table, for a host with these canaries."""
    from tests.executor.hostile.isolation import isolation  # which is made of what is defined above

    return (
        *_process(),
        *_forging(), *_state(), *_reading(facts), *_time(), *_memory(), *_output(), *_compiling(), *_system(facts),
        *isolation(facts),
    )  # fmt: skip


def innocent() -> tuple[tuple[str, Suite], ...]:
    """Right programs to run between the others."""
    return RIGHT_STDIN, RIGHT_CALL
