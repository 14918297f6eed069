"""`stepcoder mask`."""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stepcoder.errors import UserError

if TYPE_CHECKING:
    from rich.text import Text

    from stepcoder.executor.spans import Span

NAME = "mask"

DESCRIPTION = """\
Show which characters of a program count as executed when some of its lines were: what the policy loss is masked with.
Prints {"executed": [[start, end], ...]}, half-open spans in characters; on a terminal the program in colours, too."""

EXAMPLES = """\
examples:
  stepcoder mask program.py --lines 1,2,5
  stepcoder mask program.py --lines 1-4,9 | jq .executed
  generate | stepcoder mask - --lines 1

Lines are those of 'executed_lines' in the results of 'stepcoder grade', counted from 1. `else:`, comments, docstrings
and closing brackets take the value of the statement that they belong to."""

EXECUTED, NOT_EXECUTED = "bold green", "red"
_MARKS = {True: "+", False: "-"}  # for terminals, and eyes, without colours


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    mask = commands.add_parser(
        NAME, help="show which characters of a program count as executed", description=DESCRIPTION, epilog=EXAMPLES
    )
    mask.add_argument("program", metavar="PROGRAM", help="Python file, or - for standard input")
    mask.add_argument("--lines", metavar="LIST", required=True, help="executed lines, as 1,2,5 or 1-3,5; '' for none")


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.executor.spans import executed_spans, line_spans

    program, name = _read(options.program)
    _check(program, name)
    lines = parse_lines(options.lines, len(line_spans(program)), name)
    spans = executed_spans(program, lines)
    if sys.stdout.isatty():
        from stepcoder.terminal import Terminal

        console = Terminal(highlight=False)
        console.print(coloured(program, spans), soft_wrap=True)
    print(json.dumps({"executed": spans}))
    return 0


def _read(argument: str) -> tuple[str, str]:
    """(text with its newlines as they are, what to call it). A byte-order mark is no part of a program."""
    name = "standard input" if argument == "-" else argument
    try:
        data = sys.stdin.buffer.read() if argument == "-" else Path(argument).read_bytes()
    except OSError as error:
        raise UserError(
            f"{name}: cannot be read ({error.strerror}). Give a Python file, or - for standard input."
        ) from error
    try:
        return data.decode("utf-8-sig"), name
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: byte {error.start} is not UTF-8. Save the program as UTF-8.") from error


def _check(program: str, name: str) -> None:
    from stepcoder.executor.spans import parse

    try:
        parse(program)
    except SyntaxError as error:
        where = f"{name}, line {error.lineno}" if error.lineno else name
        raise UserError(
            f"{where}: not a Python program ({error.msg}), so none of its lines can have been executed. "
            "Give the program as it was graded."
        ) from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise UserError(
            f"{name}: the program cannot be parsed ({error}). Give the program as it was graded."
        ) from error


def parse_lines(text: str, count: int, name: str) -> list[int]:
    """`1,2,5` or `1-3,5` as lines of a program of `count` lines."""
    lines: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\d{1,9})(?:\s*-\s*(\d{1,9}))?", part, re.ASCII)
        if match is None:
            raise UserError(f"--lines: {part!r} is not a line. Give lines as 1,2,5 or 1-3,5.")
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last:
            raise UserError(f"--lines: {part} runs backwards. Give the smaller line first.")
        if first < 1 or last > count:
            raise UserError(f"--lines: {part} is outside of {name}, which has lines 1 to {count}.")
        lines.update(range(first, last + 1))
    return sorted(lines)


def coloured(program: str, spans: "list[Span]") -> "Text":
    """The program with line numbers, a mark a line (+ executed, - not, ± both) and a legend."""
    from rich.text import Text

    from stepcoder.executor.spans import line_spans

    values = bytearray(len(program))
    for start, end in spans:
        values[start:end] = b"\1" * (end - start)
    text, lines = Text(), line_spans(program)
    width, marks = len(str(len(lines))), set[str]()
    for number, (start, end) in enumerate(lines, 1):
        seen = {bool(values[place]) for place in range(start, end) if not program[place].isspace()}
        mark = "±" if len(seen) == 2 else _MARKS[seen.pop()] if seen else " "
        marks.add(mark)
        text.append(f"{number:>{width}} {mark} ", "dim")
        place = start
        while place < end:
            stop = next((p for p in range(place, end) if values[p] != values[place]), end)
            text.append(_shown(program[place:stop]), EXECUTED if values[place] else NOT_EXECUTED)
            place = stop
        text.append("\n")
    text.append(" " * (width + 1))
    text.append("+ executed", EXECUTED)
    text.append("   ")
    text.append("- not executed", NOT_EXECUTED)
    text.append("   ± both on a line" if "±" in marks else "", "dim")
    return text


def _shown(piece: str) -> str:
    """Nothing in a program may steer the terminal."""
    return "".join(c if c.isprintable() else "    " if c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in piece)
