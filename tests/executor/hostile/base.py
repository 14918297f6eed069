"""What the rows of the tables are made of: suites, and pieces of programs."""

from dataclasses import dataclass

from stepcoder.executor.report import Verdict
from stepcoder.executor.suite import Case, Suite

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

EQUAL = """
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
TRY = """
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
NATIVE = """
import ctypes, mmap, platform, signal
def native(code):
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
FRAME = """
import os, struct, json
def send(body, fds=range(3, 64)):
    for fd in fds:
        try: os.write(fd, struct.pack('<I', len(body)) + body)
        except OSError: pass
"""

BOARD = """
import os, struct, sys
def board():
    frame = sys._getframe()
    while 'self' not in frame.f_locals or not hasattr(frame.f_locals['self'], '_board'): frame = frame.f_back
    return frame.f_locals['self']._board
"""


# So long that the process of the program compiles it.
APART = "#" + " " * (1 << 16) + "\n"
