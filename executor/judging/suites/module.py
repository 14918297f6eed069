"""A module of tests as guarded code, a piece of code a test: pytest's functions and classes, and unittest's.

What such a module does most is carried out by a few lines that stand before it (`support`), beside the program, where
pytest itself is not installed. A test that is skipped in any case is none. Anything else is refused by its name. The
module imports the program as `solution`.
"""

import ast
import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from stepcoder.executor.judging.suites import asking
from stepcoder.executor.judging.suites.ended import REQUIRED, left_to, mark, marked
from stepcoder.executor.judging.suites.fixtures import Fixture, Function, Made, fixture, hook, parameters
from stepcoder.executor.judging.suites.imports import Canonical

_SUPPORT = {file.stem: file.read_text() for file in sorted((Path(__file__).parent / "support").glob("*.py"))}
_OF_PYTEST = {"raises": "_raises", "approx": "_approx", "param": "_param", "fail": "_fail"}
_MARKS = {"parametrize", "skip", "skipif", "xfail", "usefixtures"}  # all others change nothing
_SKIPPED = ("pytest.mark.skip", "unittest.skip")
_ASSERTS = set(re.findall(r"(assert\w+)", _SUPPORT["unittests"])) | {"fail", "subTest"}
_OF_UNITTEST = {"TestCase": "_TestCase", "IsolatedAsyncioTestCase": "_TestCase", "main": "_main"}
_ASYNC_HOOKS = ("asyncSetUp", "asyncTearDown")
_OF_TEST_CASE = {"skipTest", "addCleanup", "addClassCleanup", "addTypeEqualityFunc", "enterContext", "id", "doCleanups",
                "shortDescription", "failureException", "countTestCases", "defaultTestResult"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Module:
    """`source`: what stands before the call of a test, of which `body` is the module's own. `calls`: the code that runs
    a test, by its name."""

    source: str
    body: list[ast.stmt]
    calls: dict[str, str] = field(default_factory=dict)


def names(source: str) -> list[str]:
    """The tests of a module in order, each case of a `parametrize` whose values stand there as its own."""
    return list(module(source).calls)


def code(source: str, name: str) -> str:
    """What is run for one test. ValueError for a test that is not there, and for what is not supported."""
    found = module(source)
    if name not in found.calls:
        listed = ", ".join(list(found.calls)[:10])
        raise ValueError(f"the module has no test {name!r}; it has {listed or 'none'}")
    return f"{found.source}\n{found.calls[name]}\n"


def can_fail(source: str, tests: Iterable[str]) -> bool:
    """Whether any of these tests asks something where it runs, and is heard when it fails."""
    found = module(source)
    return any(asking.fault([*found.body, *ast.parse(found.calls[name]).body]) is None for name in tests)


@lru_cache(maxsize=8)
def module(source: str) -> Module:
    """ValueError for what is not supported, by name."""
    try:
        tree = ast.parse(source.removeprefix("\ufeff"))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"the module does not compile: {error}") from error
    names = Canonical()
    tree.body = _imported(tree.body)
    read = _Reader(tree := names.visit(tree))
    tree = ast.fix_missing_locations(read.visit(tree))
    read.coroutines = marked(tree)
    _refuse_hidden(tree.body)
    calls: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, Function) and node.name.startswith("test"):
            read.add(calls, node, None)
        elif isinstance(node, ast.ClassDef) and (node.name in read.unittest or node.name.startswith("Test")):
            for method in read.methods(node).values():
                if method.name.startswith("test"):
                    read.add(calls, method, node)
    if not calls:
        raise ValueError("the module has no test: a function, or a method of a class, whose name begins with test")
    text = ast.unparse(tree)
    return Module("\n".join([*names.first, *_parts("\n".join([text, *calls.values()])), text]), tree.body, calls)


def _imported(body: list[ast.stmt]) -> list[ast.stmt]:
    """Without what a module does only where it is run as a script, such as `pytest.main()`."""
    return [part for node in body for part in (node.orelse if isinstance(node, ast.If) and _script(node) else [node])]


def _script(node: ast.If) -> bool:
    return ast.unparse(node.test) in ("__name__ == '__main__'", "'__main__' == __name__")


def _refuse_hidden(body: Iterable[ast.AST], inside: str = "") -> None:
    """ValueError for a test that stands inside of a statement or of a class in a class, where it would not be found."""
    for node in body:
        is_class = isinstance(node, ast.ClassDef)
        if inside and isinstance(node, Function | ast.ClassDef) and node.name.lower().startswith("test"):
            if is_class or inside != "class":
                raise ValueError(f"{node.name} is not supported: it stands inside of a {inside}")
        if not isinstance(node, Function):
            within = [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt | ast.ExceptHandler)]
            _refuse_hidden(within, "class" if is_class and inside != "statement" else "statement")


