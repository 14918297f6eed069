"""`stepcoder study`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stepcoder.deploy.commands.common import stop, stopped
from stepcoder.ending import on_request
from stepcoder.errors import UserError
from stepcoder.words import plural

if TYPE_CHECKING:
    from stepcoder.deploy.study.launch import Launcher
    from stepcoder.deploy.study.plan import Plan

DESCRIPTION = """\
Train several arms with several seeds, and say how they differ and how sure that is. An arm is a difference of
configuration; each run generates as many tokens. All arms are checked before anything starts. Interrupt it whenever you
like, kill -9 included: the same command goes on, and skips what is done."""

EXAMPLES = """\
examples:
  stepcoder study configs/study-starter.yaml               run what is left of it, one run after the other
  stepcoder study configs/study-starter.yaml --check       check all arms, say what is left, start nothing
  stepcoder study study.yaml --address http://head:8265 --jobs 4     on a Ray cluster, four runs at once
  stepcoder study show runs/study                          the table of its arms so far
  stepcoder study show runs/study --markdown --plot study.png

docs/study.md explains the file of a study and its numbers."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    study = commands.add_parser(
        "study", help="several arms with several seeds, compared", description=DESCRIPTION, epilog=EXAMPLES,
        usage="stepcoder study FILE [--check] [--address URL [--jobs N]]\n"
        "       stepcoder study show DIR [--against ARM] [--markdown] [--plot FILE]",
    )  # fmt: skip
    study.add_argument("what", metavar="FILE | show DIR", nargs="+", help="the study's file; or show and its directory")
    study.add_argument("--check", action="store_true", help="check all arms, say what is left, start nothing")
    study.add_argument("--directory", metavar="DIR", help="another directory than the file names")
    study.add_argument("--address", metavar="URL", help="run on the Ray cluster with this dashboard, as jobs")
    study.add_argument("--jobs", metavar="N", type=int, help="with --address: runs at once (default: 2)")
    study.add_argument("--against", metavar="ARM", help="show: differences from this arm (default: the first)")
    study.add_argument("--markdown", action="store_true", help="show: tables in Markdown")
    study.add_argument("--plot", metavar="FILE", type=Path, help="show: draw the curves there (PNG)")


def run(options: argparse.Namespace, settings: list[str]) -> int:
    if options.what[0] == "show":
        if len(options.what) != 2:
            raise UserError("study show takes the directory of one study")
        others = ("check", "directory", "address", "jobs")
        if given := [f"--{name}" for name in others if getattr(options, name) not in (None, False)]:
            raise UserError(f"{given[0]} is for 'stepcoder study FILE'; show reads the directory that it is given")
        return show(options, Path(options.what[1]))
    if len(options.what) != 1:
        raise UserError(f"study takes one file, or show and a directory, not {' '.join(options.what)}")
    if options.markdown or options.plot or options.against:
        raise UserError("--against, --markdown and --plot are for 'stepcoder study show DIR'")
    if options.jobs is not None and (options.address is None or options.jobs < 1):
        raise UserError("--jobs N is for runs on a cluster: give --address URL too, and 1 or more jobs")
    return start(options, Path(options.what[0]))


def start(options: argparse.Namespace, file: Path) -> int:
    from stepcoder.deploy.study.check import check
    from stepcoder.deploy.study.plan import load_plan
    from stepcoder.deploy.study.runner import Study, start_model
    from stepcoder.deploy.study.trials import done

    plan = load_plan(file, options.directory)
    made = start_model(plan)
    check(plan, str(made) if made else None, here=options.address is None)
    if options.check:
        trials = plan.trials()
        for arm in plan.arms:
            differs = ", ".join(f"{key} {value}" for key, value in arm.settings.items()) or "the configuration itself"
            print(f"{arm.name:12} {plural(len(arm.seeds), 'seed')}: {differs}")
        print(f"{plural(len(trials), 'run')}, {sum(done(trial.path) for trial in trials)} done: {plan.directory}")
        return 0
    on_request(stop)
    try:
        code = Study(plan, launcher(options, plan), lambda text: print(text, file=sys.stderr, flush=True)).run()
    except KeyboardInterrupt as ended:
        print("stepcoder: stopped; the same command goes on with the study", file=sys.stderr)
        return stopped(ended)
    from stepcoder.deploy.study.results import read
    from stepcoder.deploy.study.text import as_text

    print(as_text(read(plan.directory)), end="")
    return code


def launcher(options: argparse.Namespace, plan: "Plan") -> "Launcher":
    from stepcoder.deploy.study.launch import Here
    from stepcoder.deploy.study.runner import grace_s

    if options.address is None:
        return Here(grace_s(plan))
    from stepcoder.deploy.jobs.upload import Upload
    from stepcoder.deploy.study.jobs import Jobs

    return Jobs(options.address, options.jobs or 2, Upload(Path(".")), plan.directory, grace_s(plan))


def show(options: argparse.Namespace, directory: Path) -> int:
    from stepcoder.deploy.run.outputs import check_picture
    from stepcoder.deploy.study.results import read
    from stepcoder.deploy.study.text import as_markdown, as_text

    results = read(directory)
    if options.against is not None:
        results = results.against(options.against)
    if options.plot is not None:
        check_picture(options.plot, "--plot")
    print(as_markdown(results) if options.markdown else as_text(results), end="")
    if options.plot is not None:
        from stepcoder.deploy.study.picture import draw

        try:
            draw(results, options.plot)
        except ValueError as error:
            raise UserError(f"--plot: {error}") from None
    return 0
