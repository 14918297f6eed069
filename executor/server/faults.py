"""What is wrong with data, for those who sent it."""

from typing import Any

from pydantic import ValidationError


def explained(error: ValidationError) -> str:
    """The first three faults, each with its place."""
    return "; ".join(_explained(fault) for fault in error.errors(include_url=False)[:3])


def _explained(fault: Any) -> str:
    where = ".".join(map(str, fault["loc"]))
    text = "unknown field" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
    return f"{where}: {text}" if where else text
