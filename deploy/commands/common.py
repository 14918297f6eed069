"""What several commands share."""

import argparse
import contextlib
import importlib.util
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from stepcoder.errors import UserError
from stepcoder.words import plural

if TYPE_CHECKING:
    from rich.console import Console

    from stepcoder.curriculum.data.readers.hub import Location
    from stepcoder.deploy.checks.preflight import Ready
    from stepcoder.deploy.config.shared import BaseConfig
    from stepcoder.executor.config import ExecutorConfig


class SettingsHelp(argparse.Action):
    """`--help` of a command that takes settings: its own options and the sections; with a name, the settings there."""

    def __init__(self, option_strings: Sequence[str], dest: str, **_: Any) -> None:
        about = "show this page, or a section's settings (learner.policy), or all of them (all)"
        super().__init__(option_strings, dest, nargs="?", metavar="SECTION", help=about)

    def __call__(self, parser: argparse.ArgumentParser, _: object, name: Any, *__: object) -> NoReturn:
        from stepcoder.deploy.config.help import settings_of, settings_overview

        try:
            page = "" if name else f"{parser.format_help()}\n{settings_overview(self.root())}"
            print(page or settings_of(name, self.root()))
        except UserError as error:
            parser.exit(2, f"stepcoder: {error}\n")
        parser.exit(0)

    def root(self) -> "type[BaseConfig]":
        from stepcoder.deploy.config.run import Config

        return Config


def announcement(config: "BaseConfig", ready: "Ready", file: str | None) -> str:
    """What is about to be trained, and for how long; without a `file` of settings, how to choose one."""
    data = f"{plural(len(ready.train), 'problem')}, {len(ready.held_out)} held out"
    told = f"{config.run.directory}: {config.model} on {data}; {config.about()}"
    return told if file else f"{told}\n{no_file(config)}"


def no_file(config: "BaseConfig") -> str:
    """That the defaults are what runs, and what to give for a run that a small machine can do."""
    starter = {"train": "starter.yaml", "sft": "sft-starter.yaml"}[config.command]
    return (
        f"without --config every setting not given is the default, of the paper's size; --config configs/{starter} "
        "suits a small machine"
    )


class Terminated(KeyboardInterrupt):
    """A request to end, such as SIGTERM to a stopped job: unwinds as Ctrl-C does, so that nothing is left running."""

    signum = int(signal.SIGTERM)


def stop(signum: int, frame: object) -> None:
    ended = Terminated()
    ended.signum = signum
    raise ended


def stopped(ended: KeyboardInterrupt) -> int:
    """The exit code of a command that was told to end."""
    return 128 + (ended.signum if isinstance(ended, Terminated) else signal.SIGINT)


@contextlib.contextmanager
def told_where_it_goes_on(directory: str) -> Iterator[None]:
    """Ctrl-C during a run says what the same command does afterwards."""
    from stepcoder.deploy.run.directory import goes_on

    try:
        yield
    except KeyboardInterrupt as ended:
        ended.args = (goes_on(directory),)
        raise


def _resume(text: str) -> str:
    return text.lower() if text.lower() in ("auto", "never") else text


def run_options(parser: argparse.ArgumentParser, settings_help: type[SettingsHelp] = SettingsHelp) -> None:
    """Of a command that trains."""
    parser.add_argument("--config", metavar="FILE", help="YAML file with the settings that differ from the defaults")
    parser.add_argument(
        "--resume", metavar="WHAT", default="auto", type=_resume,
        help="auto: go on with what run.directory holds (default); never: refuse a directory that holds a run; PATH: "
        "begin a new directory at another run's newest checkpoint, or at PATH/checkpoints/step-N",
    )  # fmt: skip
    parser.add_argument(
        "--check", action="store_true", help="check everything, print the resolved settings, start nothing"
    )
    parser.add_argument("-h", "--help", action=settings_help)


