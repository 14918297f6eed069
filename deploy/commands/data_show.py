"""`stepcoder data show`: one problem in the terminal."""

import argparse

from stepcoder.deploy.commands.common import chosen_format, console, kind_option
from stepcoder.errors import UserError


def add_parser(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    show = actions.add_parser(
        "show", help="show one problem in the terminal",
        description="Show a problem: statement, solution and tests. 'stepcoder courses' shows its start points.",
    )  # fmt: skip
    kind_option(show)
    show.add_argument("file", metavar="FILE", help="problems; 'starter:train' and 'starter:heldout' are shipped")
    show.add_argument("--id", metavar="ID", required=True, help="the problem")


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.curriculum.data.check import problem_page
    from stepcoder.curriculum.data.files import check_kind, check_location, read
    from stepcoder.curriculum.data.readers.record import Record
    from stepcoder.deploy.commands.courses import unknown

    check_kind(options.kind)
    path = check_location(options.file)
    kind = chosen_format(options.kind, path)
    known: list[str] = []
    for entry in read(kind, path):
        if isinstance(entry, Record):
            if entry.problem.id == options.id:
                console().print(problem_page(entry), soft_wrap=False)
                return 0
            known.append(entry.problem.id)
    if not known:
        raise UserError(f"{options.file}: holds no problem in this format; is --from {kind} right?")
    raise unknown(options.id, known, options.file)
