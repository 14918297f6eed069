"""From YAML files, the environment and the command line to one validated Config.

Command line over environment over YAML over defaults. Every value remembers where it came from, so that an unknown
key or an impossible value is refused with its place, and all of them at once. Nothing heavy is imported here.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from stepcoder.deploy.config.fields import Leaf, Tree, flatten, nearest_keys, within
from stepcoder.deploy.config.run import Config
from stepcoder.errors import UserError, nearest

PREFIX = "STEPCODER_"
NOT_SETTINGS = {"STEPCODER_CACHE"}  # variables of the same prefix that other parts read


@dataclass(frozen=True, slots=True)
class Given:
    """A value as the user wrote it, and where."""

    value: Any
    origin: str


Root = TypeVar("Root", bound=Config)


def load_config(
    path: str | Path | None = None,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    root: type[Root] = Config,
) -> Root:
    """The run's configuration, a `root`; raises UserError that names every bad key and value.

    `arguments` are what the command line has left after its own options: `--learner.policy.lr 1e-5`,
    `--learner.policy.lr=1e-5` or `--set learner.policy.lr=1e-5`.
    """
    tree = flatten(root)
    given: dict[str, Given] = {}
    if path is not None:
        given.update(read_yaml(Path(path), tree))
    given.update(read_environment(os.environ if environment is None else environment))
    given.update(read_arguments(arguments, tree))
    complaints = [unread_key(key, item, root) for key, item in given.items() if key in tree.unread]
    complaints += [unknown_key(key, item, tree) for key, item in given.items() if key not in tree.leaves | tree.unread]
    if complaints:
        raise UserError("\n".join(complaints))
    return validate(given, tree, root)


def validate(given: dict[str, Given], tree: Tree, root: type[Root]) -> Root:
    nested: dict[str, Any] = {}
    for key, item in given.items():
        *sections, name = key.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = coerce(tree.leaves[key], item.value)
    try:
        return root.model_validate(with_section_defaults(nested, root))
    except ValidationError as error:
        raise UserError("\n".join(bad_values(error, given, tree))) from None


def with_section_defaults(nested: dict[str, Any], root: type[Config]) -> dict[str, Any]:
    """Lay the given values over the whole tree's defaults.

    pydantic would complete a section that is given in part from its model, not from what its parent chose for it.
    """
    complete = root().model_dump()

    def lay(over: dict[str, Any], under: dict[str, Any]) -> None:
        for name, value in over.items():
            if isinstance(value, dict) and isinstance(under.get(name), dict):
                lay(value, under[name])
            else:
                under[name] = value

    lay(nested, complete)
    return complete


def coerce(leaf: Leaf, value: Any) -> Any:
    """Text from a file, variable or argument as the leaf's type would write it; pydantic judges the rest."""
    for choice in leaf.choices:
        if str(value) == str(choice) and isinstance(value, str | int):
            return choice
    if leaf.optional and isinstance(value, str) and value.lower() in ("none", "null"):
        return None
    if leaf.many and isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            return yaml.safe_load(text)
        return [part.strip() for part in text.split(",") if part.strip()]
    return value


# -- sources ---------------------------------------------------------------------------------------------------------


