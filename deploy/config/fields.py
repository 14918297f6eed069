"""The configuration tree as a flat table: dotted key -> leaf, dotted section -> its model.

The table is read off the pydantic models, so that help, environment, command line and error messages
can't disagree with what is validated.
"""

import types
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types as at
from pydantic import BaseModel
from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting: its dotted key, its type, its default, what it means, and the values it takes, in words."""

    key: str
    annotation: Any
    default: Any
    description: str
    allowed: str

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values of a Literal (inside an optional or not); empty for other types."""
        found: tuple[Any, ...] = ()
        for part in alternatives(self.annotation):
            if get_origin(part) is Literal:
                found += get_args(part)
        return found

    @property
    def optional(self) -> bool:
        return type(None) in alternatives(self.annotation)

    @property
    def many(self) -> bool:
        return any(get_origin(part) in (list, tuple, set, frozenset) for part in alternatives(self.annotation))

    @property
    def switch(self) -> bool:
        return bool in alternatives(self.annotation)


@dataclass(frozen=True, slots=True)
class Tree:
    """`leaves` by dotted key in order; `sections` by dotted key, "" for the root.

    `unread`: leaves that are in the tree and have no effect in its command, which is why nobody may give them.
    """

    leaves: dict[str, Leaf]
    sections: dict[str, type[BaseModel]]
    unread: dict[str, Leaf]


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; the type itself otherwise."""
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def type_name(annotation: Any) -> str:
    """A type as a person writes it: `number`, `one of a, b`, `list of text`."""
    names = []
    for part in alternatives(annotation):
        if part is type(None):
            names.append("none")
        elif get_origin(part) is Literal:
            names.append("|".join(str(choice) for choice in get_args(part)))
        elif get_origin(part) in (list, tuple, set, frozenset):
            names.append(f"list of {type_name(get_args(part)[0])}")
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
    """Every leaf and section of a tree of pydantic models that all have defaults, depth first, in order of definition.

    A leaf's default is the whole tree's: a parent may give a section other defaults than the section's model has.
    """
    tree = Tree({}, {"": model}, {})
    hidden = getattr(model, "unread", {})

    def visit(section: BaseModel, prefix: str) -> None:
        for name, info in type(section).model_fields.items():
            key, value = f"{prefix}{name}", getattr(section, name)
            if isinstance(value, BaseModel):
                tree.sections[key] = type(value)
                visit(value, key + ".")
                continue
            bounds = limits(info)
            allowed = type_name(info.annotation) + (f", {bounds}" if bounds else "")
            kind = tree.unread if any(within(key, name) for name in hidden) else tree.leaves
            kind[key] = Leaf(key, info.annotation, value, info.description or "", allowed)

    visit(model(), "")
    return tree


def within(key: str, name: str) -> bool:
    """Whether a dotted key is `name` or lies in that section."""
    return key == name or key.startswith(f"{name}.")


def nearest_keys(key: str, known: list[str], limit: int = 1) -> list[str]:
    """The known dotted keys that `key` was most likely meant to be, best first."""
    from difflib import SequenceMatcher

    last = key.rpartition(".")[2]

    def score(candidate: str) -> float:
        whole = SequenceMatcher(None, key, candidate).ratio()
        return whole + SequenceMatcher(None, last, candidate.rpartition(".")[2]).ratio()

    ranked = sorted(known, key=score, reverse=True)
    return [candidate for candidate in ranked[:limit] if score(candidate) > 0.9]
