"""`stepcoder doctor`."""

import argparse
import sys

from stepcoder.deploy.commands.common import RAW


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    doctor = commands.add_parser(
        "doctor", help="what this machine has and lacks, and what to do", formatter_class=RAW, allow_abbrev=False,
        description="Look at the machine, packages, sandbox, model and data. Exit code 0 if one can train, else 1.",
        usage="stepcoder doctor [--config FILE] [--SETTING VALUE ...]",
    )  # fmt: skip
    doctor.add_argument("--config", metavar="FILE", help="YAML file of the run that is meant")


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from rich.console import Console

    from stepcoder.deploy.checks.doctor import findings, report
    from stepcoder.deploy.config.load import load_config
    from stepcoder.deploy.config.sft import root_of

    found = list(findings(load_config(options.config, settings, root=root_of(options.config))))
    Console(width=None if sys.stdout.isatty() else 120).print(report(found))
    broken = [item.what for item in found if item.state == "problem"]
    print(
        f"Not ready to train: {', '.join(broken)}."
        if broken
        else "Ready: stepcoder train --config configs/starter.yaml"
    )
    return 1 if broken else 0
