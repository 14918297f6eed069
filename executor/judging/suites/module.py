"""A module of tests as guarded code, a piece of code a test: pytest's functions and classes, and unittest's.

What such a module does most is carried out by a few lines that stand before it (`support`), beside the program, where
pytest itself is not installed. Anything else is refused by its name. The module imports the program as `solution`.
"""

import ast
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

_SUPPORT = {file.stem: file.read_text() for file in sorted((Path(__file__).parent / "support").glob("*.py"))}
_OF_PYTEST = {"raises": "_raises", "approx": "_approx", "param": "_param", "fail": "_fail"}
_IGNORED_MARKS = {"timeout", "slow", "unit", "order", "filterwarnings"}
_ASSERTS = set(re.findall(r"(assert\w+)", _SUPPORT["unittests"])) | {"fail", "subTest"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """`source`: what stands before the call of a test. `calls`: the code that runs a test, by its name."""

    source: str
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


@lru_cache(maxsize=8)
def module(source: str) -> Module:
    """ValueError for what is not supported, by name."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"the module does not compile: {error}") from error
    read = _Reader()
    tree = ast.fix_missing_locations(read.visit(tree))
    calls: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, Function) and node.name.startswith("test"):
            read.add(calls, node, None)
        elif isinstance(node, ast.ClassDef) and (node.name in read.unittest or node.name.startswith("Test")):
            for method in node.body:
                if isinstance(method, Function) and method.name.startswith("test"):
                    read.add(calls, method, node)
    if not calls:
        raise ValueError("the module has no test: a function, or a method of a class, whose name begins with test")
    text = ast.unparse(tree)
    return Module("\n".join([*_parts("\n".join([text, *calls.values()])), text]), calls)


def _parts(text: str) -> list[str]:
    wanted = ["running"]
    wanted += ["raising"] if "_raises" in text or "_TestCase" in text else []
    wanted += ["approximate"] if "_approx" in text else []
    wanted += ["unittests"] if "_TestCase" in text else []
    ends = ["_param = lambda *values, **_: _Param(values)"] if "_param" in text else []
    ends += ["_approx = _Approx"] if "_approx" in text else []
    ends += ["def _fail(reason=''):\n    raise AssertionError(reason)"] if "_fail" in text else []
    return [*(_SUPPORT[name] for name in wanted), *ends]


class _Reader(ast.NodeTransformer):
    """Puts what stands before a module in place of pytest and unittest, and takes the decorators of tests away."""

    def __init__(self) -> None:
        self.unittest: set[str] = set()
        self.fixtures: set[str] = set()
        self._generators: set[str] = set()
        self._parametrized: dict[int, list[ast.Call]] = {}

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        for alias in node.names:
            root = alias.name.split(".")[0]
            if root in ("unittest", "pytest") and (alias.asname or root != alias.name):
                raise ValueError(f"`{ast.unparse(node)}` is not supported")
        node.names = [alias for alias in node.names if alias.name not in ("unittest", "pytest")]
        return node if node.names else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt] | None:
        if node.module == "solution" and node.names[0].name == "*":
            return None  # the program's names are there anyway
        if (node.module or "").split(".")[0] not in ("unittest", "pytest"):
            return node
        known = _OF_PYTEST if node.module == "pytest" else {"TestCase": "_TestCase"}
        if any(alias.name not in known for alias in node.names) or "." in (node.module or ""):
            raise ValueError(f"`{ast.unparse(node)}` is not supported")
        text = "\n".join(f"{alias.asname or alias.name} = {known[alias.name]}" for alias in node.names)
        return list(ast.parse(text).body)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        match node:
            case ast.Attribute(value=ast.Name("pytest"), attr=name):
                if name not in _OF_PYTEST:
                    raise ValueError(f"pytest.{name} is not supported")
                return ast.copy_location(ast.Name(_OF_PYTEST[name], ast.Load()), node)
            case ast.Attribute(value=ast.Name("unittest"), attr=name):
                if name not in ("TestCase", "main"):
                    raise ValueError(f"unittest.{name} is not supported")
                return ast.copy_location(ast.Name(f"_{name}", ast.Load()), node)
            case ast.Attribute(value=ast.Name("self"), attr=name) if name.startswith("assert") and name not in _ASSERTS:
                raise ValueError(f"self.{name} is not supported")
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        found = self.generic_visit(node)
        if any(ast.unparse(base) in ("_TestCase", "TestCase", *self.unittest) for base in node.bases):
            self.unittest.add(node.name)
        return found

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        if node.name.startswith("test"):
            raise ValueError(f"{node.name} is not supported: async tests")
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        kept: list[ast.expr] = []
        for decorator in node.decorator_list:
            text = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if text == "pytest.fixture":
                if isinstance(decorator, ast.Call) and {k.arg for k in decorator.keywords} - {"scope", "name"}:
                    raise ValueError(f"fixture {node.name} is not supported: {ast.unparse(decorator)}")
                self.fixtures.add(node.name)
                if any(isinstance(part, ast.Yield) for part in ast.walk(node)):
                    self._generators.add(node.name)
            elif text == "pytest.mark.parametrize" and isinstance(decorator, ast.Call):
                if {keyword.arg for keyword in decorator.keywords} - {"ids"} or len(decorator.args) != 2:
                    raise ValueError(f"{node.name} is not supported: {ast.unparse(decorator)[:60]}")
                decorator.args = [self.visit(argument) for argument in decorator.args]
                self._parametrized.setdefault(id(node), []).append(decorator)
            elif text.startswith("pytest.") and text.removeprefix("pytest.mark.") not in _IGNORED_MARKS:
                raise ValueError(f"{node.name} is not supported: {text}")
            elif not text.startswith("pytest."):
                kept.append(decorator)
        node.decorator_list = kept
        return self.generic_visit(node)

    def add(self, calls: dict[str, str], node: Function, owner: ast.ClassDef | None) -> None:
        """The calls of a test, one a case where the number of cases can be seen."""
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
        asked = [argument.arg for argument in node.args.args][1 if owner else 0 :]
        given = {text.strip() for mark in self._parametrized.get(id(node), []) for text in _names_of(mark)}
        wanted = [argument for argument in asked if argument not in given]
        if unknown := [argument for argument in wanted if argument not in self.fixtures]:
            raise ValueError(f"{name} is not supported: the fixture {unknown[0]}")
        lines, last = ["def _call(**given):"], []
        for fixture in wanted:
            if fixture in self._generators:
                lines += [f"    _made_{fixture} = {fixture}()", f"    given['{fixture}'] = next(_made_{fixture})"]
                last.append(f"        next(_made_{fixture}, None)")
            else:
                lines.append(f"    given['{fixture}'] = {fixture}()")
        if owner is None:
            run = f"{node.name}(**given)"
        else:
            lines.append(f"    _it = {owner.name}()")
            run = f"_it.{node.name}(**given)"
            defined = {part.name for part in owner.body if isinstance(part, Function)}
            if owner.name in self.unittest:
                lines += ["    _it.setUpClass()", "    _it.setUp()"]
                last += ["        _it.tearDown()", "        _it.tearDownClass()"]
            lines += ["    _it.setup_method()"] if "setup_method" in defined else []
            last += ["        _it.teardown_method()"] if "teardown_method" in defined else []
        lines += ["    try:", f"        {run}", "    finally:", *(last or ["        pass"])]
        return "\n".join(lines) + "\n"


def _names_of(mark: ast.Call) -> list[str]:
    try:
        names = ast.literal_eval(mark.args[0])
    except ValueError:
        raise ValueError(f"parametrize: names that are not written out: {ast.unparse(mark.args[0])}") from None
    return names.split(",") if isinstance(names, str) else list(names)
