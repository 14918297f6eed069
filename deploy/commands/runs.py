"""`stepcoder runs`."""

import argparse
from pathlib import Path

from stepcoder.deploy.commands.common import console, place
from stepcoder.errors import UserError

EXAMPLES = """\
examples:
  stepcoder runs                    those below runs/
  stepcoder runs /shared/runs
  stepcoder runs s3://bucket/runs   reads each run's files; whether a driver lives is not seen there"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    runs = commands.add_parser(
        "runs", help="list runs and how far each is", epilog=EXAMPLES,
        description="List the runs at or below a directory, those written last first. A stopped run goes on with the\n"
        "command that began it.",
    )  # fmt: skip
    runs.add_argument("directory", metavar="DIR", nargs="?", default="runs", help="a path or URI (default: runs)")


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from rich.table import Column, Table

    from stepcoder.deploy.run.directory import local_part
    from stepcoder.deploy.run.listing import ago, listed, told
    from stepcoder.deploy.run.meant import meant

    found = listed(options.directory)
    if not found and "://" not in options.directory and not local_part(options.directory).is_dir():
        raise UserError(f"{options.directory}: there is no such directory; give that of a run, or one above runs")
    if not found:
        said = f"{options.directory}: there is no run at or below it (a directory with a config.yaml)."
        raise UserError(f"{said}{meant(options.directory)}")
    table = Table(Column("run", overflow="fold"), "state", "passed", "reward", "written", box=None, pad_edge=False)
    for item in found:
        passed, reward = item.metrics.get("pass_rate"), item.metrics.get("reward/mean")
        name = item.name if "://" in item.name else place(Path(item.name))
        table.add_row(
            name, told(item), f"{passed:.0%}" if isinstance(passed, int | float) else "",
            f"{reward:+.2f}" if isinstance(reward, int | float) else "", ago(item.written),
        )  # fmt: skip
    console().print(table)
    return 0
