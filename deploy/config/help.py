"""What --help says of settings, read off the configuration itself: an overview, one section, or all of them."""

import shutil
import textwrap
from typing import Any

from stepcoder.deploy.config.fields import Choices, Leaf, Tree, flatten, nearest_key, within
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.errors import UserError

TOP = "top"  # what the settings outside of all sections are listed under
LEAD = (
    "Settings. Each can be given in the YAML file (sections nested), as an environment variable, or on the command "
    "line; the command line wins over the environment, the environment over the file, the file over the default. A "
    "YAML file may begin with 'extends: other.yaml' and then holds only what differs from that file. Three ways to "
    "say the same:"
)
EXAMPLE = "  learner: {policy: {lr: 1e-5}}\n  STEPCODER_LEARNER__POLICY__LR=1e-5\n  --learner.policy.lr 1e-5"
CHOICES = (
    "A section with a type is a choice: each type has settings and defaults of its own, those of another type are "
    "refused, and the type alone may stand for the section (--learner.kl none). A source that changes a type begins "
    "the section anew: what lower sources say of it is dropped."
)


def default_text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(repr(item) if "\n" in str(item) else str(item) for item in value) or "empty"
    return f"{value:g}" if isinstance(value, float) else str(value) or "''"


def entry(leaf: Leaf, width: int) -> str:
    """Key, allowed values and default on one line, or two; then what it means."""
    head = f"  --{leaf.key}"
    facts = f"{leaf.allowed}; default {default_text(leaf.default)}"
    if len(head) + 2 + len(facts) <= width:
        lines = [f"{head}  {facts}"]
    else:
        lines = [head, *textwrap.wrap(facts, width, initial_indent=" " * 6, subsequent_indent=" " * 6)]
    lines += textwrap.wrap(leaf.description, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def terminal() -> int:
    """Columns to write in; a narrower terminal wraps."""
    return max(60, min(110, shutil.get_terminal_size((100, 24)).columns))


def settings_overview(root: type[BaseConfig]) -> str:
    """How settings are given, and the sections that there are with a line each."""
    width, sections = terminal(), sections_of(flatten(root))
    left = max(map(len, sections)) + 4
    told = f"Sections; 'stepcoder {root.command} --help SECTION' lists the settings of one, '--help all' of all:"
    lines = [textwrap.fill(LEAD, width), EXAMPLE, "", textwrap.fill(told, width)]
    for key, meaning in sections.items():
        lines.append(f"  {key}".ljust(left) + textwrap.shorten(meaning, width - left, placeholder=" ..."))
    return "\n".join(lines)


def sections_of(tree: Tree) -> dict[str, str]:
    """Every section that has settings of its own, with what it is about in a sentence."""
    found: dict[str, str] = {}
    for part in tree.parts:
        own = [leaf for leaf in tree.leaves if leaf.key.rpartition(".")[0] == part.key]
        if own and part.key in tree.unions:
            found.setdefault(part.key, own[0].description)
        elif own:
            found.setdefault(part.key or TOP, about(part.default))
    return found


def settings_of(name: str, root: type[BaseConfig]) -> str:
    """The settings of a section and of those inside it, or one setting. UserError where there is neither."""
    width, tree = terminal(), flatten(root)
    if name == "all":
        return settings_reference(width, root)
    key = name.lstrip("-").replace("-", "_").removesuffix(".type")
    inside = [part.key for part in tree.parts if (part.key or TOP) == key or (part.key and within(part.key, key))]
    if blocks := [section(tree, part, width) for part in dict.fromkeys(inside)]:
        return "\n\n".join("\n".join(lines) for lines in blocks if lines)
    same: dict[str, list[str]] = {}
    for leaf in tree.leaves:
        if leaf.key == key:
            types = {union: kind for union, kind in leaf.when.items() if union in tree.unions}
            same.setdefault(entry(leaf, width), []).append(with_types(types).strip())
    if same:
        return "\n".join("\n".join(filter(None, [*types, text])) for text, types in same.items())
    close = nearest_key(key, [*sections_of(tree), *tree.keys])
    hint = f"did you mean {close}?" if close else f"there are {', '.join(sections_of(tree))}."
    raise UserError(f"--help {name}: no section or setting has this name; {hint}")


def settings_reference(width: int, root: type[BaseConfig] = Config) -> str:
    """Every setting of `root` by section, wrapped to `width` columns."""
    tree = flatten(root)
    blocks = [f"{textwrap.fill(LEAD, width)}\n{EXAMPLE}"]
    if tree.unions:
        blocks[0] += f"\n{textwrap.fill(CHOICES, width)}"
    for key in dict.fromkeys(part.key for part in tree.parts):
        if lines := section(tree, key, width):
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def section(tree: Tree, key: str, width: int) -> list[str]:
    """A section's settings; of a choice first its types, then their settings, those of several types once."""
    own = [leaf for leaf in tree.leaves if leaf.key.rpartition(".")[0] == key]
    if not own:
        return []
    parts = [part for part in tree.parts if part.key == key]
    title = key or TOP
    if key not in tree.unions:
        lines = [textwrap.fill(f"{title}{with_types(parts[0].when)}: {about(parts[0].default)}", width)]
        return [*lines, *(entry(leaf, width) for leaf in own)]
    kinds = [leaf for leaf in own if leaf.key == f"{key}.type"]
    lines = [f"{title}{with_types(kinds[0].when) if len(kinds) == 1 else ''}:", entry(kinds[0], width)]
    for kind in kinds:
        if kind.default != kinds[0].default:
            lines.append(f"      default {kind.default}{with_types(kind.when)}")
    for part in {part.when[key]: part for part in parts}.values():
        told = f"{part.when[key]}: {about(part.default)}"
        lines += textwrap.wrap(told, width, initial_indent=" " * 6, subsequent_indent=" " * 8)
    return lines + by_type([leaf for leaf in own if leaf not in kinds], key, tree.unions[key], width)


def by_type(leaves: list[Leaf], union: str, types: list[str], width: int) -> list[str]:
    """The settings of a choice under the types that have them alike, first those of all."""
    same: dict[tuple[str, ...], list[str]] = {}
    for leaf in leaves:
        same.setdefault((leaf.key, entry(leaf, width)), []).append(leaf.when[union])
    groups: dict[tuple[str, ...], list[str]] = {}
    for (_, text), having in same.items():
        groups.setdefault(tuple(dict.fromkeys(having)), []).append(text)
    lines = []
    for having, texts in sorted(groups.items(), key=lambda group: -len(group[0])):
        if len(having) < len(types):
            named = f"with type {', '.join(having)}:"
            lines += textwrap.wrap(named, width, initial_indent="  ", subsequent_indent="    ")
        lines += texts
    return lines


def about(default: Any) -> str:
    return " ".join((type(default).__doc__ or "").split())


def with_types(when: Choices) -> str:
    """The types under which a section exists, for its title."""
    return f" ({', '.join(f'{union}.type {name}' for union, name in when.items())})" if when else ""
