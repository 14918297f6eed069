"""What all configuration models share: frozen, strict, and described by the docstring under each field.

A choice between algorithms is a union of models told apart by their field `type`; each has the fields that it reads and
its own defaults. A user's own function stands in the same place, as `type: package.module:function`.
"""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

DOTTED = r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*"
OWN = "package.module:function"  # how a user's own function is written; the name of its variant of a union


@dataclass(frozen=True, slots=True)
class Only:
    """Marks a field that is read only where `field`, before it in the same section, has this value."""

    field: str
    value: str


class Settings(BaseModel):
    """A section of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    def unread(self) -> dict[str, Only]:
        """The fields that have no effect with the values of others."""
        rules = ((name, rule) for name, info in type(self).model_fields.items() for rule in info.metadata)
        return {
            name: rule for name, rule in rules if isinstance(rule, Only) and getattr(self, rule.field) != rule.value
        }


class Variant(Settings):
    """One choice of a union."""

    type: str = ""


class OwnVariant(Variant):
    """A user's own function, called with the `settings` as keyword arguments."""

    type: str = Field(default=OWN, pattern=f"^{DOTTED}$")
    settings: dict[str, Any] = {}
    """Its keyword arguments beside those that it is called with."""


def variant(value: Any) -> str:
    """The variant of a union that a model or mapping is of: its type, or `OWN` for a user's own."""
    kind = str(value.get("type") if isinstance(value, dict) else getattr(value, "type", None))
    return OWN if re.fullmatch(DOTTED, kind) else kind
