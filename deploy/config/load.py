"""From YAML files, the environment and the command line to one validated configuration.

Command line over environment over YAML over defaults. A source that changes the type of a section, names an algorithm
or changes the engine begins what that decides on anew: what lower sources say of it was meant for another one. Every
value remembers where it came from, so that an unknown key or an impossible value is refused with its place, and all of
them at once.
Nothing heavy is imported here.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from stepcoder.deploy.config.complaints import bad_values, misplaced, unknown_types, values
from stepcoder.deploy.config.fields import Leaf, Tree, flatten, variants, within
from stepcoder.deploy.config.moved import translated
from stepcoder.deploy.config.recipes import ALGORITHM
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.deploy.config.sources import Given, Layer, read_arguments, read_environment, read_kept, read_yaml
from stepcoder.errors import UserError
from stepcoder.settings import OWN, Variant, variant

Root = TypeVar("Root", bound=BaseConfig)


def load_config(
    path: str | Path | None = None,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    root: type[Root] = Config,
    *,
    kept: bool = False,
    over: Sequence[Layer] = (),
) -> Root:
    """The run's configuration, a `root`; raises UserError that names every bad key and value.

    `arguments` are what the command line has left after its own options: `--learner.policy.lr 1e-5`,
    `--learner.policy.lr=1e-5` or `--set learner.policy.lr=1e-5`. `kept`: the file is what a run was started with,
    by an earlier version perhaps. `over`: layers above the file's.
    """
    tree = flatten(root)
    if path is not None and kept:
        kept_settings = translated(read_kept(Path(path)), root)
        layers = [{key: Given(value, str(path)) for key, value in kept_settings.items()}]
    else:
        layers = read_yaml(Path(path), tree) if path is not None else []
    layers += [
        *over,
        read_environment(os.environ if environment is None else environment, tree),
        read_arguments(arguments, tree),
    ]
    given = merged(layers, tree, root.recipes)
    known = tree.under(tree.chosen(values(given)))
    if complaints := misplaced(given, tree, root):
        raise UserError("\n".join(complaints))
    return validate(given, known, root, unknown_types(given, tree))


def merged(layers: Iterable[Layer], tree: Tree, recipes: Mapping[str, Mapping[str, Any]]) -> Layer:
    """The layers one over the other, lowest first, with an algorithm's settings under those beside its name."""
    found: Layer = {}
    for layer in layers:
        name = layer.get(ALGORITHM)
        if name is not None and isinstance(name.value, str) and name.value in recipes:
            origin = f"{ALGORITHM} {name.value}, {name.origin}"
            recipe = {key: Given(value, origin) for key, value in recipes[name.value].items()}
            lay(found, recipe, tree, anew=True)
            layer = {key: item for key, item in layer.items() if key != ALGORITHM}
        lay(found, layer, tree)
    return found


def lay(found: Layer, layer: Layer, tree: Tree, *, anew: bool = False) -> None:
    """Put a layer over what is found. What a type or switch decides on is emptied first where the layer gives that,
    and changes it (or `anew`)."""
    chosen = tree.chosen(values(found))
    for choice, deciding in tree.choices().items():
        item = layer.get(deciding)
        before = found.get(deciding)
        if item is not None and (anew or changes(item.value, before and before.value, chosen.get(choice))):
            for key in tree.decided(choice) & found.keys():
                del found[key]
    found.update(layer)


def changes(value: Any, before: Any, chosen: str | None) -> bool:
    """Whether the type `value` is another than the one that was given `before`, or than the default one `chosen`."""
    kind = variant({"type": value})
    return kind != chosen or (kind == OWN and before is not None and before != value)


def validate(given: Layer, known: Mapping[str, Leaf], root: type[Root], wrong: Mapping[str, str]) -> Root:
    """Raises UserError with every impossible value; `wrong` are complaints of types that there are not, by section."""
    lines, nested = list(wrong.values()), dict[str, Any]()
    for key, item in given.items():
        if any(within(key, section) for section in wrong):
            continue
        *sections, name = key.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = coerce(known[key], item.value)
    try:
        config = root.model_validate(over(nested, root()))
    except ValidationError as error:
        lines += bad_values(error, given, known)
    else:
        if not lines:
            return config
    raise UserError("\n".join(lines))


def over(given: dict[str, Any], default: BaseModel, types: Mapping[str, type[Variant]] | None = None) -> dict[str, Any]:
    """Lay the given values over a section's defaults: the whole tree's, or those of the type that is given.

    pydantic would complete a section that is given in part from its model, not from what its parent chose for it.
    """
    kind = variant(given) if "type" in given else None
    if types and kind is not None and kind != variant(default):
        default = types[kind]()
    complete: dict[str, Any] = {}
    for name, info in type(default).model_fields.items():
        value = getattr(default, name)
        if isinstance(value, BaseModel):
            complete[name] = over(given.get(name, {}), value, variants(info.annotation))
        else:
            complete[name] = given.get(name, value)
    return complete


def coerce(leaf: Leaf, value: Any) -> Any:
    """Text from a file, variable or argument as the leaf's type would write it; pydantic judges the rest."""
    for choice in () if leaf.many else leaf.choices:
        if str(value) == str(choice) and isinstance(value, str | int):
            return choice
    if leaf.optional and isinstance(value, str) and value.lower() in ("none", "null"):
        return None
    written_out = isinstance(value, str) and value.strip().startswith(("[", "{"))
    if isinstance(value, str) and ((leaf.mapping and not leaf.many) or (leaf.many and written_out)):
        try:
            value = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: the day 2025-02-31
            return value
    if leaf.many and isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    return joined(value) if leaf.many else value


def joined(parts: Any) -> Any:
    """Items, of which `livecodebench:FILE,since=DAY` is one: a name with `=` goes on with what stands before it."""
    if isinstance(parts, dict):
        return {name: joined(part) for name, part in parts.items()}
    if not isinstance(parts, list):
        return parts
    found: list[Any] = []
    for part in parts:
        if found and isinstance(found[-1], str) and isinstance(part, str) and re.match(r"[a-z]+=[^=]", part):
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found
