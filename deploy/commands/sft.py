"""`stepcoder sft`."""

import argparse
import sys
from typing import TYPE_CHECKING

from stepcoder.deploy.commands.common import (
    SettingsHelp,
    announcement,
    asked_to_stop,
    console,
    place,
    run_options,
    told_where_it_goes_on,
)
from stepcoder.words import plural

if TYPE_CHECKING:
    from stepcoder.deploy.config.sft import SFTRunConfig
    from stepcoder.deploy.run.directory import RunDirectory


DESCRIPTION = """\
Supervised fine-tuning, the stage before 'stepcoder train': teach the model to write the problems' own solutions, as
replies to the very prompts that training will give (full generation, in the form of curriculum.prompt). The loss is on
the solution's tokens and the end token alone. Or go on with a run that was interrupted: what decides is whether
run.directory holds one.

An update takes sft.batch_size problems, an epoch all of them in an order of its own. Problems that are too long are
left out and counted. The pass rate is taken before and after (eval.at_start, eval.at_end), the loss of held-out
solutions in between. Everything is checked before anything starts; a setting that is unknown or has no effect here is
refused."""

EXAMPLES = """\
examples:
  stepcoder sft --config configs/sft-starter.yaml
  stepcoder sft --config configs/sft-starter.yaml --sft.epochs 5 --run.directory runs/longer
  stepcoder sft --config configs/sft-starter.yaml --data.train mine.jsonl --data.heldout '[]'
  stepcoder sft --config configs/sft-starter.yaml --check          only check, and print the resolved settings
then:
  stepcoder train --config configs/starter.yaml --model runs/sft-starter/checkpoints/step-00000018/policy"""


class Help(SettingsHelp):
    def root(self) -> "type[SFTRunConfig]":
        from stepcoder.deploy.config.sft import SFTRunConfig

        return SFTRunConfig


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sft = commands.add_parser(
        "sft", help="fine-tune a model on solutions, or go on with that", description=DESCRIPTION, epilog=EXAMPLES,
        add_help=False, usage="stepcoder sft [--config FILE] [--resume WHAT] [--check] [--SETTING VALUE ...]",
    )  # fmt: skip
    run_options(sft, Help)


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.deploy.checks.formats import settle
    from stepcoder.deploy.checks.preflight import preflight
    from stepcoder.deploy.config.load import load_config
    from stepcoder.deploy.config.sft import SFTRunConfig
    from stepcoder.deploy.run.directory import RunDirectory, goes_on
    from stepcoder.deploy.run.provenance import record
    from stepcoder.deploy.run.resume import check_resume, settings_before, settle_resume
    from stepcoder.deploy.training.sft_data import prepare
    from stepcoder.deploy.training.stopping import Stopping

    config = load_config(options.config, settings, root=SFTRunConfig)
    before = settings_before(options.resume, config.run.directory)
    config, notes = settle(config, before)
    check_resume(options.resume, config, before)
    ready = preflight(config)
    data = prepare(config, ready)
    updates = config.updates(len(data.train))
    told = (
        announcement(config, ready, options.config),
        *data.messages,
        f"{plural(len(data.train), 'prompt')} to train on: {plural(updates, 'update')}",
    )
    print("\n".join(told), file=sys.stderr)
    if options.check:
        import yaml

        print(yaml.safe_dump(config.settings(), sort_keys=False), end="")
        return 0

    if (began := settle_resume(options.resume, config.run.directory)) is not None:
        print(f"{config.run.directory}: {began}", file=sys.stderr)
    stopping = Stopping(config.run.grace_s, lambda: goes_on(config.run.directory)).install()
    with told_where_it_goes_on(config.run.directory), RunDirectory.open(config, notes, updates) as run:
        for message in (*notes, *run.messages):
            print(f"{run.place}: {message}", file=sys.stderr)
        if not run.finished:
            from stepcoder.deploy.training.sft import fine_tune

            record(run.path)
            fine_tune(config, run, ready, data, stopping)
        finish(config, run, stopping.signum)
    return stopping.exit_code


def finish(config: "SFTRunConfig", run: "RunDirectory", asked: int | None = None) -> None:
    """The end of a run for a person: table, picture, where the model is. `asked`: the signal that stopped it."""
    from stepcoder.deploy.run.checkpoint import POLICY, named
    from stepcoder.deploy.shown.plot import sft_curve
    from stepcoder.deploy.shown.summary import report, table
    from stepcoder.files import write_json

    result = report(run.metrics_file)
    write_json(run.path / "report.json", result | {"ended": None if asked else "steps"})
    picture = sft_curve(run.metrics_file, run.path / "learning_curve.png", f"Supervised fine-tuning: {config.model}")
    if result["splits"]:
        console().print(table(result))
    where = run.uri or place(run.path)
    if asked is not None:
        last = max((step for step, _ in named(run.checkpoints)), default=0)
        print(f"stopped         {asked_to_stop(asked, last, run.steps)}")
        return
    print(f"learning curve  {where}/{picture.name}\nrun directory   {where}")
    print(f"take the model  stepcoder export --run {where} --out my-model")
    if run.uri is None:
        print(f"train it        stepcoder train --model {place(named(run.checkpoints)[0][1] / POLICY)} ...")
