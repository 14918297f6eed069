"""`stepcoder report`."""

import argparse
from pathlib import Path

from stepcoder.deploy.commands.common import check_installed
from stepcoder.errors import UserError

DESCRIPTION = """\
One HTML page on runs to send to somebody: the curves, the problems and a few programs of 'stepcoder view', with nothing
that has to be fetched. Needs the extra `view`."""

EXAMPLES = """\
examples:
  stepcoder report runs/starter -o report.html
  stepcoder report runs/starter runs/starter-grpo -o compared.html
  stepcoder report runs/starter -o report.html --trajectory 5:38:5 --trajectory 36:281:0

A completion is STEP:TICKET:SAMPLE of the first run, or RUN:STEP:TICKET:SAMPLE, as in the addresses of 'stepcoder view'.
Without any, one that passed and one that did not are chosen of the first and of the last step."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    report = commands.add_parser(
        "report", help="one HTML page on runs, to send", description=DESCRIPTION, epilog=EXAMPLES
    )
    report.add_argument("runs", metavar="RUN", nargs="+", help="run directories or URIs, or one above them")
    report.add_argument("-o", "--out", metavar="FILE", type=Path, required=True, help="the page; replaced if it exists")
    report.add_argument("--trajectory", metavar="PLACE", action="append", default=[], help="a completion to show")
    report.add_argument("--title", help="what the page is called (default: the runs' names)")


def run(options: argparse.Namespace, settings: list[str]) -> int:
    check_installed("report", "view", ("pygments", "fsspec"))
    from stepcoder.deploy.run.outputs import check_output
    from stepcoder.deploy.view.addresses import NotFound
    from stepcoder.deploy.view.opening import opened
    from stepcoder.deploy.view.report import report
    from stepcoder.files import write_whole

    check_output(options.out, "--out", [], force=True)
    runs = opened(options.runs)
    try:
        page = report(runs, options.trajectory, options.title)
    except NotFound as error:
        raise UserError(f"--trajectory: {error}") from None
    write_whole(options.out, page)
    print(options.out)
    return 0
