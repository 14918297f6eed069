"""The reference of all settings that --help prints, read off the configuration itself."""

import shutil
import textwrap
from typing import Any

from stepcoder.deploy.config.fields import Leaf, flatten
from stepcoder.deploy.config.run import Config

INTRODUCTION = (
    "Settings. Each can be given in the YAML file (sections nested), as an environment variable, or on the command "
    "line; the command line wins over the environment, the environment over the file, the file over the default. A "
    "YAML file may begin with 'extends: other.yaml' and then holds only what differs from that file. Three ways to "
    "say the same:",
    "  learner: {policy: {lr: 1e-5}}\n  STEPCODER_LEARNER__POLICY__LR=1e-5\n  --learner.policy.lr 1e-5",
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


def settings_reference(width: int | None = None, root: type[Config] = Config) -> str:
    """Every setting of `root` by section, wrapped to `width` columns (the terminal's by default, at most 110)."""
    width = width or min(110, shutil.get_terminal_size((100, 24)).columns)
    tree = flatten(root)
    blocks = [f"{textwrap.fill(INTRODUCTION[0], width)}\n{INTRODUCTION[1]}"]
    for section, model in tree.sections.items():
        leaves = [leaf for leaf in tree.leaves.values() if leaf.key.rpartition(".")[0] == section]
        if not leaves:
            continue
        title = section or "run as a whole"
        about = " ".join((model.__doc__ or "").split())
        blocks.append("\n".join([textwrap.fill(f"{title}: {about}", width), *(entry(leaf, width) for leaf in leaves)]))
    return "\n\n".join(blocks)
