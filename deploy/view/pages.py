"""Pages as text: templates filled with what runs say."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from stepcoder.deploy.shown.summary import points
from stepcoder.deploy.view.addresses import address, problem_address
from stepcoder.deploy.view.charts import split_words
from stepcoder.deploy.view.program import Line
from stepcoder.pages import BASE_STYLE, data, environment
from stepcoder.visible import visible
from stepcoder.words import plural

_FOLDER = Path(__file__).parent
STATIC = {
    "base.css": ("text/css", BASE_STYLE),
    "view.css": ("text/css", _FOLDER / "static" / "view.css"),
    "uplot.css": ("text/css", _FOLDER / "static" / "uplot" / "uPlot.min.css"),
    "uplot.js": ("text/javascript", _FOLDER / "static" / "uplot" / "uPlot.iife.min.js"),
    "live.js": ("text/javascript", _FOLDER / "static" / "live.js"),
    "charts.js": ("text/javascript", _FOLDER / "static" / "charts.js"),
    "problems.js": ("text/javascript", _FOLDER / "static" / "problems.js"),
    "program.js": ("text/javascript", _FOLDER / "static" / "program.js"),
}


def verdict_words(name: str) -> str:
    return name.replace("_", " ")


def stage_words(stage: int) -> str:
    return "full generation" if stage == 0 else f"stage {stage}"


def signed(value: Any, digits: int = 2) -> str:
    return "-" if value is None else f"{value:+.{digits}f}"


def pieces(line: Line) -> Markup:
    """The code of a line: a span for each piece that has a colour or was written by a token."""
    parts, indent = [], True
    for piece in line.pieces:
        indent = indent and piece.text.isspace()
        shade = f"p{piece.shade}" if piece.shade > 0 else f"n{-piece.shade}" if piece.shade < 0 else ""
        kinds = " ".join(filter(None, ("t" if piece.token >= 0 else "", "in" if indent else shade, piece.kind)))
        text, token = escape(visible(piece.text)), f' data-t="{piece.token}"' if piece.token >= 0 else ""
        parts.append(f'<span class="{kinds}"{token}>{text}</span>' if kinds else str(text))
    return Markup("".join(parts))


@lru_cache(maxsize=1)
def templates() -> Environment:
    made = environment(
        _FOLDER / "templates", verdict=verdict_words, stage=stage_words, signed=signed, data=data, points=points,
        split=split_words, pieces=pieces,
        share=lambda value: "-" if value is None else f"{value:.0%}",
    )  # fmt: skip
    made.globals |= {"address": address, "problem_address": problem_address, "plural": plural, "linked": True}
    return made


def page(name: str, **fields: Any) -> str:
    return templates().get_template(f"{name}.html").render(**fields)


def setting(value: Any) -> str:
    """A setting as its configuration file has it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(setting, value)) or "[]"
    return str(value)


def settings_table(configs: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str], bool]]:
    """(key, a value a run, whether they differ) of every setting that any run has, in the order of the first."""
    keys = dict.fromkeys(key for config in configs for key in config)
    found = []
    for key in keys:
        values = [setting(config[key]) if key in config else "" for config in configs]
        found.append((key, values, len(set(values)) > 1))
    return found
