"""The configuration tree as a table: every leaf with its dotted key and the choices under which it exists.

The table is read off the pydantic models, so that help, environment, command line and error messages
can't disagree with what is validated. A union of models is a choice: its key ends in `.type`, and each of its types has
leaves of its own.
"""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as at
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from stepcoder.deploy.config.recipes import ABOUT, ALGORITHM
from stepcoder.settings import Only, Variant, variant

Choices = Mapping[str, str]  # the key of a union or switch -> one of its types or values


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting: its dotted key, its type, its default, what it means, and the values it takes, in words.

    It exists with the types `when` alone.
    """

    key: str
    annotation: Any
    default: Any
    description: str
    allowed: str
    when: Choices

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values of a Literal, inside an optional or a list or not; empty for other types."""
        parts = (get_args(part)[0] if self.many else part for part in alternatives(self.annotation))
        return tuple(value for part in parts if get_origin(part) is Literal for value in get_args(part))

    @property
    def optional(self) -> bool:
        return type(None) in alternatives(self.annotation)

    @property
    def many(self) -> bool:
        return any(get_origin(part) in (list, tuple, set, frozenset) for part in alternatives(self.annotation))

    @property
    def mapping(self) -> bool:
        return any(get_origin(part) is dict for part in alternatives(self.annotation))

    @property
    def switch(self) -> bool:
        return bool in alternatives(self.annotation)


@dataclass(frozen=True, slots=True)
class Part:
    """A section, or one type of a union; `default` is the one that the whole tree has there, or the type's own."""

    key: str
    default: BaseModel
    when: Choices


@dataclass(frozen=True, slots=True)
class Tree:
    """Leaves and sections in order of definition, depth first, those of every type of a union.

    A switch is a plain setting that says which of its neighbours are read.
    """

    leaves: list[Leaf]
    parts: list[Part]
    unions: dict[str, list[str]]  # key -> its types, the tree's default first
    switches: set[str]

    @property
    def sections(self) -> set[str]:
        return {part.key for part in self.parts}

    @property
    def keys(self) -> list[str]:
        return list(dict.fromkeys(leaf.key for leaf in self.leaves))

    def named(self, key: str) -> Leaf | None:
        """The first leaf of this key; the type of a choice for the choice's own."""
        wanted = f"{key}.type" if key in self.unions else key
        return next((leaf for leaf in self.leaves if leaf.key == wanted), None)

    def choices(self) -> dict[str, str]:
        """Every union and switch, with the key of the setting that decides it."""
        return {union: f"{union}.type" for union in self.unions} | {switch: switch for switch in self.switches}

    def chosen(self, given: Mapping[str, Any]) -> dict[str, str]:
        """The type of every union that exists and the value of every switch, where `given` holds values by dotted key;
        the default where it holds none."""
        found: dict[str, str] = {}
        deciding = {key: choice for choice, key in self.choices().items()}
        for leaf in self.leaves:
            if leaf.key in deciding and holds(leaf.when, found):
                kind = variant({"type": given.get(leaf.key, leaf.default)})
                known = leaf.key not in self.switches or kind in leaf.choices
                found[deciding[leaf.key]] = kind if known else leaf.default
        return found

    def decided(self, choice: str) -> set[str]:
        """The keys that a union or switch decides on: a whole section, or some neighbours."""
        if choice in self.switches:
            return {leaf.key for leaf in self.leaves if choice in leaf.when}
        return {key for key in self.keys if within(key, choice)}

    def under(self, chosen: Choices) -> dict[str, Leaf]:
        """The leaves that exist with these types, by key."""
        return {leaf.key: leaf for leaf in self.leaves if holds(leaf.when, chosen)}


