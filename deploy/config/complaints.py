"""What a user is told of settings that cannot be: key, value, place, and the nearest right thing."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from stepcoder.deploy.config.fields import Leaf, Tree, flatten, nearest_key, within
from stepcoder.deploy.config.moved import new_key
from stepcoder.deploy.config.recipes import ALGORITHM
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.deploy.config.sources import Given, Layer
from stepcoder.errors import nearest

# What people try that is no setting, and what does it here.
CHECK = "'stepcoder train --check' checks everything and starts nothing."
RESUME = "The same command goes on with the run in run.directory."
INSTEAD = {
    "dry_run": CHECK, "dryrun": CHECK, "validate": CHECK, "resume": RESUME, "continue": RESUME,
    "output_dir": "run.directory says where the run lives.",
    "batch_size": "A step has subtasks_per_step x rollout.group_size completions, and learner.minibatches updates.",
}  # fmt: skip
TOLD = ("greater", "less", "literal", "union", "too_short")  # kinds of complaint that `Leaf.allowed` says in words
SIGNS = {"arms": "study", "sft": "sft"}  # keys that only the files of one command have


def misplaced(given: Layer, tree: Tree, root: type[BaseConfig]) -> list[str]:
    """One line for every key that is not a setting with the chosen types; one alone for another command's file."""
    for key, item in given.items():
        command = SIGNS.get(key.partition(".")[0], root.command)
        if command != root.command and item.file:
            return [f"{item.origin}: {key} is for 'stepcoder {command}', which takes this file."]
    chosen, wrong = tree.chosen(values(given)), unknown_types(given, tree)
    known = tree.under(chosen)
    return [
        unknown_key(key, item, tree, chosen, root)
        for key, item in given.items()
        if key not in known and not any(within(key, section) for section in wrong)
    ]


def unknown_types(given: Layer, tree: Tree) -> dict[str, str]:
    """A line for every type that there is not, by the section that it was given for."""
    chosen = tree.chosen(values(given))
    known = tree.under(chosen)
    keys = {f"{name}.type": name for name, kinds in tree.unions.items() if chosen.get(name, kinds[0]) not in kinds}
    keys |= {ALGORITHM: ALGORITHM} if ALGORITHM in known else {}  # one that is known has become its settings
    return {section: impossible(key, given[key], known[key]) for key, section in keys.items() if key in given}


def values(layer: Layer) -> dict[str, Any]:
    return {key: item.value for key, item in layer.items()}


def unknown_key(key: str, item: Given, tree: Tree, chosen: Mapping[str, str], root: type[BaseConfig]) -> str:
    if key in tree.sections:
        names = [leaf for leaf in tree.under(chosen) if within(leaf, key)]
        return f"{key} ({item.origin}) is a section, not a value; its keys are {', '.join(names)}."
    if elsewhere := [leaf.when for leaf in tree.leaves if leaf.key == key]:
        choice = next(name for name, kind in elsewhere[0].items() if chosen.get(name) != kind)
        deciding = tree.choices()[choice]
        kinds = " or ".join(dict.fromkeys(when[choice] for when in elsewhere))
        word = deciding.rpartition(".")[2]
        return f"{key} ({item.origin}) has no effect with {deciding} {chosen[choice]}; it belongs to {word} {kinds}."
    now = new_key(key)
    larger = None if root.larger is None else flatten(root.larger)
    if larger is not None and (now or key) in larger.sections.union(larger.keys):
        instead = next((use for name, use in root.instead.items() if within(key, name)), None)
        advice = f"give {instead}" if instead else "leave it out"
        return f"{key} ({item.origin}) has no effect in 'stepcoder {root.command}'; {advice}."
    if now is not None:
        return f"unknown key {key} ({item.origin}). It is {now} now."
    known = [*(name.removesuffix(".type") for name in tree.keys), *sorted(tree.sections)]
    if (advice := INSTEAD.get(key)) and not any(name.endswith(f".{key}") for name in known):
        hint = advice
    elif close := nearest_key(key.removesuffix(".type"), known):
        hint = f"The nearest known key is {close}."
    else:
        hint = valid_keys(key, tree, chosen)
    return f"unknown key {key} ({item.origin}). {hint}"


def valid_keys(key: str, tree: Tree, chosen: Mapping[str, str]) -> str:
    """What there is in the innermost section of a key that exists."""
    parts = key.split(".")
    parts[:1] = nearest(parts[0], [name for name in tree.sections if "." not in name], cutoff=0.75) or parts[:1]
    section = next(name for n in range(len(parts) - 1, -1, -1) if (name := ".".join(parts[:n])) in tree.sections)
    inside = [name.removeprefix(f"{section}.") for name in tree.under(chosen) if within(name, section) or not section]
    names = ", ".join(dict.fromkeys(name.partition(".")[0] for name in inside))
    if section:
        return f"{section} has {names}."
    return f"There are {names}; 'stepcoder train --help' says what is in them."


def impossible(key: str, item: Given, leaf: Leaf, reason: str = "") -> str:
    """A value that a setting does not take: what is allowed, the default, and the nearest choice."""
    choices = [str(choice) for choice in leaf.choices]
    words = item.value if isinstance(item.value, list | tuple) else str(item.value).split(",")
    wrong = next((word for word in map(str, words) if word.strip() not in choices), "")
    close = nearest(wrong, choices)
    hint = f" Did you mean {close[0]}?" if close else ""
    words = leaf.default if isinstance(leaf.default, tuple) else ()
    default = ", ".join(w if w.isprintable() else repr(w) for w in map(str, words)) if words else repr(leaf.default)
    return (
        f"{key} = {item.value!r} ({item.origin}) is not possible{reason}: allowed is {leaf.allowed}; "
        f"the default is {default}.{hint}"
    )


def bad_values(error: ValidationError, given: Layer, known: Mapping[str, Leaf]) -> list[str]:
    """One line a complaint: key, value, where it was given, what is allowed."""
    lines: dict[str, str] = {}
    for problem in error.errors():
        parts = place(problem["loc"], known)
        key = next((".".join(parts[:n]) for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in known), "")
        reason = problem["msg"].removeprefix("Value error, ")
        if not key:  # a check over several fields of a section
            section = ".".join(parts)
            named = set(re.findall(r"[a-z_]+(?:\.[a-z_0-9]+)*", reason))
            places = [f"{name}: {item.origin}" for name, item in given.items() if name.removesuffix(".type") in named]
            lines[section + reason] = (
                f"{section}: " * bool(section) + reason + (f" ({'; '.join(places)})." if places else ".")
            )
            continue
        if key in lines:  # what follows from the first
            continue
        told = problem["type"].startswith(TOLD) or problem["type"].endswith(("_parsing", "_type"))
        lines[key] = impossible(
            key, given.get(key, Given(known[key].default, "default")), known[key], "" if told else f" ({reason})"
        )
    return list(lines.values())


def place(location: tuple[int | str, ...], known: Mapping[str, Leaf]) -> list[str]:
    """The parts of a key, without the type that pydantic puts after the key of a choice."""
    parts: list[str] = []
    skipped = ""
    for part in map(str, location):
        key = ".".join(parts)
        if f"{key}.type" in known and key != skipped:
            skipped = key
        else:
            parts.append(part)
    return parts
