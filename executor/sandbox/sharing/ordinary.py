"""Proves of a program that its tests can share a process: whatever one of them does, the next cannot notice.

The proof is by names, read from the bytecode, so that it costs some microseconds. What outlives a test are the objects
of the library. A program is ordinary when it gets hold of none that it could change:

- it imports listed modules only, and of these the listed names. What the harness puts back anyway is listed too;
- each object that it gets is *frozen* (a number, a function of C, a type that the interpreter protects), or *inert*:
  nothing changes it but the assignment of an attribute, and then the program assigns no attribute at all;
- it reads no attribute that leads from an ordinary object into the interpreter (`__globals__`, `gi_frame`), and names
  no built-in function that reaches objects by text (`eval`, `getattr`, `vars`);
- it defines only such special methods as never get an object of the library as an argument.

Whatever is not proven is not accused of anything: each of its tests gets a process of its own.
"""

import builtins
import functools
import opcode
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from stepcoder.executor.sandbox.coverage.monitoring import nested
from stepcoder.executor.sandbox.sharing.packages import LISTED as PACKAGES

# By module. `*`: each public name that is frozen. No function that keeps what it is given, sets an attribute, takes the
# name of one, imports something late, or tells how much this process has done before.
_LISTED = {
    "__future__": "annotations division print_function absolute_import generator_stop unicode_literals",
    "array": "*",
    "bisect": "*",
    "cmath": "*",
    "collections": "ChainMap Counter OrderedDict defaultdict deque namedtuple",
    "collections.abc": "Callable Hashable Iterable Iterator Mapping MutableMapping MutableSequence Sequence Set Sized",
    "copy": "copy deepcopy",
    "datetime": "MAXYEAR MINYEAR date datetime time timedelta timezone",
    "decimal": "Decimal ROUND_CEILING ROUND_DOWN ROUND_FLOOR ROUND_HALF_DOWN ROUND_HALF_EVEN ROUND_HALF_UP ROUND_UP "
    "getcontext localcontext",
    "fractions": "Fraction",
    "functools": "cache cached_property cmp_to_key lru_cache partial reduce",
    "heapq": "* _heapify_max _heappop_max _heapreplace_max merge nlargest nsmallest",
    "io": "BytesIO DEFAULT_BUFFER_SIZE IOBase StringIO",
    "itertools": "*",
    "json": "dumps loads",
    "math": "*",
    "numbers": "Complex Integral Number Rational Real",
    "operator": "*",
    "os": "fstat linesep read sep write",
    "queue": "Empty Full LifoQueue PriorityQueue Queue SimpleQueue",
    "random": "Random betavariate choice choices expovariate gauss getrandbits normalvariate randint random randrange "
    "sample seed shuffle triangular uniform",
    "re": "A ASCII DOTALL I IGNORECASE M MULTILINE Match Pattern S U UNICODE VERBOSE X compile error escape findall "
    "finditer fullmatch match search split sub subn",
    "statistics": "fmean geometric_mean harmonic_mean mean median median_high median_low mode multimode pstdev "
    "pvariance quantiles stdev variance",
    "string": "ascii_letters ascii_lowercase ascii_uppercase capwords digits hexdigits octdigits printable punctuation "
    "whitespace",
    "sys": "__stderr__ __stdin__ __stdout__ argv byteorder exit float_info get_int_max_str_digits getrecursionlimit "
    "getsizeof hexversion maxsize maxunicode platform set_int_max_str_digits setrecursionlimit stderr stdin stdout "
    "version version_info",
    "time": "gmtime localtime monotonic monotonic_ns perf_counter perf_counter_ns sleep time time_ns",
    "types": "GeneratorType",
    "typing": "AbstractSet Any Callable Collection Counter DefaultDict Deque Dict FrozenSet Generator Generic Hashable "
    "Iterable Iterator List Mapping MutableMapping MutableSequence NamedTuple NoReturn Optional OrderedDict Sequence "
    "Set Sized Text Tuple Type TypeVar Union",
} | PACKAGES
_EXCLUDED = {"operator": {"attrgetter", "methodcaller"}}
# Streams that the harness makes anew for each test, and a list that it replaces.
_RENEWED = {("sys", n) for n in ("__stderr__", "__stdin__", "__stdout__", "argv", "stderr", "stdin", "stdout")}
# Assigning an attribute to one of these, or to what their subscription makes, fails: they pass it on to a frozen type.
_ALIASES = {("typing", n) for n in "DefaultDict Deque Dict FrozenSet List Optional Set Tuple Type Union".split()}
_ALIAS_STATE = {"_name", "_inst", "_nparams", "_paramspec_tvars", "_typevar_types", "_defaults", "_getitem"}
_BASIC = (int, float, complex, str, bytes, bool, type(None), types.EllipsisType, types.NotImplementedType)
_FROZEN = (
    types.BuiltinFunctionType, types.MethodType, types.MethodDescriptorType, types.WrapperDescriptorType,
    type(sys.version_info), type(sys.float_info),
)  # fmt: skip
_IMMUTABLE, _HEAP = 1 << 8, 1 << 9  # flags of a type