def asked_to_stop(signum: int, done: int, steps: int) -> str:
    """How far a run came that was told to stop by a signal, and how it goes on."""
    kept = f"the checkpoint of step {done} of {steps} is written" if done else "before its first checkpoint"
    after = "goes on from there" if done else "begins at the first step"
    return f"by {signal.Signals(signum).name}, {kept}; the same command {after}"


def check_installed(command: str, extra: str, packages: tuple[str, ...]) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise UserError(f"{command} needs {package}, which is not installed: pip install 'stepcoder[{extra}]'")


def judging_options(parser: argparse.ArgumentParser) -> None:
    """Settings of the executor by shorter names."""
    parser.add_argument("--workers", metavar="N", help="programs run at once (default: one a core)")
    parser.add_argument(
        "--compare", metavar="KIND",
        help="output comparison of all problems: strict, tokens, lines, lcb, apps, yesno (default: as each says)",
    )  # fmt: skip
    parser.add_argument(
        "--reward", metavar="KIND",
        help="stepcoder (default), ratio, ladder, verpo, binary, or your own: package.module:function",
    )  # fmt: skip
    parser.add_argument("--level", metavar="auto|1|2|3|4", help="isolation level (default: auto, the best there is)")
    parser.add_argument(
        "--no-coverage", dest="coverage", action="store_const", const="false",
        help="do not record executed lines: faster",
    )  # fmt: skip


def executor_config(command: str, options: argparse.Namespace, settings: list[str]) -> "ExecutorConfig":
    """The executor's settings: named options that were given, then settings on the command line, then the environment.

    One worker a core unless something else is said. UserError for settings that are not the executor's.
    """
    from stepcoder.deploy.checks import machine
    from stepcoder.deploy.config.fields import flatten
    from stepcoder.deploy.config.load import load_config
    from stepcoder.deploy.config.run import Config
    from stepcoder.deploy.config.sources import read_arguments
    from stepcoder.executor.judging.reward import check

    others = [key for key in read_arguments(settings, flatten(Config)) if key.partition(".")[0] != "executor"]
    if others:
        raise UserError(f"{command} does not know --{others[0]}; of the settings it takes those under executor.")
    named = {name: getattr(options, name, None) for name in ("workers", "compare", "reward", "level", "coverage")}
    words = [f"--executor.{name}={value}" for name, value in named.items() if value is not None]
    default = {"STEPCODER_EXECUTOR__WORKERS": str(min(machine.cores(), 256))}
    default["STEPCODER_LEARNER__CREDIT"] = "all"  # no learner here needs the executed lines
    config = load_config(None, [*settings, *words], default | dict(os.environ)).executor
    if ":" in config.reward:
        sys.path.insert(0, os.getcwd())  # one's own function is looked for here first
    try:
        check(config.reward)
    except ValueError as error:
        raise UserError(str(error)) from None
    return config


def nothing_kept(source: object, count: int, out: Path) -> UserError:
    """A command that keeps none of the problems that it read has failed: nobody can train on its output."""
    return UserError(f"{source}: none of its {plural(count, 'problem')} is kept, so that {out} is not written")


def kind_option(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """`--from`: the format of a data set."""
    from stepcoder.curriculum.data.readers import FORMATS

    default = "" if required else " (default: native)"
    parser.add_argument(
        "--from", dest="kind", metavar="FORMAT", required=required, default=None if required else "native",
        help=f"auto (by the fields), {', '.join(FORMATS)}, or your own reader as package.module:function{default}",
    )  # fmt: skip


def chosen_format(kind: str, path: "Location") -> str:
    """A format; says which one `auto` took."""
    from stepcoder.curriculum.data.files import AUTO, check_kind, format_of

    found = format_of(check_kind(kind), path)
    if kind == AUTO:
        print(f"format     {found} (by the fields; --from names another)")
    return found


def place(path: Path) -> str:
    """A path as one would type it here: relative to this folder, where it lies in it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def console() -> "Console":
    """For tables: as wide as the terminal, or wide enough for a file."""
    from stepcoder.terminal import Terminal

    return Terminal(width=None if sys.stdout.isatty() else 110, highlight=False)
