"""`stepcoder show`."""

import argparse

from stepcoder.deploy.commands.common import check_installed, console
from stepcoder.errors import UserError

DESCRIPTION = """\
Show a program that a run's model wrote: the given part, the lines that a test executed, the start point, and what the
tests said. Needs the extra `view`."""

EXAMPLES = """\
examples:
  stepcoder show runs/starter --problem starter/calculator/calculate --step 5
  stepcoder show runs/starter --problem starter/calculator/calculate --step 5 --sample 3
  stepcoder show runs/starter --problem starter/calculator/calculate     the last step that tried it"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    show = commands.add_parser(
        "show", help="a program of a run in the terminal, with the lines that ran", description=DESCRIPTION,
        epilog=EXAMPLES,
    )  # fmt: skip
    show.add_argument("run", metavar="RUN", help="a run directory or URI")
    show.add_argument("--problem", metavar="ID", required=True, help="the problem")
    show.add_argument("--step", metavar="N", type=int, help="the training step (default: the last that tried it)")
    show.add_argument("--sample", metavar="K", type=int, default=0, help="which completion of the group (default: 0)")


def run(options: argparse.Namespace, settings: list[str]) -> int:
    check_installed("show", "view", ("pygments", "fsspec"))
    from stepcoder.deploy.run.meant import meant
    from stepcoder.deploy.view.addresses import NotFound, Place
    from stepcoder.deploy.view.opening import is_one
    from stepcoder.deploy.view.problems import visits
    from stepcoder.deploy.view.run import Run
    from stepcoder.deploy.view.terminal import shown
    from stepcoder.deploy.view.trajectory import view
    from stepcoder.errors import nearest
    from stepcoder.visible import visible

    opened = Run("run", options.run)
    if not is_one(opened):
        raise UserError(f"{options.run}: there is no run there.{meant(options.run)}")
    tried = visits(opened, options.problem)
    if not tried:
        close = nearest(options.problem, [group.problem for group in opened.groups()])
        hint = f"; did you mean {visible(close[0])!r}?" if close else ""
        raise UserError(f"--problem: the run has tried no problem {options.problem!r}{hint}")
    steps = [group.step for group in tried]
    group = next((group for group in reversed(tried) if options.step in (None, group.step)), None)
    if group is None:
        told = ", ".join(map(str, steps[-20:]))
        raise UserError(f"--step: the problem was not tried in step {options.step}, but in {told}")
    try:
        found = view(opened, Place("run", group.step, group.ticket, options.sample))
    except NotFound as error:
        raise UserError(f"--sample: {error}") from None
    console().print(shown(found), soft_wrap=False)
    return 0
