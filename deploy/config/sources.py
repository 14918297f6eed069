"""The sources of settings: YAML files, the environment, the command line. Each gives layers of values by dotted key.

Every value remembers where it came from. A type alone may stand in the place of a section that is a choice of types:
`kl: none` is `kl: {type: none}`.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stepcoder.deploy.config.fields import Tree
from stepcoder.deploy.config.moved import was_section
from stepcoder.errors import UserError, nearest
from stepcoder.files import read_text

PREFIX = "STEPCODER_"
# Variables of the same prefix that other parts read
NOT_SETTINGS = {
    "STEPCODER_CACHE",
    "STEPCODER_COMMIT",
    *(f"STEPCODER_JUDGE_{name}" for name in ("URL", "TOKEN", "PROBLEMS")),
}


@dataclass(frozen=True, slots=True)
class Given:
    """A value as the user wrote it, and where."""

    value: Any
    origin: str
    file: bool = False


Layer = dict[str, Given]


def read_yaml(path: Path, tree: Tree, seen: tuple[Path, ...] = (), named: str = "") -> list[Layer]:
    """The layers of a YAML file: that of the file which it `extends` (a path relative to it) lies under its own.

    `named`: where another file names this one.
    """
    try:
        text = read_text(path)
    except OSError as error:
        there = {file.stem: str(file) for file in [*path.parent.glob("*.yaml")] or Path("configs").glob("*.yaml")}
        close = nearest(path.stem, sorted(there))
        listed = f" There are: {', '.join(sorted(there.values()))}." if there else ""
        hint = f" Did you mean {there[close[0]]}?" if close else listed
        by = f" ({named})" if named else ""
        raise UserError(f"configuration file {path}{by}: {error.strerror or error}.{hint}") from None
    with refused(path):
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return []
        if not isinstance(root, yaml.MappingNode):
            raise UserError(f"{path}: expected 'key: value' lines, found something else.")
        return walk(path, loader, root, tree, seen)


@contextlib.contextmanager
def refused(path: Path | str) -> Iterator[None]:
    """What a file of settings cannot be read for becomes a UserError."""
    try:
        yield
    except RecursionError:
        raise UserError(f"{path} is not valid YAML: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a value such as the day 2025-02-31
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None


def read_kept(path: Path) -> dict[str, Any]:
    """The settings that a run or a study wrote down. UserError for a damaged file, or one of another program."""
    with refused(path):
        return parse_kept(read_text(path), path)


def parse_kept(text: str, place: Path | str) -> dict[str, Any]:
    with refused(place):
        found = yaml.safe_load(text) or {}
    if not isinstance(found, dict):
        raise UserError(f"{place}: expected 'key: value' lines, found something else.")
    return found


def walk(
    path: Path, loader: yaml.SafeLoader, root: yaml.MappingNode, tree: Tree, seen: tuple[Path, ...] = ()
) -> list[Layer]:
    """The layers of a mapping in a YAML file, each value with its line."""
    base: list[Layer] = []
    found: Layer = {}
    places: dict[str, str] = {}  # of sections too

    def visit(node: yaml.MappingNode, prefix: str) -> None:
        for name_node, value_node in node.value:
            key = f"{prefix}{loader.construct_object(name_node)}"
            place = f"{path}, line {name_node.start_mark.line + 1}"
            if key in places:
                raise twice(key, places[key], place)
            places[key] = place
            if key == "extends":
                other = (path.parent / str(loader.construct_object(value_node))).resolve()
                if other in (*seen, path.resolve()):
                    raise UserError(f"{place}: 'extends' goes round in a circle ({other}).")
                base.extend(read_yaml(other, tree, (*seen, path.resolve()), f"{place}, 'extends'"))
            elif isinstance(value_node, yaml.MappingNode) and (key in tree.sections or was_section(key)):
                visit(value_node, key + ".")
            elif key in tree.sections and key not in tree.unions and loader.construct_object(value_node) is None:
                continue
            else:
                found[key] = Given(loader.construct_object(value_node, deep=True), place, file=True)

    visit(root, "")
    return [*base, types_alone(found, tree)]


def read_environment(environment: Mapping[str, str], tree: Tree) -> Layer:
    """`STEPCODER_LEARNER__POLICY__LR=1e-5` gives learner.policy.lr."""
    found: Layer = {}
    for name, value in environment.items():
        if name.startswith(PREFIX) and name not in NOT_SETTINGS:
            key, origin = name[len(PREFIX) :].lower().replace("__", "."), f"environment variable {name}"
            if key in found:
                raise twice(key, found[key].origin, origin)
            found[key] = Given(value, origin)
    return types_alone(found, tree)


def read_arguments(arguments: Sequence[str], tree: Tree) -> Layer:
    found = {}
    queue = list(arguments)
    while queue:
        word = queue.pop(0)
        if not word.startswith("--") or word == "--":
            is_file = word.endswith((".yaml", ".yml"))
            way = "a file is given as --config FILE" if is_file else "settings are given as --section.key value"
            raise UserError(f"command line: {word!r} is not understood; {way}.")
        name, equals, value = word[2:].partition("=")
        if name == "set":
            pair = value if equals else (queue.pop(0) if queue else "")
            name, equals, value = pair.partition("=")
            if not equals:
                raise UserError("command line: --set takes KEY=VALUE, for example --set learner.policy.lr=1e-5.")
        key = name.replace("-", "_")
        leaf = tree.named(key)
        if not equals:
            if queue and not queue[0].startswith("--"):
                value = queue.pop(0)
            elif leaf is not None and leaf.switch:
                value = "true"
            elif leaf is not None:
                raise UserError(f"command line: --{key} needs a value ({leaf.allowed}).")
        found[key] = Given(value, "command line")
    return types_alone(found, tree)


def twice(key: str, *places: str) -> UserError:
    """A file and an environment have no order in which one of two values wins."""
    return UserError(f"{key} is given twice ({' and '.join(places)}); leave one of them out.")


def types_alone(layer: Layer, tree: Tree) -> Layer:
    """The layer with `kl.type` for a plain value at `kl`, where `kl` is a choice of types; UserError for both."""
    found: Layer = {}
    for key, item in layer.items():
        full = f"{key}.type" if key in tree.unions else key
        if full != key and full in layer:
            raise UserError(
                f"{key} ({item.origin}) and {full} ({layer[full].origin}) are one setting; leave one of them out."
            )
        found[full] = item
    return found