def _parts(text: str) -> list[str]:
    wanted = ["running"]
    wanted += ["raising"] if "_raises" in text or "_TestCase" in text else []
    wanted += ["approximate"] if "_approx" in text else []
    wanted += ["coroutines"] if "_to_its_end" in text else []
    wanted += ["unittests"] if "_TestCase" in text else []
    ends = ["_param = lambda *values, **_: _Param(values)"] if "_param" in text else []
    ends += ["import asyncio"] if "asyncio.run" in text else []
    ends += ["_approx = _Approx"] if "_approx" in text else []
    ends += ["_main = lambda *_, **__: None"] if "_main" in text else []
    ends += ["def _fail(reason='', **_):\n    raise AssertionError(reason)"] if "_fail" in text else []
    return [*(_SUPPORT[name] for name in wanted), *ends]


class _Reader(ast.NodeTransformer):
    """Puts what stands before a module in place of pytest and unittest, and takes the decorators of tests away."""

    def __init__(self, tree: ast.Module) -> None:
        self.unittest: set[str] = set()
        self.coroutines: set[str] = set()  # that tests may leave their asserts to
        self._classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self._functions = {node.name: node for node in tree.body if isinstance(node, Function)}
        self._defined = {node.name for node in ast.walk(tree) if isinstance(node, Function)}
        self._inside: list[str] = []  # names of classes
        self._fixtures: dict[str, dict[str, Fixture]] = {}  # by the class, "" for the module
        self._parametrized: dict[int, list[ast.Call]] = {}
        self._skipped: set[int | str] = set()  # ids of functions, names of classes

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        # The program's names are there anyway.
        return None if node.module == "solution" and node.names[0].name == "*" else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if _idle(node):
            return ast.copy_location(ast.Constant(None), node)
        match node:
            case ast.Attribute(value=ast.Attribute(value=ast.Name("pytest"), attr="mark"), attr=name):
                raise ValueError(f"pytest.mark.{name} is not supported")
            case ast.Attribute(value=ast.Name("pytest"), attr=name):
                if name not in _OF_PYTEST:
                    raise ValueError(f"pytest.{name} is not supported")
                return ast.copy_location(ast.Name(_OF_PYTEST[name], ast.Load()), node)
            case ast.Attribute(value=ast.Name("unittest"), attr=name):
                if name not in _OF_UNITTEST:
                    raise ValueError(f"unittest.{name} is not supported")
                return ast.copy_location(ast.Name(_OF_UNITTEST[name], ast.Load()), node)
            case ast.Attribute(value=ast.Name("self"), attr=name) if name not in self._defined:
                if name in _OF_TEST_CASE or (name.startswith("assert") and name not in _ASSERTS):
                    raise ValueError(f"self.{name} is not supported")
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        return ast.copy_location(ast.Constant(None), node) if _idle(node) else self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if any(_called(decorator) in _SKIPPED for decorator in node.decorator_list):
            self._skipped.add(node.name)
        cases = [decorator for decorator in node.decorator_list if _called(decorator) == "pytest.mark.parametrize"]
        for part in node.body:
            if isinstance(part, Function) and part.name.startswith("test"):
                part.decorator_list += map(copy.deepcopy, cases)
        node.decorator_list = [d for d in node.decorator_list if not (d in cases or _called(d) in _SKIPPED or _idle(d))]
        self._inside.append(node.name)
        found = self.generic_visit(node)
        self._inside.pop()
        if any(ast.unparse(base) in ("_TestCase", *self.unittest) for base in node.bases):
            self.unittest.add(node.name)
        return found

    def methods(self, node: ast.ClassDef) -> dict[str, Function]:
        """Of a class and of the module's classes that it inherits from, by name."""
        found: dict[str, Function] = {}
        for base in reversed(node.bases):
            if (above := self._classes.get(ast.unparse(base))) is not None and above is not node:
                found |= self.methods(above)
        return found | {part.name: part for part in node.body if isinstance(part, Function)}

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        if (
            any(_called(decorator) == "pytest.fixture" for decorator in node.decorator_list)
            or node.name in _ASYNC_HOOKS
        ):
            raise ValueError(f"{node.name} is not supported: async")
        if node.name.startswith("test"):
            mark(node)
        return self.visit_FunctionDef(node)

    def visit_FunctionDef(self, node: Function) -> ast.AST:
        kept: list[ast.expr] = []
        for decorator in node.decorator_list:
            text = _called(decorator)
            if text == "pytest.fixture" and isinstance(node, ast.FunctionDef):
                name, made = fixture(node, decorator, bool(self._inside))
                self._fixtures.setdefault(self._inside[-1] if self._inside else "", {})[name] = made
            elif text in _SKIPPED:
                self._skipped.add(id(node))
            elif text == "pytest.mark.parametrize" and isinstance(decorator, ast.Call):
                decorator.args = [self.visit(argument) for argument in _of_parametrize(decorator, node.name)]
                self._parametrized.setdefault(id(node), []).append(decorator)
            elif text.startswith("pytest.") and not _idle(decorator):
                raise ValueError(f"{node.name} is not supported: {text}")
            elif not text.startswith("pytest."):
                kept.append(decorator)
        node.decorator_list = kept
        return self.generic_visit(node)

    def add(self, calls: dict[str, str], node: Function, owner: ast.ClassDef | None) -> None:
        """The calls of a test, one a case where the number of cases can be seen; none of a test that is skipped."""
        if not self._skipped.isdisjoint([id(node), *(self._line(owner) if owner else [])]):
            return
        if isinstance(node, ast.FunctionDef) and asking.later(node):
            raise ValueError(f"{node.name} is not supported: yield")
        marks = self._parametrized.get(id(node), [])
        sets = ", ".join(f"({ast.unparse(mark.args[0])}, {ast.unparse(mark.args[1])})" for mark in marks)
        name = f"{owner.name}.{node.name}" if owner else node.name
        body = self._call(node, owner, name)
        counts = [len(v.elts) if isinstance(v := mark.args[1], ast.List | ast.Tuple) else None for mark in marks]
        if not marks or None in counts:
            calls[name] = f"{body}_run(_call, [{sets}])"
            return
        total = 1
        for count in counts:
            total *= count or 0
        calls.update({f"{name}[{n}]": f"{body}_run(_call, [{sets}], {n})" for n in range(total)})

    def _call(self, node: Function, owner: ast.ClassDef | None, name: str) -> str:
        """A function that runs a test with the arguments of a case, between what is set up and taken down."""
        static = any(ast.unparse(decorator) == "staticmethod" for decorator in node.decorator_list)
        asked = parameters(node, owner is not None and not static)
        given = {text.strip() for mark in self._parametrized.get(id(node), []) for text in _names_of(mark)}
        wanted = [argument for argument in asked if argument not in given]
        made = Made(self._known(owner), name)
        made.make([name for name, it in made.known.items() if it.always])
        made.make(wanted)
        before, after = self._hooks(owner)
        run = f"{'_it.' if owner else ''}{node.name}(**given)"
        run = f"asyncio.run({run})" if isinstance(node, ast.AsyncFunctionDef) else run
        if isinstance(node, ast.AsyncFunctionDef) or left_to(self.coroutines, node):
            run += f"; {REQUIRED}"
        before += [*made.lines, *(f"given['{fixture}'] = _fixture_{fixture}" for fixture in wanted)]
        last = [*made.last, *after] or ["pass"]
        lines = ["def _call(**given):", *_indented(before), "    try:", f"        {run}", "    finally:"]
        return "\n".join([*lines, *_indented(last, 8)]) + "\n"

    def _known(self, owner: ast.ClassDef | None) -> dict[str, Fixture]:
        """The fixtures that a test of this class can ask for."""
        found = dict(self._fixtures.get("", {}))
        for name in reversed(self._line(owner) if owner else []):
            found |= self._fixtures.get(name, {})
        return found

    def _line(self, node: ast.ClassDef) -> list[str]:
        """A class and those of the module that it inherits from, by name."""
        above = [self._classes[text] for base in node.bases if (text := ast.unparse(base)) in self._classes]
        return [node.name, *(name for base in above if base is not node for name in self._line(base))]

    def _hooks(self, owner: ast.ClassDef | None) -> tuple[list[str], list[str]]:
        """Lines before and after a test."""
        functions = self._functions
        before = [*hook(functions, "setup_module"), *hook(functions, "setUpModule")]
        after = [*hook(functions, "teardown_module"), *hook(functions, "tearDownModule")]
        if owner is None:
            return (
                [*before, *hook(functions, "setup_function")],
                [*hook(functions, "teardown_function"), *after],
            )
        methods = self.methods(owner)
        before, after = [*before, f"_it = {owner.name}()"], after
        if owner.name in self.unittest:
            before += ["_it.setUpClass()", "_it.setUp()"]
            after = ["_it.tearDown()", "_it.tearDownClass()", *after]
        before += [*hook(methods, "setup_class", "_it."), *hook(methods, "setup_method", "_it.")]
        return before, [*hook(methods, "teardown_method", "_it."), *hook(methods, "teardown_class", "_it."), *after]


def _called(decorator: ast.expr) -> str:
    return ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)


def _idle(node: ast.expr) -> bool:
    """Whether it is a mark that changes nothing."""
    text = _called(node)
    return text.startswith("pytest.mark.") and text.removeprefix("pytest.mark.") not in _MARKS


def _of_parametrize(decorator: ast.Call, test: str) -> list[ast.expr]:
    """Names and values."""
    keywords = {keyword.arg: keyword.value for keyword in decorator.keywords}
    named = [keywords.pop(name) for name in ("argnames", "argvalues")[len(decorator.args) :] if name in keywords]
    if keywords.keys() - {"ids"} or len(found := [*decorator.args, *named]) != 2:
        raise ValueError(f"{test} is not supported: {ast.unparse(decorator)[:60]}")
    return found


def _indented(lines: Iterable[str], by: int = 4) -> list[str]:
    return [" " * by + line for line in lines]


def _names_of(mark: ast.Call) -> list[str]:
    try:
        names = ast.literal_eval(mark.args[0])
    except ValueError:
        raise ValueError(f"parametrize: names that are not written out: {ast.unparse(mark.args[0])}") from None
    return names.split(",") if isinstance(names, str) else list(names)
