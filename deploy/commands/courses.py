"""`stepcoder courses`."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from stepcoder.errors import UserError, nearest
from stepcoder.words import plural

if TYPE_CHECKING:
    from rich.text import Text

    from stepcoder.curriculum.stages.courses import Course

DESCRIPTION = """\
Show the start points of a problem: how much of its solution the model is given at each stage of the curriculum.
In a terminal: the solution, each start point marked before the line that the model writes from. Elsewhere: a JSON
list, nearest the end first, full generation last: [{"stage", "line", "prefix"}, ...]."""

EXAMPLES = """\
examples:
  stepcoder courses starter:train --id starter/sign/sign
  stepcoder courses problems.jsonl.gz --id my/clamp --reading paper
  stepcoder courses problems.jsonl --id my/clamp --conditionals extended | jq '.[].line'

A run also drops start points whose prompt is longer than curriculum.prompt.max_prompt_tokens, which depends on its
model. docs/curriculum.md explains stages and readings."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    courses = commands.add_parser(
        "courses", help="show the start points of a problem", description=DESCRIPTION, epilog=EXAMPLES
    )
    courses.add_argument("file", metavar="FILE", help="problems; 'starter:train' and 'starter:heldout' are shipped")
    courses.add_argument("--id", metavar="ID", required=True, help="the problem")
    courses.add_argument(
        "--reading", choices=("ours", "paper"), default="ours",
        help="ours: full generation is a stage after n courses; paper: literal, n stages in all (default: ours)",
    )  # fmt: skip
    courses.add_argument(
        "--conditionals", choices=("default", "if_only", "extended"), default="default",
        help="what counts as a conditional (default: if, elif, for, while, match)",
    )  # fmt: skip


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.curriculum.data.files import check_input
    from stepcoder.curriculum.problems.load import load_problems
    from stepcoder.curriculum.stages.conditionals import parse
    from stepcoder.curriculum.stages.courses import courses

    check_input(options.file)
    problems = {problem.id: problem for problem in load_problems(options.file)}
    if options.id not in problems:
        raise unknown(options.id, list(problems), options.file)
    problem = problems[options.id]
    found = courses(problem, options.reading, options.conditionals)
    if not sys.stdout.isatty():
        print(json.dumps([{"stage": c.stage, "line": c.line, "prefix": c.prefix} for c in found]))
        return 0
    from stepcoder.terminal import Terminal

    console = Terminal(highlight=False)
    console.print(marked(problem.solution, found), soft_wrap=True)
    note = "" if parse(problem.solution) else "; the solution does not parse, so that it has no start points"
    console.print(f"{problem.id}: {plural(len(found), 'stage')}{note}", markup=False, style="dim")
    return 0


def unknown(id_: str, known: list[str], file: str) -> UserError:
    """Names the ids that look most like it: those that contain it first."""
    inside = [name for name in known if id_ and id_.lower() in name.lower()]
    close = list(dict.fromkeys([*inside[:3], *nearest(id_, known, limit=3)]))[:3]
    hint = f"did you mean {' or '.join(close)}?" if close else f"its first is {known[0]}"
    return UserError(f"--id: {file} has no problem {id_!r}; {hint}")


def marked(solution: str, courses: "tuple[Course, ...]") -> "Text":
    """The solution with line numbers; a rule before each line that a stage starts at."""
    from rich.syntax import Syntax
    from rich.text import Text

    from stepcoder.curriculum.stages.conditionals import line_starts

    starts = [*line_starts(solution), len(solution)]
    lines = [solution[a:b].rstrip("\r\n") for a, b in zip(starts, starts[1:], strict=False)]
    coloured = Syntax("", "python", theme="ansi_dark").highlight("\n".join(lines)).split("\n", allow_blank=True)
    stage_at = {course.line: course.stage for course in courses}
    width = len(str(len(lines)))
    text = Text()
    for number, line in enumerate(coloured[: len(lines)], start=1):
        if number in stage_at:
            stage = stage_at[number]
            what = "stage 0: full generation" if stage == 0 else f"stage {stage}: the model writes from here"
            text.append(f"{' ' * width} ──▶ {what}\n", "bold green")
        if number < len(lines) or line.plain:
            text.append(f"{number:>{width}} │ ", "dim").append_text(line).append("\n")
    return text
