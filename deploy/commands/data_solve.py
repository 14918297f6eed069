"""`stepcoder data solve`: solutions for problems that have none."""

import argparse
from pathlib import Path

from stepcoder.deploy.commands.common import executor_config

DESCRIPTION = """\
Give problems without a solution the shortest program that passes their tests, of programs that somebody wrote: the
trajectories of a training run (its folder 'trajectories'), or lines {"problem_id", "program"}. Programs are run, not
believed. Problems that have a solution stay as they are; those for which no program passes stay without one."""


def add_parser(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    solve = actions.add_parser(
        "solve", help="give problems a solution: the shortest program that passed", description=DESCRIPTION,
        usage="stepcoder data solve PROBLEMS OUT --samples PATH [--samples PATH ...] [--executor.SETTING VALUE ...]",
    )  # fmt: skip
    solve.add_argument("problems", metavar="PROBLEMS", help="problems in the native format")
    solve.add_argument("out", metavar="OUT", type=Path, help="all problems; packed where the name ends in .gz")
    solve.add_argument(
        "--samples", metavar="PATH", action="append", required=True,
        help="a folder of trajectories, or JSON lines of samples; may be given several times",
    )  # fmt: skip
    solve.add_argument("--workers", metavar="N", help="programs run at once (default: one a core)")
    solve.add_argument("--force", action="store_true", help="replace OUT where it exists")


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.bars import WorkProgress
    from stepcoder.curriculum.data.files import check_input, check_packing
    from stepcoder.curriculum.data.solve import solve
    from stepcoder.curriculum.problems.load import load_problems
    from stepcoder.deploy.run.outputs import check_output

    check_packing(options.out)
    problems_file, samples = check_input(options.problems), list(map(check_input, options.samples))
    check_output(options.out, "OUT", [problems_file, *samples], options.force)
    config = executor_config("data solve", options, settings)
    problems = load_problems(options.problems)
    with WorkProgress(unit="problems") as progress:
        found = solve(problems, samples, options.out, config, progress)
    print(f"{found.solved:,} of {found.unsolved:,} problems without a solution have one now")
    print(f"{found.programs:,} different programs were there for them, {found.run:,} were run")
    if found.unparsed:
        print(f"{found.unparsed:,} texts for them are no Python, and were left out")
    print(f"problems   {options.out}")
    if found.unjudged:
        print(f"{found.unjudged:,} programs could not be judged: see 'stepcoder doctor'")
    return 1 if found.unjudged else 0
