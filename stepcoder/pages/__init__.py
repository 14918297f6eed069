"""What all pages share that this project makes for people: a way to fill them, a style, and what text looks like.

Whatever is filled in is text: markup is escaped, and characters that would not be seen, or would steer what is around
them (control codes, marks of writing direction), are shown as what they are.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stepcoder.visible import shown, visible

_HERE = Path(__file__).parent
BASE_STYLE = _HERE / "base.css"


def environment(folder: Path, **filters: Callable[..., Any]) -> Environment:
    """For the templates of a folder and those here."""
    made = Environment(
        loader=FileSystemLoader([folder, _HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )
    made.filters |= {"thousands": "{:,}".format, "percent": lambda share, digits: f"{share:.{digits}%}"} | filters
    return made


def data(value: Any) -> Markup:
    """JSON for a script of the page, in a place that no text of it can leave."""
    text = json.dumps(shown(value), allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