def holds(when: Choices, chosen: Choices) -> bool:
    return when.items() <= chosen.items()


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; the type itself otherwise."""
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def variants(annotation: Any) -> dict[str, type[Variant]]:
    """The models of a union by type; empty for anything else."""
    found = (get_args(part)[0] if get_origin(part) is Annotated else part for part in alternatives(annotation))
    models = [part for part in found if isinstance(part, type) and issubclass(part, Variant)]
    return {model.model_fields["type"].default: model for model in models}


def type_name(annotation: Any) -> str:
    """A type as a person writes it: `number`, `one of a, b`, `list of text`."""
    names = []
    for part in alternatives(annotation):
        if get_origin(part) is Annotated:
            part = get_args(part)[0]
        if part is type(None):
            names.append("none")
        elif get_origin(part) is Literal:
            names.append("|".join(str(choice) for choice in get_args(part)))
        elif get_origin(part) in (list, tuple, set, frozenset):
            names.append(f"list of {type_name(get_args(part)[0])}")
        elif get_origin(part) is dict:
            names.append("mapping")
        else:
            plain = {int: "integer", float: "number", str: "text", bool: "true|false"}
            names.append(plain.get(part, getattr(part, "__name__", str(part))))
    return " or ".join(names)


def limits(info: FieldInfo) -> str:
    """The bounds of a field in words, e.g. `> 0, <= 1`; empty when it has none."""
    words = []
    for rule in info.metadata:
        for kind, attribute, sign in ((at.Gt, "gt", ">"), (at.Ge, "ge", ">="), (at.Lt, "lt", "<"), (at.Le, "le", "<=")):
            if isinstance(rule, kind):
                words.append(f"{sign} {getattr(rule, attribute)}")
        if isinstance(rule, at.MinLen):
            words.append(f"at least {rule.min_length} of them" if rule.min_length > 1 else "not empty")
    return ", ".join(words)


def flatten(model: type[BaseModel]) -> Tree:
    """Every leaf and section of a tree of pydantic models that all have defaults.

    A leaf's default is the whole tree's: a parent may give a section other defaults than the section's model has.
    """
    tree = Tree([], [], {}, set())

    def union(key: str, about: str, models: dict[str, type[Variant]], default: Variant, when: Choices) -> None:
        names = [default.type, *(name for name in models if name != default.type)]
        tree.unions.setdefault(key, names)
        annotation = Literal[tuple(models)]  # pyright: ignore[reportInvalidTypeForm]
        tree.leaves.append(Leaf(f"{key}.type", annotation, default.type, about, "|".join(models), when))
        for name in names:
            visit(default if name == default.type else models[name](), key, {**when, key: name})

    def visit(section: BaseModel, key: str, when: Choices) -> None:
        tree.parts.append(Part(key, section, when))
        for name, info in type(section).model_fields.items():
            inner, value = f"{key}.{name}".removeprefix("."), getattr(section, name)
            meaning = description(type(section), name)
            if isinstance(value, Variant):
                union(inner, meaning, variants(info.annotation), value, when)
            elif isinstance(value, BaseModel):
                visit(value, inner, when)
            elif key not in when or name != "type":
                bounds = limits(info)
                allowed = type_name(info.annotation) + (f", {bounds}" if bounds else "")
                also = {f"{key}.{rule.field}": rule.value for rule in info.metadata if isinstance(rule, Only)}
                tree.switches.update(also)
                meaning = " ".join([meaning, *(f"Only with {switch} {kind}." for switch, kind in also.items())])
                tree.leaves.append(Leaf(inner, info.annotation, value, meaning, allowed, {**when, **also}))

    if recipes := getattr(model, "recipes", None):
        names = Literal[tuple(recipes)]  # pyright: ignore[reportInvalidTypeForm]
        tree.leaves.append(Leaf(ALGORITHM, names, next(iter(recipes)), ABOUT, "|".join(recipes), {}))
    visit(model(), "", {})
    return tree


def description(model: type[BaseModel], name: str) -> str:
    """What a field means: its docstring, or that of the field which it gives another default."""
    fields = (getattr(base, "model_fields", {}).get(name) for base in model.__mro__)
    return next((field.description for field in fields if field is not None and field.description), "")


def within(key: str, name: str) -> bool:
    """Whether a dotted key is `name` or lies in that section."""
    return key == name or key.startswith(f"{name}.")


def nearest_key(key: str, known: list[str]) -> str | None:
    """The known dotted key that `key` was most likely meant to be."""
    from difflib import SequenceMatcher

    section, _, last = key.rpartition(".")

    def alike(a: str, b: str) -> float:
        return SequenceMatcher(None, a, b).ratio()

    def near(candidate: str) -> bool:
        """The same name in another section, or nearly the same name in nearly the same section."""
        inside, _, name = candidate.rpartition(".")
        return name == last or (
            alike(last, name) >= 0.75 and (inside.startswith(section) or alike(section, inside) >= 0.8)
        )

    found = sorted(filter(near, known), key=lambda name: alike(key, name) + alike(last, name.rpartition(".")[2]))
    return found[-1] if found else None
