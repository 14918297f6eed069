"""The `stepcoder` command.

A mistake of the user is one message on stderr and exit code 2; a fault of ours is a traceback and exit code 1.
Only the standard library is imported before a subcommand is known, so that help and refusals come at once.
"""

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from deploy.errors import UserError

if TYPE_CHECKING:
    from deploy.config import Config
    from deploy.run_directory import RunDirectory

DESCRIPTION = """\
Train a code model with reinforcement learning from unit tests (StepCoder, arXiv 2402.01391): PPO with a curriculum of
completion subtasks, and a policy loss on executed tokens only."""

EXAMPLES = """\
start here:
  stepcoder doctor                                    what this machine has and lacks
  stepcoder train --config configs/starter.yaml       train the starter model; the same line again resumes
  stepcoder eval --run runs/starter                   pass rate of the newest checkpoint
  stepcoder export --run runs/starter --out my-model  the trained model for transformers and vLLM

'stepcoder COMMAND --help' explains each command; 'stepcoder train --help' explains every setting."""

TRAIN = """\
Train, or go on with a run that was interrupted: what decides is whether run.directory holds one. Everything is
checked before anything starts; a wrong key or value is refused with the nearest right one."""

TRAIN_EXAMPLES = """\
examples:
  stepcoder train --config configs/starter.yaml
  stepcoder train --config configs/starter.yaml --run.directory runs/second --run.seed 1
  stepcoder train --config configs/starter.yaml --model ~/models/my-model --data.train mine.jsonl
  stepcoder train --config configs/starter.yaml --check            only check, and print the resolved settings
  ray job submit --working-dir . -- python -m deploy.train --config configs/starter.yaml --run.directory /shared/run"""

EVAL_EXAMPLES = """\
examples:
  stepcoder eval --run runs/starter                                newest checkpoint, with the run's own settings
  stepcoder eval --run runs/starter --step 20 --eval.samples 32
  stepcoder eval --config configs/starter.yaml --model smollm2-135m --out before.json

Any setting of 'stepcoder train --help' may follow; those under eval., data. and rollout. matter."""

EXPORT_EXAMPLES = """\
examples:
  stepcoder export --run runs/starter --out my-model
  stepcoder export --run s3://bucket/run --step 200 --out my-model --dtype float16"""


