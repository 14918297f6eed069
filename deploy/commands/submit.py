"""`stepcoder submit`: Ray's job API, with what a run needs filled in."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from stepcoder.errors import UserError

DESCRIPTION = """\
Hand a command to a Ray cluster and follow it; Ctrl-C stops following, not the job. The source tree of the working
directory goes along, without what .gitignore names: under 10 MB, or nothing is sent. The settings are checked here
first. 'ray job submit' does the same by hand (docs/cluster.md)."""

EXAMPLES = """\
examples:
  stepcoder submit --address http://127.0.0.1:8265 -- train --config configs/starter.yaml --run.directory /shared/run
  stepcoder submit --no-wait --name first -- train --config configs/starter.yaml --run.directory s3://bucket/run
  stepcoder submit --env HF_HOME=/shared/hf --exclude data -- sft --config configs/sft-starter.yaml --run.directory /r

The token is Ray's: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    submit = commands.add_parser(
        "submit", help="run a command on a Ray cluster", description=DESCRIPTION, epilog=EXAMPLES,
        usage="stepcoder submit [--address URL] [--name NAME] [--no-wait] [OPTION ...] -- COMMAND [ARGUMENT ...]",
    )  # fmt: skip
    submit.add_argument(
        "--address", metavar="URL", help="the cluster's dashboard (default: RAY_API_SERVER_ADDRESS, or this machine's)"
    )
    submit.add_argument(
        "--name", metavar="NAME",
        help="the job's name, with a number where one of that name has ended (default: one of Ray's)",
    )  # fmt: skip
    submit.add_argument("--no-wait", action="store_true", help="return as soon as the job is accepted")
    submit.add_argument(
        "--working-dir", metavar="DIR", type=Path, default=Path("."), help="what to send (default: this directory)"
    )
    submit.add_argument(
        "--exclude", metavar="PATTERN", action="append", default=[], help="as in .gitignore: do not send this either"
    )
    submit.add_argument(
        "--env", metavar="NAME=VALUE", action="append", default=[], help="an environment variable of the job"
    )
    submit.add_argument("line", metavar="COMMAND", nargs="+", help="train, sft or eval, and its arguments")


def run(options: argparse.Namespace, settings: list[str]) -> int:
    from stepcoder.deploy.jobs.client import connect, follow, quiet, submit
    from stepcoder.deploy.jobs.upload import Upload, variables, waiting

    quiet()
    upload = Upload(options.working_dir, tuple(options.exclude))
    environment = variables(options.env)
    environment = waiting(checked(options.line, environment)) | environment
    upload.check()
    client = connect(options.address)
    name = submit(client, options.line, upload, environment, options.name)
    if options.no_wait:
        print(name)
        return 0
    return follow(client, name)


def checked(line: list[str], environment: Mapping[str, str]) -> float:
    """Refuses a command that would fail on the cluster for what can be seen here; its `run.grace_s`.

    `environment` is the job's: settings among this process's own variables do not go along.
    """
    from stepcoder.deploy.checks.preflight import check_lasting
    from stepcoder.deploy.cli import TRAINS, parser
    from stepcoder.deploy.config.load import load_config
    from stepcoder.deploy.config.run import Config
    from stepcoder.deploy.config.sft import SFTRunConfig

    if line[0] not in TRAINS:
        raise UserError(f"submit: {line[0]} is no command that runs on a cluster; give {', '.join(TRAINS)}.")
    command, settings = parser().parse_known_args(line)
    if line[0] == "eval":
        return 0.0
    config = load_config(command.config, settings, environment, SFTRunConfig if line[0] == "sft" else Config)
    check_lasting(config, submitted=True)
    return config.run.grace_s
