"""Text of anybody's, so that a person sees all of it, and that nothing in it steers a terminal or a page."""

from collections.abc import Mapping
from typing import Any

_BREAKS = "\n\t"


def visible(text: str) -> str:
    """The text with nothing in it that is not seen: control codes as their pictures, others as `\\u202e`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _BREAKS else _picture(c) for c in text.replace("\r\n", "\n"))


def _picture(character: str) -> str:
    code = ord(character)
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    if code < 0x20:
        return chr(0x2400 + code)
    if character.isspace():  # of another width
        return " "
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def shown(value: Any) -> Any:
    """Every text in plain data as `visible` has it."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible(str(name)): shown(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shown(inner) for inner in value]
    return value
