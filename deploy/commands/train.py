"""`stepcoder train`."""

import argparse
import sys
from typing import TYPE_CHECKING

from stepcoder.deploy.commands.common import (
    announcement,
    asked_to_stop,
    console,
    place,
    run_options,
    told_where_it_goes_on,
)
from stepcoder.words import plural

if TYPE_CHECKING:
    from stepcoder.deploy.config.run import Config, RunConfig
    from stepcoder.deploy.run.directory import RunDirectory


DESCRIPTION = """\
Train, or go on with a run that was interrupted or whose time was over (run.max_minutes): what decides is whether
run.directory holds one. Everything is checked before anything starts; a wrong key or value is refused with the
nearest right one."""

EXAMPLES = """\
examples:
  stepcoder train --config configs/starter.yaml
  stepcoder train --config configs/starter.yaml --run.directory runs/second --run.seed 1
  stepcoder train --config configs/starter.yaml --model ~/models/my-model --data.train mine.jsonl
  stepcoder train --config configs/starter.yaml --check            only check, and print the resolved settings
  ray job submit --working-dir . -- python -m deploy.train --config configs/starter.yaml --run.directory /shared/run"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    train = commands.add_parser(
        "train", help="train a model, or go on with an interrupted run", description=DESCRIPTION, epilog=EXAMPLES,
        add_help=False, usage="stepcoder train [--config FILE] [--resume WHAT] [--check] [--SETTING VALUE ...]",
    )  # fmt: skip
    run_options(train)


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.deploy.checks.formats import settle
    from stepcoder.deploy.checks.preflight import preflight
    from stepcoder.deploy.config.load import load_config
    from stepcoder.deploy.run.directory import RunDirectory, goes_on
    from stepcoder.deploy.run.provenance import record
    from stepcoder.deploy.run.resume import check_resume, settings_before, settle_resume
    from stepcoder.deploy.training.stopping import Stopping

    config = load_config(options.config, settings)
    before = settings_before(options.resume, config.run.directory)
    config, notes = settle(config, before)
    check_resume(options.resume, config, before)
    ready = preflight(config)
    print(announcement(config, ready, options.config), file=sys.stderr)
    if options.check:
        import yaml

        print(yaml.safe_dump(config.settings(), sort_keys=False), end="")
        return 0

    if (began := settle_resume(options.resume, config.run.directory)) is not None:
        print(f"{config.run.directory}: {began}", file=sys.stderr)
    stopping = Stopping(config.run.grace_s, lambda: goes_on(config.run.directory)).install()
    with told_where_it_goes_on(config.run.directory), RunDirectory.open(config, notes) as run:
        for message in (*notes, *run.messages):
            print(f"{run.place}: {message}", file=sys.stderr)
        if not run.finished:
            from stepcoder.deploy.training import controller

            record(run.path)
            controller.train(config, run, ready, stopping)
        finish(config, run, stopping.signum)
    return stopping.exit_code


def finish(config: "Config", run: "RunDirectory", asked: int | None = None) -> None:
    """The end of a run for a person: table, picture, where the checkpoint is. `asked`: the signal that stopped it."""
    from stepcoder.deploy.run.checkpoint import named
    from stepcoder.deploy.run.metrics import read_metrics
    from stepcoder.deploy.shown.plot import learning_curve
    from stepcoder.deploy.shown.summary import report, table
    from stepcoder.files import write_json

    if not any(True for _ in read_metrics(run.metrics_file)):
        return
    last = max((step for step, _ in named(run.checkpoints)), default=0)
    result = report(run.metrics_file)
    ended = None if asked else how_it_ended(config, last, result["tokens_generated"])
    write_json(run.path / "report.json", result | {"ended": ended})
    picture = learning_curve(run.metrics_file, run.path / "learning_curve.png", f"StepCoder: {config.model}")
    if result["splits"]:
        console().print(table(result))
    where = run.uri or place(run.path)
    if asked is not None:
        print(f"stopped         {asked_to_stop(asked, last, config.run.steps)}")
    elif ended != "steps" and (limit := cut_short(config.run, ended == "tokens")):
        print(f"stopped         after {last} of {plural(config.run.steps, 'step')}: {limit}")
    print(f"learning curve  {where}/{picture.name}\nrun directory   {where}")
    print(f"take the model  stepcoder export --run {where} --out my-model")


def how_it_ended(config: "Config", steps: int, tokens: int) -> str:
    """Which limit a run came to that ended by itself: steps, tokens or minutes."""
    limit = config.run.max_tokens
    if steps >= config.run.steps:
        return "steps"
    return "tokens" if limit is not None and tokens >= limit else "minutes"


def cut_short(run: "RunConfig", tokens: bool) -> str:
    """By which limit a run was cut short, that of its tokens or of its time, and how it goes on."""
    if tokens:
        return f"run.max_tokens = {run.max_tokens}; the same command goes on where that is raised"
    if run.max_minutes is None:
        return ""
    return (
        f"run.max_minutes = {run.max_minutes:g}; the same command goes on for as long again, "
        "with --run.max_minutes N for N minutes"
    )
