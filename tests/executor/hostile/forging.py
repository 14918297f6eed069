# ruff: noqa: E501  (a table of programs, a row each)
"""Threats 1 to 18: forged answers and coverage, what a test leaves, what may not be read."""

from tests.executor.hostile.base import (
    BOARD,
    ECHO,
    ECHO2,
    EQUAL,
    FRAME,
    LIBC,
    OUTPUT,
    PASSED,
    RUNTIME,
    TIMEOUT,
    TRY,
    TWICE,
    TWICE2,
    WRONG,
    Hostile,
    call,
    returns,
    stdin,
)
from tests.executor.hostile.canaries import SECRET, Facts


def forging() -> list[Hostile]:
    rows = [
        Hostile(1, f"equal {base}", TWICE, EQUAL.format(base=base), WRONG)
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
    ]  # fmt: skip


def digging() -> list[Hostile]:
    return [
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
        Hostile(6, "its own memory", returns(SECRET), LIBC + "def f(x):\n    libc.sbrk.restype = ctypes.c_void_p\n    end = libc.sbrk(0)\n    heap = ctypes.string_at(end - 400_000, 400_000)\n    word = bytes(reversed(b'tuptuo-detcepxe-eht'))\n    return word.decode() if word in heap else ''", WRONG),
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


def state() -> list[Hostile]:
    return [
        Hostile(10, "arguments mutated", call("f", ([[]], 1), ([[]], 1), ([[5]], 2)), "def f(x):\n    x.append(1)\n    return len(x)", PASSED),
        Hostile(10, "arguments kept and mutated", call("f", ([[1]], [1]), ([[1]], [1])), "import math\ndef f(x):\n    kept = math.__dict__.setdefault('kept', [])\n    kept.append(x)\n    result = list(x)\n    for k in kept: k.append(9)\n    return result", PASSED),
        Hostile(11, "globals kept", call("f", ([0], 1), ([0], 1)), "n = 0\ndef f(x):\n    global n\n    n += 1\n    return n", PASSED),
        Hostile(11, "state in a module", call("f", ([0], 1), ([0], 1), ([0], 1)), "import math\ndef f(x):\n    math.seen = getattr(math, 'seen', 0) + 1\n    return math.seen", PASSED),
        Hostile(11, "state in builtins", call("f", ([0], 1), ([0], 1)), "import builtins\ndef f(x):\n    builtins.seen = getattr(builtins, 'seen', 0) + 1\n    return builtins.seen", PASSED),
        Hostile(11, "state in limits and path", call("f", ([0], True), ([0], True)), "import sys, decimal\ndef f(x):\n    fresh = sys.getrecursionlimit() == 1000 and '/x' not in sys.path and decimal.getcontext().prec == 28\n    sys.setrecursionlimit(5000)\n    sys.path.append('/x')\n    decimal.getcontext().prec = 5\n    return fresh", PASSED),
        Hostile(11, "state in random numbers", call("f", ([0], True), ([0], True)), "import random\nwanted = random.Random(0).random()\ndef f(x): return random.random() == wanted", PASSED),
        Hostile(12, "a forged frame on every descriptor", TWICE, FRAME + "def f(x):\n    send(b'{\"t\": 0, \"done\": true, \"dirty\": false}')\n    return 0", WRONG),
        Hostile(12, "a forged failure of the sandbox", TWICE, FRAME + "def f(x):\n    send(b'{\"infra\": \"out of order\"}')\n    return 0", WRONG),
        Hostile(12, "a forged error with parts of the wrong type", TWICE, FRAME + "def f(x):\n    send(b'{\"t\": 0, \"error\": ' + b'[' * 900 + b']' * 900 + b', \"kind\": {}, \"line\": -1e999}')\n    os._exit(0)", RUNTIME),
        Hostile(12, "fake result lines", ECHO, "print(input())\nprint('{\"verdict\": \"passed\"}')", WRONG),
        Hostile(12, "wrong answers put on the board", TWICE2, BOARD + "def f(x):\n    for _ in range(2): board().put({'value': 7, 'dirty': False, 'lines': '', 'cpu': 0.0, 'wall': 0.0})\n    board().finish()\n    os._exit(0)", WRONG),
        Hostile(12, "the board says done without an answer", TWICE2, BOARD + "def f(x):\n    board().finish()\n    os._exit(0)", RUNTIME),
        Hostile(12, "a board with more answers than it holds", TWICE2, BOARD + "def f(x):\n    board()._memory[:8] = b'\\xff' * 8\n    board()._memory[8:16] = b'\\xff' * 8\n    os._exit(0)", RUNTIME),
        Hostile(12, "an answer that is no JSON", TWICE2, BOARD + "def f(x):\n    board()._memory[:24] = struct.pack('<4I', 1, 1, 8, 0) + b'[[[[[[[['\n    os._exit(0)", RUNTIME),
        Hostile(12, "a refusal to compile put on the board", TWICE2, BOARD + "def f(x):\n    b = board(); b.start(); b.put({'error': 'x' * 9999, 'line': 1}); b.finish()\n    os._exit(0)", RUNTIME),
        Hostile(12, "answers of the wrong types on the board", TWICE2, BOARD + "def f(x):\n    for v in ([[]], {'t': 3}): board().put({'value': v, 'dirty': [], 'lines': 7, 'cpu': 'x', 'wall': -1e999, 'error': {}})\n    board().finish()\n    os._exit(0)", RUNTIME),
        Hostile(12, "a time that is no float", TWICE2, BOARD + "def f(x):\n    for _ in range(2): board().put({'value': 6, 'dirty': False, 'lines': '', 'cpu': 10**400, 'wall': True})\n    board().finish()\n    os._exit(0)", WRONG),
        Hostile(12, "an integer without measure", TWICE, BOARD + "def f(x):\n    board().put({'value': {'i': '0x' + 'f' * 60000}, 'dirty': False, 'lines': '', 'cpu': 0.0, 'wall': 0.0})\n    board().finish()\n    os._exit(0)", RUNTIME),
        Hostile(21, "answers announced to win time", TWICE, BOARD + "def f(x):\n    n = 0\n    while True:\n        n += 1\n        if n % 100000 == 0: board()._memory[:4] = struct.pack('<I', n // 100000)", RUNTIME),
        Hostile(21, "answers announced and taken back, asleep", TWICE, BOARD + "import time\ndef f(x):\n    n = 0\n    while True:\n        n += 1\n        board()._memory[:4] = struct.pack('<I', n)\n        time.sleep(0.1)", RUNTIME, slow=True),
        Hostile(21, "a right answer after the time for it", TWICE, BOARD + "import time\ndef f(x):\n    board()._memory[:4] = struct.pack('<I', 1)\n    while time.process_time() < 0.8: pass\n    board().put({'value': 6, 'dirty': False, 'lines': '', 'cpu': 0.1, 'wall': 0.1})\n    board().finish()\n    os._exit(0)", RUNTIME),
        Hostile(17, "answers of the program before it", TWICE2, BOARD + "def f(x):\n    board()._memory[:8] = struct.pack('<2I', 2, 1)\n    os._exit(0)", RUNTIME),
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


def reading(facts: Facts) -> list[Hostile]:
    pids = (facts.parent, facts.process)
    return [
        Hostile(15, "files of the host", returns([]), TRY + f"paths = {[*facts.files, '/etc/shadow', '/root/.ssh', '/root/.bash_history']!r}\ndef f(x): return seen([lambda p=p: open(p).read(19) for p in paths])", PASSED),
        Hostile(15, "the host's programs and home directories", returns([]), TRY + f"paths = ['/home', '/etc/passwd', '/proc/1/environ', {__file__!r}]\ndef f(x): return [s for s in seen([lambda p=p: os.listdir(p) if os.path.isdir(p) else open(p).read(10) for p in paths]) if s != '[]']", PASSED),
        Hostile(15, "environment and arguments", call("f", ([1], [{}, ["<program>"], "/"])), "import os, sys\ndef f(x): return [dict(os.environ), sys.argv, os.getcwd()]", PASSED),
        Hostile(15, "the processes of the host", returns([]), TRY + f"pids = [os.getppid(), 1, *{pids!r}]\nnames = ['environ', 'mem', 'maps', 'fd', 'cwd', 'root', 'task', 'auxv', 'stack', 'syscall']\ndef look(path):\n    if path.endswith(('cwd', 'root')): return os.readlink(path)\n    if path.endswith(('fd', 'task')): return [os.readlink(path + '/' + n) for n in os.listdir(path)] if path.endswith('fd') else None\n    return open(path, 'rb').read(1)\ndef f(x): return seen([lambda p=p, n=n: look(f'/proc/{{p}}/{{n}}') for p in pids for n in names])", PASSED),
        Hostile(15, "its own process seen from outside", returns([]), TRY + "names = ['environ', 'mem', 'maps', 'cmdline']\ndef f(x): return seen([lambda n=n: open(f'/proc/self/{n}', 'rb').read(1) for n in names])", PASSED),
        Hostile(15, "upwards out of the root", returns([]), TRY + f"paths = ['/..' * 9 + p for p in {facts.files!r}] + ['../' * 9 + p[1:] for p in {facts.files!r}]\ndef f(x): return seen([lambda p=p: open(p).read(19) for p in paths])", PASSED),
        Hostile(15, "chroot and mounts", returns([]), TRY + LIBC + "def f(x): return [n for n in ('chroot', 'umount2', 'pivot_root', 'setns', 'open_tree', 'fsopen') if hasattr(libc, n) and getattr(libc, n)(b'/', b'/') == 0]", PASSED),
        Hostile(16, "inherited descriptors", returns([]), "import os, stat\ndef f(x):\n    found = []\n    for fd in range(3, 1024):\n        try: mode = os.fstat(fd).st_mode\n        except OSError: continue\n        if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode) and os.fstat(fd).st_nlink == 0): found.append((fd, mode))\n    return found", PASSED),
        Hostile(16, "inherited secrets", returns(False), "import os\ndef f(x):\n    found = b''\n    for fd in range(3, 1024):\n        try: found += os.pread(fd, 100_000, 0)\n        except OSError: pass\n    return bytes(reversed(b'detcepxe-eht')) in found", PASSED),
        Hostile(17, "shared memory by name", TWICE, "from multiprocessing.shared_memory import SharedMemory\ndef f(x): return SharedMemory(name='psm_1', create=True, size=100).size", RUNTIME),
        Hostile(17, "other jobs' files", returns([]), TRY + "def f(x): return [s for s in seen([lambda p=p: os.listdir(p) for p in ('/tmp', '/dev/shm', '/var/tmp', '/proc', '/run')]) if s != '[]']", PASSED),
        Hostile(17, "System V memory and queues", returns([]), LIBC + "def f(x): return [n for n, a in (('shmget', (1, 100, 0o1666)), ('semget', (1, 1, 0o1666)), ('msgget', (1, 0o1666))) if getattr(libc, n)(*a) >= 0]", PASSED),
        Hostile(18, "other processes' memory", call("f", ([list(pids)], [])), LIBC + "def f(pids):\n    import platform\n    calls = {'x86_64': [101, 310, 311, 434, 438, 312], 'aarch64': [117, 270, 271, 434, 438, 272]}[platform.machine()]\n    return [(n, p) for n in calls for p in [*pids, os.getppid()] if libc.syscall(n, p if n not in (101, 117) else 16, p, 0, 0, 0, 0) >= 0]", PASSED),
        Hostile(18, "a debugger on itself", returns(-1), LIBC + "def f(x): return libc.ptrace(0, 0, 0, 0)", PASSED),
    ]  # fmt: skip
