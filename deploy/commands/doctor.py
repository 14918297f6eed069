"""`stepcoder doctor`."""

import argparse
import shlex
import sys

from stepcoder.deploy.commands.common import no_file


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    doctor = commands.add_parser(
        "doctor", help="what this machine has and lacks, and what to do",
        description="Look at the machine, packages, sandbox, model and data of a run: what it needs and for how long.\n"
        "Without --config that is a run with the defaults. Exit code 0 if one can train, else 1.",
        usage="stepcoder doctor [--config FILE] [--SETTING VALUE ...]",
    )  # fmt: skip
    doctor.add_argument(
        "--config", metavar="FILE", help="YAML file of the run that is meant, such as configs/starter.yaml"
    )


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.deploy.checks.doctor import findings, report
    from stepcoder.deploy.config.load import load_config
    from stepcoder.deploy.config.sft import root_of
    from stepcoder.terminal import Terminal

    config = load_config(options.config, settings, root=root_of(options.config))
    if options.config is None:
        print(no_file(config), file=sys.stderr)
    found = list(findings(config))
    Terminal(width=None if sys.stdout.isatty() else 120).print(report(found))
    given = [] if options.config is None else ["--config", options.config]
    broken = [item.what for item in found if item.state == "problem"]
    print(
        f"Not ready to train: {', '.join(broken)}."
        if broken
        else f"Ready: {shlex.join(['stepcoder', config.command, *given, *settings])}"
    )
    return 1 if broken else 0
