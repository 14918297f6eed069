"""`stepcoder data`: from a data set on someone's disk to problems that can be trained on. One module an action."""

import argparse

from stepcoder.deploy.commands import data_check, data_convert, data_refine, data_select, data_show, data_solve
from stepcoder.errors import UserError

DESCRIPTION = """\
Make problems to train on out of a data set: convert its format, drop what is unsound, look at the rest."""

EXAMPLES = """\
examples:
  stepcoder data convert --from apps APPS/train all.jsonl.gz
  stepcoder data refine all.jsonl.gz train.jsonl.gz --report report.html --against humaneval:HumanEval.jsonl.gz
  stepcoder data check train.jsonl.gz --run
  stepcoder data solve train.jsonl.gz solved.jsonl.gz --samples runs/mine/trajectories
  stepcoder data show train.jsonl.gz --id apps/2287
  stepcoder data select train.jsonl.gz hard.jsonl --config configs/starter.yaml

Files may be JSON lines or one JSON array (both also packed), Parquet or Arrow; a folder means all tables in it.
docs/data.md explains formats, reasons and how to write a reader of your own."""

_ACTIONS = {
    "convert": data_convert, "refine": data_refine, "check": data_check, "show": data_show, "solve": data_solve,
    "select": data_select,
}  # fmt: skip


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    data = commands.add_parser(
        "data", help="convert, refine, check, show, solve and select problems", description=DESCRIPTION, epilog=EXAMPLES
    )
    actions = data.add_subparsers(dest="action", metavar="ACTION", required=True)
    for module in _ACTIONS.values():
        module.add_parser(actions)


def run(options: argparse.Namespace, settings: list[str]) -> int:
    if settings and options.action == "show":
        raise UserError(f"data {options.action} does not know {' '.join(settings)}")
    return _ACTIONS[options.action].run(options, settings)