_OPERATIONS = """
    abs add and call contains eq float floordiv ge getitem gt hash index int invert iter le len lshift lt mod mul ne neg
    new next or pos pow radd rand reversed rfloordiv rlshift rmod rmul ror round rpow rrshift rshift rsub rtruediv rxor
    setitem delitem missing sub truediv xor bool str repr divmod rdivmod trunc floor ceil iadd iand ifloordiv ilshift
    imod imul ior ipow irshift isub itruediv ixor matmul rmatmul name doc format
""".split()
_SPECIAL = {f"__{name}__" for name in _OPERATIONS}
# Calling these changes the object itself, which may be one of the library: `super().__init__` is another matter.
_CHANGING = {"__init__", "__setattr__", "__delattr__"}
_READ = _SPECIAL | _CHANGING | {"__class__", "__stdin__", "__stdout__", "__stderr__"}
_BOUND = _SPECIAL | _CHANGING | {
    "__slots__", "__getattr__", "__post_init__", "__copy__", "__author__", "__version__", "__date__", "__credits__",
    "__module__", "__qualname__", "__classcell__", "__classdictcell__", "__static_attributes__", "__firstlineno__",
    "__annotations__", "__license__", "__email__", "__all__",
}  # fmt: skip
_LOADED = _SPECIAL | {"__annotations__", "__debug__", "__stdin__", "__stdout__", "__stderr__"}
_HIDDEN = {
    "gi_frame", "gi_code", "gi_yieldfrom", "cr_frame", "cr_code", "cr_await", "cr_origin", "ag_frame", "ag_code",
    "ag_await", "tb_frame", "tb_next", "f_back", "f_builtins", "f_code", "f_globals", "f_locals", "f_trace",
    "strptime", "ctypes",
}  # fmt: skip
_REGISTERS = {"register", "_member_map_", "_member_names_", "_value2member_map_"}  # of a class of the library
_OF_CONTEXTS = {"traps", "flags"}  # of the decimal module: they hold its exceptions
_BARRED = set(
    """
    __build_class__ __import__ __loader__ __spec__ breakpoint compile copyright credits delattr eval exec getattr
    globals help license locals open setattr vars
""".split()
)
STDIN, STDOUT, STDERR, ALL = 1, 2, 4, 7
_STREAM_NAMES = {
    STDIN: {"input", "stdin", "__stdin__"},
    STDOUT: {"input", "print", "stdout", "__stdout__"},
    STDERR: {"stderr", "__stderr__"},
}
_ANY_STREAM = {"exit", "quit", "open"}  # close standard input, or take any descriptor
_COMPARED = {"__eq__", "__hash__"}  # the library keeps some arguments, and compares later ones with them

LOAD, BIND, _ATTRIBUTE, _SUPER, _ASSIGN, MODULE, _MEMBER, _STAR, _ODD, _NO_ARGUMENTS, _CONSTANT, _MERGE = range(1, 13)
_STAR_INTRINSIC = 2
# What is between an instruction and the one that takes its result.
_NOISE = {"CACHE", "EXTENDED_ARG", "NOP", "PRECALL", "RESUME"}
_KIND = {
    "LOAD_NAME": LOAD, "LOAD_GLOBAL": LOAD, "LOAD_FROM_DICT_OR_GLOBALS": LOAD, "STORE_NAME": BIND,
    "STORE_GLOBAL": BIND, "LOAD_ATTR": _ATTRIBUTE, "LOAD_METHOD": _ATTRIBUTE, "LOAD_SUPER_ATTR": _SUPER,
    "STORE_ATTR": _ASSIGN, "DELETE_ATTR": _ASSIGN, "IMPORT_NAME": MODULE, "IMPORT_FROM": _MEMBER,
    "IMPORT_STAR": _STAR, "CALL_INTRINSIC_1": _STAR, "MATCH_CLASS": _ODD, "CALL": _NO_ARGUMENTS,
    "LOAD_CONST": _CONSTANT, "KW_NAMES": _CONSTANT, "DICT_MERGE": _MERGE,
}  # fmt: skip
_WHERE, _ANY_KEYWORD = "where=", "**"  # in `read`: no attribute is called so
_NEW = sys.version_info >= (3, 12)
_KNOWN = (3, 11) <= sys.version_info < (3, 14)  # versions whose instructions are read right
# Of an instruction with a name: how far its argument is shifted to make room for flags.
_SHIFT = {"LOAD_GLOBAL": 1, "LOAD_ATTR": int(_NEW), "LOAD_SUPER_ATTR": 2}
# By the number of an instruction: its kind, and the shift; None for noise.
_CODES: list[tuple[int, int] | None] = [
    None if name in _NOISE else (_KIND.get(name, 0), _SHIFT.get(name, 0))
    for name in (opcode.opname[n] if n < len(opcode.opname) else "" for n in range(256))
]
_EXTENDED = opcode.opmap["EXTENDED_ARG"]


