"""`stepcoder data check`: whether a file of problems can be trained on."""

import argparse
from typing import TYPE_CHECKING, get_args

from stepcoder.deploy.commands.common import console, executor_config
from stepcoder.words import plural

if TYPE_CHECKING:
    from stepcoder.curriculum.data.check import Checked


def add_parser(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    check = actions.add_parser(
        "check", help="say whether a file of problems can be trained on",
        description="Check every line of a file of problems: format, ids, and with --run whether solutions pass.",
        usage="stepcoder data check FILE [--run] [--executor.SETTING VALUE ...]",
    )  # fmt: skip
    check.add_argument("file", metavar="FILE", help="problems; 'starter:train' and 'starter:heldout' are shipped")
    check.add_argument("--run", action="store_true", help="also run the solutions on their tests, sandboxed")
    check.add_argument("--workers", metavar="N", help="programs run at once (default: one a core)")


def _advice(checked: "Checked") -> str:
    if not checked.sound and all(fault.reason == "missing_field" for fault in checked.faults):
        return "where this is another format, 'stepcoder data convert --from auto' makes the native one of it"
    return "correct them, or let 'stepcoder data refine' drop them"


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from rich.table import Table

    from stepcoder.bars import WorkProgress
    from stepcoder.curriculum.data.check import check
    from stepcoder.curriculum.data.files import check_input
    from stepcoder.curriculum.problems.problem import Level

    config = executor_config("data check", options, settings)
    path = check_input(options.file)
    with WorkProgress(unit="problems") as progress:
        checked = check(path, config if options.run else None, progress)
    if checked.faults:
        table = Table("where", "reason", "detail")
        for fault in checked.faults[:100]:
            table.add_row(fault.id or fault.where, str(fault.reason), fault.detail)
        console().print(table)
        if len(checked.faults) > 100:
            print(f"and {len(checked.faults) - 100:,} more")
    levels = ", ".join(f"{checked.levels[level]:,} {level}" for level in get_args(Level) if checked.levels[level])
    sound = plural(checked.sound, "problem is", "problems are")
    print(f"{sound} sound ({levels or 'none'}), {plural(checked.tests, 'test')}")
    if checked.unsolved:
        print(
            f"{checked.unsolved:,} of them without a solution: full generation only; 'stepcoder data solve' finds some"
        )
    if not options.run and not checked.faults:
        print("their solutions were not run: --run does that")
    if checked.faults:
        print(f"{plural(len(checked.faults), 'is', 'are')} not: {_advice(checked)}")
    return 1 if checked.faults or not checked.sound else 0
