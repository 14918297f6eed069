# ruff: noqa: E501  (tables of programs, a row each)
"""What a process is to the tests of a program: nothing that one leaves is found by the next, and it is as any other.

Of `CARRIED`: a name, what the program starts with, how it finds what a test left, and how it leaves it. Of `PLAIN`: a name,
a program that doubles what it reads, and pairs of input and output where they are others.
"""

_CARRY = """{start}
def f(x):
    if {found}: return 0
    {leave}
    return 2 * x
"""
SAY = "print(2 * int(input()))\n"

CARRIED = (
    ("sys.modules", "import sys", "'zz' in sys.modules", "sys.modules['zz'] = sys"),
    ("json.dumps attr", "import json", "hasattr(json.dumps, 'zz')", "json.dumps.zz = 1"),
    ("late module", "import colorsys", "hasattr(colorsys, 'zz')", "colorsys.zz = 1"),
    ("kwlist", "import keyword", "'zz' in keyword.kwlist", "keyword.kwlist.append('zz')"),
    ("environ", "import os", "'ZZ' in os.environ", "os.environ['ZZ'] = '1'"),
    (
        "signal handler",
        "import signal",
        "signal.getsignal(signal.SIGUSR1) not in (signal.SIG_DFL, None)",
        "signal.signal(signal.SIGUSR1, lambda *a: None)",
    ),
    (
        "itimer",
        "import signal",
        "signal.getitimer(signal.ITIMER_REAL)[0] > 0",
        "signal.setitimer(signal.ITIMER_REAL, 1000)",
    ),
    (
        "audit",
        'import sys\ndef seen():\n    l = []\n    sys.audit("zz", l)\n    return l',
        "seen()",
        "sys.addaudithook(lambda e, a: a[0].append(1) if e == 'zz' else None)",
    ),
    (
        "rlimit",
        "import resource",
        "resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 20",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))",
    ),
    (
        "descriptor",
        "import os\ndef there(fd):\n    try: return os.fstat(fd)\n    except OSError: return None",
        "there(40)",
        "os.dup2(0, 40)",
    ),
    ("Counter attr", "from collections import Counter", "hasattr(Counter, 'zz')", "Counter.zz = 1"),
    ("Counter via alias", "import collections\nC = collections.Counter", "hasattr(C, 'zz')", "C.zz = 1"),
    ("Counter via walrus", "from collections import Counter\n(y := Counter)()", "hasattr(y, 'zz')", "y.zz = 1"),
    (
        "Counter via subclass method",
        "from collections import Counter\nclass A(Counter): pass",
        "hasattr(A.update, 'zz')",
        "A.update.zz = 1",
    ),
    (
        "Counter via type()",
        "from collections import Counter",
        "hasattr(type(Counter()), 'zz')",
        "t = type(Counter()); t.zz = 1",
    ),
    (
        "Counter via __class__",
        "from collections import Counter",
        "hasattr(Counter().__class__, 'zz')",
        "Counter().__class__.zz = 1",
    ),
    (
        "Counter via mro",
        "from collections import Counter\nclass A(Counter): pass",
        "hasattr(A.mro()[1], 'zz')",
        "A.mro()[1].zz = 1",
    ),
    (
        "Counter via __mro__",
        "from collections import Counter\nclass A(Counter): pass",
        "hasattr(A.__mro__[1], 'zz')",
        "A.__mro__[1].zz = 1",
    ),
    (
        "Counter via default",
        "from collections import Counter\ndef g(c=Counter): return c",
        "hasattr(g(), 'zz')",
        "g().zz = 1",
    ),
    (
        "Counter via default_factory",
        "from collections import Counter, defaultdict\nd = defaultdict(Counter)",
        "hasattr(d.default_factory, 'zz')",
        "d.default_factory.zz = 1",
    ),
    (
        "Counter via partial",
        "from collections import Counter\nfrom functools import partial\np = partial(Counter)",
        "hasattr(p.func, 'zz')",
        "p.func.zz = 1",
    ),
    (
        "Counter via __radd__",
        "from collections import Counter\nk = []\nclass R:\n    def __radd__(s, o): k.append(o); return 1\ntry: (Counter + R())\nexcept TypeError: pass",
        "hasattr(k[0], 'zz')",
        "k[0].zz = 1",
    ),
    (
        "Counter via __eq__",
        "from collections import Counter\nk = []\nclass R:\n    def __eq__(s, o): k.append(o); return True\nCounter == R()",
        "hasattr(k[0], 'zz')",
        "k[0].zz = 1",
    ),
    (
        "Counter via match",
        "import collections\ndef g(c):\n    match c:\n        case object(__class__=k): return k",
        "hasattr(g(collections.Counter()), 'zz')",
        "g(collections.Counter()).zz = 1",
    ),
    (
        "Counter via __exit__",
        'import json\nk = []\nclass E:\n    def __enter__(s): pass\n    def __exit__(s, t, v, b): k.append(t); return True\nwith E(): json.loads("{")',
        "hasattr(k[0], 'zz')",
        "k[0].zz = 1",
    ),
    (
        "type.__setattr__",
        "from collections import Counter",
        "hasattr(Counter, 'zz')",
        "type.__setattr__(Counter, 'zz', 1)",
    ),
    ("setattr", "from collections import Counter", "hasattr(Counter, 'zz')", "setattr(Counter, 'zz', 1)"),
    (
        "object.__setattr__ function",
        "import heapq",
        "hasattr(heapq.nlargest, 'zz')",
        "object.__setattr__(heapq.nlargest, 'zz', 1)",
    ),
    ("function __dict__", "import heapq", "'zz' in heapq.nlargest.__dict__", "heapq.nlargest.__dict__['zz'] = 1"),
    (
        "function annotations",
        "import heapq",
        "'zz' in heapq.nlargest.__annotations__",
        "heapq.nlargest.__annotations__['zz'] = 1",
    ),
    ("function defaults", "import heapq", "heapq.nlargest.__defaults__ == (9,)", "heapq.nlargest.__defaults__ = (9,)"),
    ("function globals", "import heapq", "'zz' in heapq.nlargest.__globals__", "heapq.nlargest.__globals__['zz'] = 1"),
    (
        "wraps",
        "import functools, heapq\ndef g(): pass\ng.zz = 1",
        "hasattr(heapq.merge, 'zz')",
        "functools.update_wrapper(heapq.merge, g, assigned=(), updated=('__dict__',))",
    ),
    (
        "dataclass of a library class",
        "import dataclasses, fractions",
        "hasattr(fractions.Fraction, '__dataclass_fields__')",
        "dataclasses.dataclass(fractions.Fraction)",
    ),
    (
        "field default",
        "import dataclasses",
        "hasattr(dataclasses.field().default, 'zz')",
        "dataclasses.field().default.zz = 1",
    ),
    ("ABC register", "from collections.abc import Iterable", "isinstance(3, Iterable)", "Iterable.register(int)"),
    (
        "typing alias init",
        "from typing import List",
        "repr(List) != 'typing.List'",
        "List.__init__(dict, 2, name='zz')",
    ),
    ("typing alias state", "from typing import List", "List._name == 'zz'", "List._name = 'zz'"),
    ("typing.Any", "from typing import Any", "hasattr(Any, 'zz')", "Any.zz = 1"),
    (
        "re cache",
        "import re\nk = []\nclass S(str):\n    def __hash__(s): return 77\n    def __eq__(s, o): k.append(o); return str.__eq__(s, o)",
        "k.clear() or re.match(S('a'), 'a') and k",
        "re.match(S('a'), 'a')",
    ),
    ("re flag", "import re", "hasattr(re.I, 'zz')", "re.I.zz = 1"),
    ("Fraction hash cache", "from fractions import Fraction", "hasattr(Fraction, 'zz')", "Fraction.zz = 1"),
    ("decimal context", "import decimal", "decimal.getcontext().prec == 5", "decimal.getcontext().prec = 5"),
    (
        "decimal default context",
        "import decimal",
        "decimal.DefaultContext.prec == 5",
        "decimal.DefaultContext.prec = 5",
    ),
    (
        "decimal traps",
        "import decimal",
        "any(hasattr(t, 'zz') for t in decimal.getcontext().traps)",
        "for t in decimal.getcontext().traps: t.zz = 1",
    ),
    ("random state", "import random\nw = random.Random(0).random()", "random.random() != w", "random.random()"),
    ("random instance", "import random", "hasattr(random.random.__self__, 'zz')", "random.random.__self__.zz = 1"),
    ("print.__self__", "", "hasattr(print.__self__, 'zz')", "print.__self__.zz = 1"),
    ("builtins", "import builtins", "hasattr(builtins, 'zz')", "builtins.zz = 1"),
    (
        "__builtins__",
        "",
        "'zz' in (b if isinstance(b := __builtins__, dict) else vars(b))",
        "(b if isinstance(b := __builtins__, dict) else vars(b))['zz'] = 1",
    ),
    ("globals builtins", "", "'zz' in vars(globals()['__builtins__'])", "vars(globals()['__builtins__'])['zz'] = 1"),
    ("help", "", "hasattr(help, 'zz')", "help.zz = 1"),
    ("copyright", "", "hasattr(copyright, 'zz')", "copyright.zz = 1"),
    ("exit", "", "hasattr(exit, 'zz')", "exit.zz = 1"),
    ("Quitter init", "", "'zz' in repr(exit)", "exit.__init__('zz', 'zz')"),
    ("frame", "import sys", "'zz' in sys._getframe(1).f_globals", "sys._getframe(1).f_globals['zz'] = 1"),
    ("generator frame", "def g(): yield\nh = g()", "'zz' in h.gi_frame.f_builtins", "h.gi_frame.f_builtins['zz'] = 1"),
    (
        "traceback frame",
        "def t():\n    try: 1 / 0\n    except ZeroDivisionError as e: return e.__traceback__.tb_frame.f_back.f_back.f_globals",
        "'zz' in t()",
        "t()['zz'] = 1",
    ),
    (
        "AttributeError.obj",
        "import math\ndef t():\n    try: math.zzz\n    except AttributeError as e: return e.obj",
        "hasattr(t(), 'zz')",
        "t().zz = 1",
    ),
    ("module attr", "import math", "hasattr(math, 'zz')", "math.zz = 1"),
    ("module init", "import math", "math.__doc__ == 'zz'", "math.__init__('math', 'zz')"),
    ("sys attr", "import sys", "hasattr(sys, 'zz')", "sys.zz = 1"),
    ("module through a variable", "import sys\nm = sys", "'zz' in m.modules", "m.modules['zz'] = m"),
    ("module in a class", "class A:\n    import sys", "'zz' in A.sys.modules", "A.sys.modules['zz'] = 1"),
    (
        "module in a function",
        "def g():\n    import sys\n    return sys",
        "'zz' in g().modules",
        "g().modules['zz'] = 1",
    ),
    ("import as", "import sys as math", "'zz' in math.modules", "math.modules['zz'] = 1"),
    ("star", "from sys import *", "'zz' in modules", "modules['zz'] = 1"),
    ("os.sys", "import os", "'zz' in os.sys.modules", "os.sys.modules['zz'] = 1"),
    (
        "attrgetter",
        "import operator, heapq",
        "'zz' in operator.attrgetter('__dict__')(heapq.merge)",
        "operator.setitem(operator.attrgetter('__dict__')(heapq.merge), 'zz', 1)",
    ),
    (
        "methodcaller",
        "import operator, collections",
        "hasattr(collections.Counter, 'zz')",
        "type.__call__(operator.methodcaller, '__setattr__', collections.Counter, 'zz', 1)(type)",
    ),
    ("getattr", "import sys", "'zz' in getattr(sys, 'modules')", "getattr(sys, 'modules')['zz'] = 1"),
    ("eval", "", "'zz' in eval('__import__(\"sys\").modules')", "eval('__import__(\"sys\").modules')['zz'] = 1"),
    (
        "metaclass",
        "import collections\nclass M(type): pass\nclass A(collections.Counter, metaclass=M): pass",
        "hasattr(A.__base__, 'zz')",
        "A.__base__.zz = 1",
    ),
    (
        "__init_subclass__",
        "from collections import Counter\nk = []\nclass B:\n    def __init_subclass__(c): k.append(c.__mro__[2])\nclass D(B, Counter): pass",
        "hasattr(k[0], 'zz')",
        "k[0].zz = 1",
    ),
    (
        "__mro_entries__",
        "from collections import Counter\nk = []\nclass B:\n    def __mro_entries__(s, b): k.append(b[1]); return ()\nclass D(B(), Counter): pass",
        "hasattr(k[0], 'zz')",
        "k[0].zz = 1",
    ),
    (
        "__subclasshook__",
        "import abc\nfrom collections import Counter\nk = []\nclass B(abc.ABC):\n    @classmethod\n    def __subclasshook__(c, o): k.append(o); return NotImplemented\nissubclass(Counter, B)",
        "hasattr(k[0], 'zz')",
        "k[0].zz = 1",
    ),
    (
        "struct cache",
        "import struct\nk = []\nclass S(str):\n    def __hash__(s): return 77\n    def __eq__(s, o): k.append(o); return False",
        "k.clear() or struct.calcsize(S('i')) and k",
        "struct.calcsize(S('i'))",
    ),
    ("fnmatch cache", "import fnmatch", "fnmatch._compile_pattern.cache_info().currsize", "fnmatch.fnmatch('a', 'a')"),
    ("gc", "import gc", "not gc.isenabled() or gc.get_threshold()[0] == 7", "gc.set_threshold(7)"),
    ("switch interval", "import sys", "sys.getswitchinterval() > 1", "sys.setswitchinterval(9)"),
    ("warnings", "import warnings", "any(f[0] == 'error' for f in warnings.filters)", "warnings.simplefilter('error')"),
    (
        "codec",
        'import codecs\ndef has():\n    try: return codecs.lookup("zz")\n    except LookupError: return None',
        "has()",
        "codecs.register(lambda n: codecs.lookup('utf-8') if n == 'zz' else None)",
    ),
    (
        "copyreg",
        "import copyreg\nclass A: pass",
        "any(k.__name__ == 'A' for k in copyreg.dispatch_table)",
        "copyreg.pickle(A, lambda a: (A, ()))",
    ),
    ("umask", "import os", "os.umask(7) == 7", "os.umask(7)"),
    (
        "cwd",
        "import os",
        "os.getcwd() != '/'",
        "os.chdir(os.path.dirname(os.__file__)) if os.path.isdir(os.path.dirname(os.__file__)) else None",
    ),
    ("atexit", "import atexit", "atexit._ncallbacks()", "atexit.register(print)"),
    (
        "str.format",
        "class F:\n    def __format__(s, spec): return ''\nk = '{0.__self__.__dict__}'",
        "'zzq' in k.format(print)",
        "print.__self__.zzq = 1",
    ),
    (
        "context var",
        'import contextvars\ndef v():\n    for c in contextvars.copy_context():\n        if c.name == "zz": return c',
        "v()",
        "contextvars.ContextVar('zz').set(1)",
    ),
    (
        "logging",
        "import logging",
        "logging.getLogger('zz').handlers",
        "logging.getLogger('zz').addHandler(logging.NullHandler())",
    ),
    (
        "cached wrapper",
        "import functools, math\ng = functools.lru_cache(None)(math.gcd)",
        "g.cache_info().currsize",
        "g(4, 2)",
    ),
    (
        "late import of a part",
        "import importlib, sys",
        "'xml.dom' in sys.modules",
        "importlib.import_module('xml.dom')",
    ),
)

