"""What stands around the call of a test: its fixtures, and what is set up before and taken down after it."""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Fixture:
    """`method`: of a class of tests. `always`: also of tests that do not ask for it."""

    function: ast.FunctionDef
    method: bool
    always: bool

    @property
    def yields(self) -> bool:
        return any(isinstance(part, ast.Yield) for part in ast.walk(self.function))


def fixture(node: ast.FunctionDef, decorator: ast.expr, method: bool) -> tuple[str, Fixture]:
    """The name of the fixture, and what it is. ValueError for one that is more than a function."""
    keywords = {k.arg: k.value for k in decorator.keywords} if isinstance(decorator, ast.Call) else {}
    name, always = keywords.pop("name", ast.Constant(node.name)), keywords.pop("autouse", ast.Constant(False))
    if keywords.keys() - {"scope"} or not isinstance(name, ast.Constant) or not isinstance(always, ast.Constant):
        raise ValueError(f"fixture {node.name} is not supported: {ast.unparse(decorator)}")
    return str(name.value), Fixture(node, method, bool(always.value))


def parameters(function: Function, bound: bool) -> list[str]:
    return [argument.arg for argument in function.args.args][1 if bound else 0 :]


def hook(functions: Mapping[str, Function], name: str, owner: str = "") -> list[str]:
    """The call of what is set up or taken down, where it is defined; None for an argument that it does not look at."""
    if name not in functions:
        return []
    function = functions[name]
    bound = owner != "" and not any(ast.unparse(d) == "staticmethod" for d in function.decorator_list)
    asked = parameters(function, bound)
    looked_at = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)} & set(asked)
    if looked_at or isinstance(function, ast.AsyncFunctionDef):
        raise ValueError(f"{name} is not supported: {', '.join(looked_at) or 'async'}")
    return [f"{owner}{name}({', '.join(['None'] * len(asked))})"]


@dataclass(slots=True)
class Made:
    """Lines that make fixtures, each once, and lines that end them."""

    known: Mapping[str, Fixture]
    test: str
    lines: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)
    _begun: list[str] = field(default_factory=list)

    def make(self, names: Iterable[str]) -> None:
        """Those that these need first. ValueError for one that the module does not have."""
        for name in names:
            if name not in self.known:
                raise ValueError(f"{self.test} is not supported: the fixture {name}")
            if name not in self._begun:
                self._begun.append(name)
                self._make(name, self.known[name])

    def _make(self, name: str, it: Fixture) -> None:
        asked = parameters(it.function, it.method)
        self.make(asked)
        given = ", ".join(f"{other}=_fixture_{other}" for other in asked)
        call = f"{'_it.' if it.method else ''}{it.function.name}({given})"
        if it.yields:
            self.lines += [f"_made_{name} = {call}", f"_fixture_{name} = next(_made_{name})"]
            self.last.insert(0, f"next(_made_{name}, None)")
        else:
            self.lines.append(f"_fixture_{name} = {call}")