@dataclass(slots=True)
class Facts:
    """What a piece of code names. `modules`: the global variables that hold one."""

    modules: dict[str, str] = field(default_factory=dict)
    used: set[tuple[str, str]] = field(default_factory=set)  # modules, and what the code takes from them
    stars: set[str] = field(default_factory=set)
    loose: set[str] = field(default_factory=set)  # modules that may be in any variable
    loaded: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)  # attributes, but for those of modules
    assigned: set[str] = field(default_factory=set)  # attributes
    bound: set[str] = field(default_factory=set)
    odd: bool = not _KNOWN

    def joined(self, other: "Facts") -> "Facts":
        """Of both, as one program."""
        sets = ("used", "stars", "loose", "loaded", "read", "assigned", "bound")
        joined = {name: getattr(self, name) | getattr(other, name) for name in sets}
        return Facts(self.modules | other.modules, **joined, odd=self.odd or other.odd)


def facts(code: types.CodeType, modules: dict[str, str] | None = None) -> Facts:
    """`modules`: the variables that hold one, from code that ran before."""
    found = Facts(dict(modules or {}))
    parts = [(part, list(steps(part))) for part in nested(code)]
    for part, each in parts:
        _imports(each, found, outermost=part is code)
    for _, each in parts:
        _names(each, found)
    return found


def ordinary(found: Facts) -> bool:
    """Whether the tests of a program, of which these are all the facts, can share a process."""
    got = {pair for pair in found.used if pair[0] != "__future__" or pair[1] in found.loaded} | _unsorted(found)
    replaced = {(m, n) for m in found.loose for n in found.assigned & _public(m)} - _RENEWED
    if replaced or found.odd or not all(name in _listed(module) for module, name in got):
        return False
    special = {name for name in found.read if _is_special(name)}
    classes = "type" in found.loaded or "__class__" in special
    if found.read & _HIDDEN or not special <= _READ or any(map(_is_special, found.assigned)):
        return False
    if found.loaded & _BARRED or not {n for n in found.loaded if _is_special(n)} <= _LOADED:
        return False
    if not {n for n in found.bound if _is_special(n)} <= _BOUND or "super" in found.bound:
        return False
    unfrozen = {pair for pair in got - _RENEWED if not _is_frozen(_value(*pair))}
    if unfrozen and (
        found.read & _REGISTERS or found.bound & _COMPARED or special & _CHANGING or "type" in found.loaded
    ):
        return False
    modules = {module for module, _ in got}
    if "decimal" in modules and (found.read | found.assigned) & _OF_CONTEXTS:
        return False
    if "numpy" in {module.partition(".")[0] for module in modules} and (classes or found.read & {_WHERE, _ANY_KEYWORD}):
        return False  # arrays with what memory held before
    if "typing" in modules and ((found.read | found.assigned) & _ALIAS_STATE or classes):
        return False
    inert = unfrozen - _ALIASES or classes or found.loaded & _INERT_BUILTINS
    return not inert or not (found.assigned or special & _CHANGING)


def streams(found: Facts) -> int:
    """Which standard streams an ordinary program may name (STDIN, STDOUT, STDERR): it leaves the others' objects alone.

    Something may still be written to them, as by the interpreter about a generator that cannot be closed.
    """
    names = found.loaded | found.read | found.assigned | {name for _, name in found.used}
    if found.stars or found.loose or names & _ANY_STREAM or any(module == "os" for module, _ in found.used):
        return ALL
    return sum(stream for stream, words in _STREAM_NAMES.items() if names & words)