class CurrentStderr(logging.StreamHandler[IO[str]]):
    """Logs to what sys.stderr is at the moment, so that lines go above a live progress bar and not through it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> IO[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return sys.stderr


def version() -> str:
    """The installed version, or the source tree's where nothing is installed (a submitted job)."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("stepcoder")
    except PackageNotFoundError:
        pass
    import tomllib

    try:
        text = (Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8")
        return tomllib.loads(text)["project"]["version"]
    except (OSError, KeyError, ValueError):
        return "unknown"


class SettingsHelp(argparse.Action):
    """`--help` of a command that takes settings: its own options, then every setting."""

    def __init__(self, option_strings: Sequence[str], dest: str, **_: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show this help with every setting and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from deploy.reference import settings_reference

        print(f"{parser.format_help()}\n{settings_reference()}")
        parser.exit(0)


def parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    root = argparse.ArgumentParser(
        "stepcoder", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=raw, allow_abbrev=False
    )
    root.add_argument("--version", action="version", version=f"stepcoder {version()}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)

    train = commands.add_parser(
        "train", help="train a model, or go on with an interrupted run", description=TRAIN, epilog=TRAIN_EXAMPLES,
        formatter_class=raw, allow_abbrev=False, add_help=False,
        usage="stepcoder train [--config FILE] [--check] [--SETTING VALUE ...]",
    )  # fmt: skip
    train.add_argument("--config", metavar="FILE", help="YAML file with the settings that differ from the defaults")
    train.add_argument(
        "--check", action="store_true", help="check everything, print the resolved settings, start nothing"
    )
    train.add_argument("-h", "--help", action=SettingsHelp)

    evaluate = commands.add_parser(
        "eval", help="pass rate of a checkpoint or model", epilog=EVAL_EXAMPLES, formatter_class=raw,
        allow_abbrev=False,
        description="Pass rate at full generation, no prefix given, with its 95% interval.",
        usage="stepcoder eval [--run DIR [--step N]] [--config FILE] [--out FILE] [--SETTING VALUE ...]",
    )  # fmt: skip
    evaluate.add_argument(
        "--run", metavar="DIR", help="run whose checkpoint to evaluate; without it, the setting 'model' is"
    )
    evaluate.add_argument(
        "--step", type=int, metavar="N", help="checkpoint of this step (default: the newest complete one)"
    )
    evaluate.add_argument("--config", metavar="FILE", help="YAML file with settings (default: the run's own)")
    evaluate.add_argument("--out", metavar="FILE", type=Path, help="also write the result as JSON")

    doctor = commands.add_parser(
        "doctor", help="what this machine has and lacks, and what to do", formatter_class=raw, allow_abbrev=False,
        description="Look at the machine, packages, sandbox, model and data. Exit code 0 if one can train, else 1.",
        usage="stepcoder doctor [--config FILE] [--SETTING VALUE ...]",
    )  # fmt: skip
    doctor.add_argument("--config", metavar="FILE", help="YAML file of the run that is meant")

    export = commands.add_parser(
        "export", help="write the trained model as a Hugging Face directory", epilog=EXPORT_EXAMPLES,
        formatter_class=raw, allow_abbrev=False,
        description="Write a checkpoint's policy and tokenizer for transformers and vLLM.",
    )  # fmt: skip
    export.add_argument("--run", metavar="DIR", required=True, help="run directory or URI")
    export.add_argument(
        "--step", type=int, metavar="N", help="checkpoint of this step (default: the newest complete one)"
    )
    export.add_argument("--out", metavar="DIR", type=Path, required=True, help="new or empty directory to write to")
    export.add_argument(
        "--dtype", choices=("bfloat16", "float16", "float32"), help="number format (default: as trained)"
    )
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    root = parser()
    options, settings = root.parse_known_args(argv)
    if settings and options.command == "export":
        root.error(f"export does not know {' '.join(settings)}")
    commands = {"train": train, "eval": evaluate, "doctor": doctor, "export": export}
    set_up_logging()
    try:
        return commands[options.command](options, settings)
    except UserError as error:
        for line in str(error).split("\n"):
            print(line if line.startswith(" ") else f"stepcoder: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stepcoder: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130


def set_up_logging() -> None:
    """Our own parts at INFO, others at WARNING, unless the program that called us has set it up."""
    if not logging.root.handlers:
        handler = CurrentStderr()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logging.root.addHandler(handler)
    for name in ("deploy", "learner", "rollout", "curriculum", "executor"):
        logging.getLogger(name).setLevel(logging.INFO)


def train(options: argparse.Namespace, settings: list[str]) -> int:
    from deploy.preflight import preflight
    from deploy.settings import load_config

    config = load_config(options.config, settings)
    ready = preflight(config)
    if options.check:
        import yaml

        print(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), end="")
        return 0
    from deploy.run_directory import RunDirectory

    signal.signal(signal.SIGTERM, _stop)
    with RunDirectory.open(config) as run:
        for message in run.messages:
            print(f"{run.path}: {message}", file=sys.stderr)
        if not run.finished:
            from deploy import controller

            controller.train(config, run, ready)
        finish(config, run)
    return 0


def _stop(signum: int, frame: object) -> None:
    """A request to end (a stopped job) unwinds like any exit, so that actors and engines are taken down."""
    raise SystemExit(128 + signum)


def finish(config: "Config", run: "RunDirectory") -> None:
    """The end of a run for a person: table, picture, where the checkpoint is."""
    from rich.console import Console

    from deploy.metrics import read_metrics
    from deploy.plot import learning_curve
    from deploy.summary import report, table

    if not any(True for _ in read_metrics(run.metrics_file)):
        return
    result = report(run.metrics_file)
    (run.path / "report.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    picture = learning_curve(run.metrics_file, run.path / "learning_curve.png", f"StepCoder: {config.model}")
    console = Console(width=None if sys.stdout.isatty() else 110, soft_wrap=False)
    if result["splits"]:
        console.print(table(result))
    place = run.uri or os.path.relpath(run.path)
    print(f"learning curve  {os.path.relpath(picture)}\nrun directory   {place}")
    print(f"take the model  stepcoder export --run {place} --out my-model")


def evaluate(options: argparse.Namespace, settings: list[str]) -> int:
    from rich.console import Console

    from deploy.preflight import preflight
    from deploy.settings import load_config
    from deploy.summary import rates_table

    if options.step is not None and options.run is None:
        raise UserError("--step needs --run.")
    file, target = options.config, None
    if options.run is not None:
        from deploy.export import find_checkpoint

        checkpoint = find_checkpoint(options.run, options.step)
        target = checkpoint.policy
        own = checkpoint.path.parent.parent / "config.yaml"
        file = file or (own if own.is_file() else None)
    config = load_config(file, settings)
    if target is not None:
        config = config.model_copy(update={"model": str(target)})
    ready = preflight(config, writes=False)
    signal.signal(signal.SIGTERM, _stop)
    from deploy import controller

    result = controller.evaluate(config, ready)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    Console(width=None if sys.stdout.isatty() else 110).print(rates_table(result, str(target or config.model)))
    return 0


def doctor(options: argparse.Namespace, settings: list[str]) -> int:
    from rich.console import Console

    from deploy.doctor import findings, report
    from deploy.settings import load_config

    found = list(findings(load_config(options.config, settings)))
    Console(width=None if sys.stdout.isatty() else 120).print(report(found))
    broken = [item.what for item in found if item.state == "problem"]
    print(
        f"Not ready to train: {', '.join(broken)}."
        if broken
        else "Ready: stepcoder train --config configs/starter.yaml"
    )
    return 1 if broken else 0


def export(options: argparse.Namespace, settings: list[str]) -> int:
    from deploy.export import export as write
    from deploy.export import find_checkpoint

    checkpoint = find_checkpoint(options.run, options.step)
    out = write(checkpoint, options.out, options.dtype)
    print(f"{out}: the policy after {checkpoint.step} steps")
    return 0


if __name__ == "__main__":
    sys.exit(main())