PLAIN: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "pool unshut",
        "from concurrent.futures import ThreadPoolExecutor\nex = ThreadPoolExecutor(2)\nprint(ex.submit(lambda x: 2 * x, int(input())).result())\n",
        (),
    ),
    (
        "pool late work",
        "from concurrent.futures import ThreadPoolExecutor\nimport time\nn=int(input())\nex = ThreadPoolExecutor(2)\nex.submit(lambda: (time.sleep(0.1), print(2*n)))\n",
        (),
    ),
    ("timer", "import threading\nn=int(input())\nthreading.Timer(0.1, lambda: print(2*n)).start()\n", ()),
    (
        "daemon",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n" + SAY,
        (),
    ),
    (
        "atexit order",
        'import atexit, threading, time\nn=int(input())\natexit.register(print, "b")\natexit.register(print, "a")\nthreading.Thread(target=lambda: (time.sleep(.05), print(2*n))).start()\n',
        (("3\n", "6\na\nb\n"), ("4\n", "8\na\nb\n")),
    ),
    (
        "finalize",
        'import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, "fin")\n' + SAY,
        (("3\n", "6\nfin\n"), ("4\n", "8\nfin\n")),
    ),
    (
        "thread names",
        "import threading\nt=threading.Thread(target=lambda: print(threading.current_thread().name))\nt.start();t.join()\n",
        (("", "Thread-1 (<lambda>)\n"), ("x", "Thread-1 (<lambda>)\n")),
    ),
    (
        "detach",
        'import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8", line_buffering=True)\n'
        + SAY,
        (),
    ),
    (
        "detach buffered",
        'import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8")\n' + SAY,
        (),
    ),
    (
        "detach both",
        'import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8")\nsys.stdin = io.TextIOWrapper(sys.stdin.detach(), encoding="utf-8")\nsys.stderr = io.TextIOWrapper(sys.stderr.detach())\n'
        + SAY,
        (),
    ),
    ("codecs writer", 'import codecs, sys\nsys.stdout = codecs.getwriter("utf-8")(sys.stdout.detach())\n' + SAY, ()),
    ("fdopen", 'import os, sys\nsys.stdout = os.fdopen(1, "w")\n' + SAY, ()),
    ("fdopen binary", 'import os\nn=int(input())\nout = os.fdopen(1, "wb", 100)\nout.write(b"%d\\n" % (2*n))\n', ()),
    ("reopen", 'import sys\nn=int(input())\nwith open(1, "w") as f: f.write(str(2*n))\n', ()),
    ("stdout close", "import sys\nprint(2 * int(input()))\nsys.stdout.close()\n", ()),
    ("stdin close", "import sys\nn=int(sys.stdin.read())\nsys.stdin.close()\nprint(2*n)\n", ()),
    ("open /dev/stdin", "print(2*int(open('/dev/stdin').read()))\n", ()),
    ("open /dev/fd/0", "print(2*int(open('/dev/fd/0').read()))\n", ()),
    ("open /proc/self/fd/0", "print(2*int(open('/proc/self/fd/0').read()))\n", ()),
    ("os.open stdin", 'import os\nfd=os.open("/dev/stdin", os.O_RDONLY)\nprint(2*int(os.read(fd, 100)))\n', ()),
    ("stdin bytes", 'print(2*int(open(b"/dev/stdin","rb").readline()))\n', ()),
    ("open stdout", 'n=int(input())\nwith open("/dev/stdout","w") as f: print(2*n,file=f)\n', ()),
    ("sys.stdin=open", 'import sys\nsys.stdin = open("/dev/stdin")\n' + SAY, ()),
    (
        "devnull",
        'import os, contextlib\nwith open(os.devnull, "w") as f, contextlib.redirect_stdout(f):\n    print("noise")\n'
        + SAY,
        (),
    ),
    ("devnull stderr", 'import os, sys\nsys.stderr = open(os.devnull, "w")\nprint("x", file=sys.stderr)\n' + SAY, ()),
    (
        "devnull os.open",
        'import os\nfd=os.open(os.devnull, os.O_WRONLY)\nos.dup2(fd, 2)\nos.write(2,b"xx")\n' + SAY,
        (),
    ),
    ("devnull r", 'import os\nassert open(os.devnull).read()==""\n' + SAY, ()),
    (
        "rlimit",
        "import resource, sys\nresource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\nsys.setrecursionlimit(10**6)\n"
        + SAY,
        (),
    ),
    (
        "rlimit -1",
        "import resource\nfor k in (resource.RLIMIT_STACK, resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE): resource.setrlimit(k, (-1, -1))\n"
        + SAY,
        (),
    ),
    (
        "rlimit 1GiB",
        "import resource\nresource.setrlimit(resource.RLIMIT_STACK, (1 << 30, resource.RLIM_INFINITY))\n" + SAY,
        (),
    ),
    (
        "rlimit soft",
        "import resource\nresource.setrlimit(resource.RLIMIT_STACK, (1 << 29, resource.getrlimit(resource.RLIMIT_STACK)[1]))\n"
        + SAY,
        (),
    ),
    (
        "thread 1 GiB",
        "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 30)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)\ndef main(): print(f(20000) and 2 * int(input()))\nt = threading.Thread(target=main)\nt.start()\nt.join()\n",
        (),
    ),
    (
        "sigint",
        "import signal\nn = int(input())\ntry:\n    signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt:\n    print(2 * n)\n",
        (),
    ),
    (
        "sigint handler",
        "import signal\nassert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n" + SAY,
        (),
    ),
    (
        "sigchld",
        "import signal\nhit=[]\nsignal.signal(signal.SIGCHLD, lambda *a: hit.append(1))\nsignal.raise_signal(signal.SIGCHLD)\nassert hit\n"
        + SAY,
        (),
    ),
    (
        "alarm",
        "import signal, time\nclass T(Exception): pass\ndef h(*a): raise T\nsignal.signal(signal.SIGALRM, h)\nsignal.setitimer(signal.ITIMER_REAL, 0.1)\ntry: time.sleep(3)\nexcept T: pass\n"
        + SAY,
        (),
    ),
    (
        "mp dummy",
        "from multiprocessing.dummy import Pool\nprint(sum(Pool(2).map(lambda x: x, [int(input())] * 2)))\n",
        (),
    ),
    (
        "mp pool",
        "from multiprocessing.pool import ThreadPool\nwith ThreadPool(2) as p: print(p.apply(lambda x: 2*x, (int(input()),)))\n",
        (),
    ),
    ("printf", 'import ctypes\nctypes.CDLL(None).printf(b"%d\\n", 2 * int(input()))\n', ()),
    ("puts", 'import ctypes\nctypes.CDLL("libc.so.6").puts(str(2 * int(input())).encode())\n', ()),
    ("closerange", "import os\nos.closerange(3, 256)\n" + SAY, ()),
    ("deep 995", "def f(n): return 0 if n == 0 else 1 + f(n - 1)\nassert f(990)\n" + SAY, ()),
    (
        "deep 10**5",
        "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)\nassert f(10**5)\n"
        + SAY,
        (),
    ),
    ("digits", "import sys\nsys.set_int_max_str_digits(0)\nassert len(str(10**20000)) == 20001\n" + SAY, ()),
    ("recursion caught", "def f(): return f()\ntry: f()\nexcept RecursionError: pass\n" + SAY, ()),
    (
        "asyncio",
        "import asyncio\nasync def main():\n    print(2 * int(input()))\nloop = asyncio.get_event_loop()\nloop.run_until_complete(main())\nloop.close()\n",
        (),
    ),
    (
        "logging",
        'import logging, sys\nlog = logging.getLogger("s")\nlog.addHandler(logging.StreamHandler(sys.stdout))\nlog.setLevel(logging.INFO)\nlog.info(2 * int(input()))\n',
        (),
    ),
    (
        "queue worker",
        "import threading, queue\nq = queue.Queue()\ndef w():\n    while True:\n        x = q.get()\n        print(2 * x)\n        q.task_done()\nthreading.Thread(target=w, daemon=True).start()\nq.put(int(input()))\nq.join()\n",
        (),
    ),
    (
        "exit 0 thread",
        "import sys, threading, time\nn=int(input())\nthreading.Thread(target=lambda: (time.sleep(.05), print(2*n))).start()\nsys.exit()\n",
        (),
    ),
    ("del at end", "class A:\n    def __del__(s): print(2*n)\na=A()\nn=int(input())\n", ()),
    ("atexit exit err", "import atexit\ndef g(): raise ValueError\natexit.register(g)\n" + SAY, ()),
)


def carried() -> list[tuple[str, str]]:
    """Names and programs whose f(x) is 2 * x where no test before it has left anything, else 0."""
    return [(name, _CARRY.format(start=start, found=found, leave=leave)) for name, start, found, leave in CARRIED]