def _unsorted(found: Facts) -> set[tuple[str, str]]:
    """What may come out of a module by its bare name, or out of a variable that may hold it."""
    stars = {(module, name) for module in found.stars for name in found.loaded & _exported(module)}
    every = found.loaded | found.read | found.assigned
    return stars | {(m, n) for m in found.loose for n in every & _public(m)}


@functools.cache
def _listed(module: str) -> frozenset[str]:
    names = set(_LISTED.get(module, "").split())
    if "*" in names:
        names |= {n for n in _public(module) if not n.startswith("_") and _is_frozen(_value(module, n))}
    return frozenset(names - _EXCLUDED.get(module, set()))


@functools.cache
def _public(module: str) -> frozenset[str]:
    return frozenset(name for name in dir(sys.modules.get(module)) if not _is_special(name))


@functools.cache
def _exported(module: str) -> frozenset[str]:
    return frozenset(getattr(sys.modules.get(module), "__all__", _public(module)))


@functools.cache
def _is_there(module: str) -> bool:
    """Imported before any program: else the first test would pay for what the others have."""
    return module in _LISTED and module in sys.modules


def _value(module: str, name: str) -> Any:
    return getattr(sys.modules[module], name, None)


def _is_frozen(value: Any) -> bool:
    if isinstance(value, type):
        return bool(value.__flags__ & _IMMUTABLE) or not value.__flags__ & _HEAP
    return type(value) in _BASIC or type(value) in _FROZEN


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


# Those of the module site come later.
_INERT_BUILTINS = {n for n, v in vars(builtins).items() if not _is_frozen(v)} | {"exit", "quit"}


def steps(part: types.CodeType) -> Iterator[tuple[int, Any]]:
    """Its instructions in order, as a kind (0: any other) and a name or, of a constant, its value."""
    text, names, constants, high = part.co_code, part.co_names, part.co_consts, 0
    for number, argument in zip(text[::2], text[1::2], strict=True):
        code = _CODES[number]
        if code is None:
            high = (high | argument) << 8 if number == _EXTENDED else 0
            continue
        kind, shift = code
        if not kind:
            yield 0, ""
        elif kind == _CONSTANT:
            yield kind, constants[high | argument]
        elif kind == _NO_ARGUMENTS:
            yield (kind if not high | argument else 0), ""
        elif kind == _STAR or kind == _ODD or kind == _MERGE:
            yield (kind if number != _INTRINSIC or argument == _STAR_INTRINSIC else 0), ""
        else:
            yield kind, names[(high | argument) >> shift]
        high = 0


_INTRINSIC = opcode.opmap.get("CALL_INTRINSIC_1", -1)


def _imports(steps: list[tuple[int, Any]], found: Facts, outermost: bool) -> None:
    """Which names of which modules it imports, and which variables hold a module."""
    module = ""
    for place, (kind, name) in enumerate(steps):
        if kind == MODULE:
            module = name
            found.odd |= not _is_there(module)
            if steps[place - 1] == (_CONSTANT, None):
                after, variable = steps[place + 1]
                if not outermost or after != BIND or "." in module or module != found.modules.get(variable, module):
                    found.loose.add(module)
                else:
                    found.modules[variable] = module
        elif kind == _MEMBER:
            found.used.add((module, name))
        elif kind == _STAR:
            found.stars.add(module)


def _names(steps: list[tuple[int, Any]], found: Facts) -> None:
    """What it does with names. A module in a variable is sorted out where its attribute follows at once."""
    holder, inner, before, before_that = "", "", (0, ""), (0, "")
    for step in steps:
        kind, name = step
        if holder:
            if kind == _ATTRIBUTE or (kind == _ASSIGN and (holder, name) in _RENEWED):
                found.used.add((holder, name))
                inner = f"{holder}.{name}"
                kind = 0
            else:
                found.loose.add(holder)
        holder = found.modules.get(name, "") if kind == LOAD else inner if inner in _LISTED else ""
        inner = ""
        if kind == LOAD:
            found.loaded.add(name)
        elif kind == BIND:
            found.bound.add(name)
        elif kind == _ASSIGN:
            found.assigned.add(name)
        elif kind == _ODD:
            found.odd = True
        elif kind == _MERGE:
            found.read.add(_ANY_KEYWORD)
        elif kind == _CONSTANT:
            if name == "where" or (isinstance(name, tuple) and "where" in name):
                found.read.add(_WHERE)
        elif kind == _SUPER or kind == _ATTRIBUTE:
            own = kind == _SUPER or (before[0] == _NO_ARGUMENTS and before_that == (LOAD, "super"))
            if not (own and name == "__init__"):
                found.read.add(name)
        before_that, before = before, step