def read_yaml(path: Path, tree: Tree, seen: tuple[Path, ...] = ()) -> dict[str, Given]:
    """Dotted keys of a YAML file; `extends: other.yaml` (relative to the file) is read first and laid under it."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        folder = path.parent if path.parent.is_dir() else Path("configs")
        there = sorted(str(file) for file in folder.glob("*.yaml"))
        close = nearest(str(path), there)
        hint = f" Did you mean {close[0]}?" if close else (f" There are: {', '.join(there)}." if there else "")
        raise UserError(f"configuration file {path}: {error.strerror or error}.{hint}") from None
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return {}
        if not isinstance(root, yaml.MappingNode):
            raise UserError(f"{path}: expected 'key: value' lines, found something else.")
        return _walk(path, loader, root, tree, seen)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()


def _walk(
    path: Path, loader: yaml.SafeLoader, root: yaml.MappingNode, tree: Tree, seen: tuple[Path, ...]
) -> dict[str, Given]:
    base: dict[str, Given] = {}
    found: dict[str, Given] = {}

    def visit(node: yaml.MappingNode, prefix: str) -> None:
        for name_node, value_node in node.value:
            key = f"{prefix}{loader.construct_object(name_node)}"
            place = f"{path}, line {name_node.start_mark.line + 1}"
            if key in found:
                raise UserError(f"{key} is given twice ({found[key].origin} and {place}).")
            if key == "extends":
                other = (path.parent / str(loader.construct_object(value_node))).resolve()
                if other in (*seen, path.resolve()):
                    raise UserError(f"{place}: 'extends' goes round in a circle ({other}).")
                base.update(read_yaml(other, tree, (*seen, path.resolve())))
            elif key in tree.sections and isinstance(value_node, yaml.MappingNode):
                visit(value_node, key + ".")
            elif key in tree.sections and loader.construct_object(value_node) is None:
                continue
            else:
                found[key] = Given(loader.construct_object(value_node, deep=True), place)

    visit(root, "")
    return base | found


def read_environment(environment: Mapping[str, str]) -> dict[str, Given]:
    """`STEPCODER_LEARNER__POLICY__LR=1e-5` gives learner.policy.lr."""
    found = {}
    for name, value in environment.items():
        if name.startswith(PREFIX) and name not in NOT_SETTINGS:
            key = name[len(PREFIX) :].lower().replace("__", ".")
            found[key] = Given(value, f"environment variable {name}")
    return found


def read_arguments(arguments: Sequence[str], tree: Tree) -> dict[str, Given]:
    found = {}
    queue = list(arguments)
    while queue:
        word = queue.pop(0)
        if not word.startswith("--") or word == "--":
            raise UserError(f"command line: {word!r} is not understood; settings are given as --section.key value.")
        name, equals, value = word[2:].partition("=")
        if name == "set":
            pair = value if equals else (queue.pop(0) if queue else "")
            name, equals, value = pair.partition("=")
            if not equals:
                raise UserError("command line: --set takes KEY=VALUE, for example --set learner.policy.lr=1e-5.")
        key = name.replace("-", "_")
        leaf = tree.leaves.get(key)
        if not equals:
            if queue and not queue[0].startswith("--"):
                value = queue.pop(0)
            elif leaf is not None and leaf.switch:
                value = "true"
            elif leaf is not None:
                raise UserError(f"command line: --{key} needs a value ({leaf.allowed}).")
        found[key] = Given(value, "command line")
    return found


# -- complaints ------------------------------------------------------------------------------------------------------


def unread_key(key: str, item: Given, root: type[Config]) -> str:
    instead = next(use for name, use in root.unread.items() if within(key, name))
    advice = f"give {instead}" if instead else "leave it out"
    return f"{key} ({item.origin}) has no effect in 'stepcoder {root.command}'; {advice}."


def unknown_key(key: str, item: Given, tree: Tree) -> str:
    if key in tree.sections:
        names = [leaf for leaf in tree.leaves if leaf.startswith(key + ".")]
        return f"{key} ({item.origin}) is a section, not a value; its keys are {', '.join(names)}."
    close = nearest_keys(key, [*tree.leaves])
    hint = f" The nearest known key is {close[0]}." if close else " 'stepcoder train --help' lists all keys."
    return f"unknown key {key} ({item.origin}).{hint}"


def bad_values(error: ValidationError, given: dict[str, Given], tree: Tree) -> list[str]:
    """One line a complaint: key, value, where it was given, what is allowed."""
    lines: dict[str, str] = {}
    for problem in error.errors():
        parts = [str(part) for part in problem["loc"]]
        key = next((".".join(parts[:n]) for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in tree.leaves), "")
        reason = problem["msg"].removeprefix("Value error, ")
        if not key:  # a check over several fields of a section
            section = ".".join(parts)
            named = set(re.findall(r"[a-z_]+(?:\.[a-z_0-9]+)*", reason))
            places = [f"{name}: {item.origin}" for name, item in given.items() if name in named]
            lines[section + reason] = (
                f"{section}: " * bool(section) + reason + (f" ({'; '.join(places)})." if places else ".")
            )
            continue
        leaf = tree.leaves[key]
        item = given.get(key, Given(leaf.default, "default"))
        close = nearest(str(item.value), [str(choice) for choice in leaf.choices])
        hint = f" Did you mean {close[0]}?" if close else ""
        shown = "" if problem["type"].startswith(("greater", "less", "literal", "union")) else f" ({reason})"
        lines[key] = (
            f"{key} = {item.value!r} ({item.origin}) is not possible{shown}: allowed is {leaf.allowed}; "
            f"the default is {leaf.default!r}.{hint}"
        )
    return list(lines.values())
