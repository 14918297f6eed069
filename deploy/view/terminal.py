"""A completion for a terminal. Nothing in it can steer the terminal."""

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from stepcoder.deploy.view.pages import signed, stage_words, verdict_words
from stepcoder.deploy.view.program import Line
from stepcoder.deploy.view.trajectory import View
from stepcoder.visible import visible

_SIGNS = {"executed": "+", "not": "-", "both": "±", "blank": " ", "unknown": "?"}
_STYLES = {"executed": "green", "both": "green", "not": "bright_black", "unknown": "", "blank": ""}
_GIVEN, _START, _WRONG, _RIGHT = "blue", "bold blue", "red", "green"


def shown(found: View) -> RenderableType:
    row = found.row
    head = Text(visible(found.problem), "bold")
    facts = Text.assemble(
        _verdict(str(row.get("verdict"))),
        f"  reward {signed(row.get('reward'))}  step {found.place.step}  {stage_words(row.get('stage') or 0)}"
        f"  completion {found.place.sample}, group of {len(found.group)}",
    )
    width = len(str(len(found.listing.lines)))
    lines = [part for line in found.listing.lines for part in _line(line, width)]
    more = [Text(f"... {found.listing.more} more lines", "dim")] if found.listing.more else []
    key = Text.assemble((" | given", _GIVEN), ("   + executed by a test", _STYLES["executed"]),
                        ("   - executed by no test", _STYLES["not"]))  # fmt: skip
    return Group(head, facts, Text(), *lines, *more, key, *[Text(text, "dim") for text in found.lacks], *_tests(found))


def _verdict(name: str) -> Text:
    passed = name == "passed"
    return Text(f"{'✓' if passed else '✗'} {visible(verdict_words(name))}", _RIGHT if passed else _WRONG)


def _line(line: Line, width: int) -> list[RenderableType]:
    found: list[RenderableType] = []
    if line.starts:
        found.append(Rule("start point: the model writes from here", style=_START, align="left", characters="─"))
    text = Text(f"{line.number:>{width}} {'|' if line.given else ' '}{_SIGNS[line.state]} ", "dim")
    code = visible("".join(piece.text for piece in line.pieces)).expandtabs(4)
    text.append(code, _GIVEN if line.given else _STYLES[line.state])
    if line.more:
        text.append(f" ... {line.more} more characters", "dim")
    found.append(text)
    if line.error:
        found.append(Text(f"{'':>{width}}  ^ {visible(line.error)}", _WRONG))
    return found


def _tests(found: View) -> list[RenderableType]:
    tests = found.row.get("tests") or ()
    if not tests:
        return []
    table = Table(box=None, pad_edge=False)
    for title in ("#", "verdict", "input", "expected", "got"):
        table.add_column(title, overflow="fold", justify="right" if title == "#" else "left")
    for test in tests:
        words = _verdict(test["verdict"])
        got = "\n".join(filter(None, (test["got"], test["error"])))
        table.add_row(str(test["number"]), words, *(Text(visible(t)) for t in (test["input"], test["expected"], got)))
    return [Text(), table]
