"""The `stepcoder` command.

A mistake of the user is one message on stderr and exit code 2; a fault of ours is a traceback and exit code 1. The
codes are at the end of `stepcoder --help`.
Only the standard library is imported before a subcommand is known, so that help and refusals come at once.
"""

import argparse
import contextlib
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import IO, Any

from stepcoder.deploy.commands.common import stopped
from stepcoder.ending import lead_nowhere, leave
from stepcoder.errors import UserError, disk_fault, mended, nearest
from stepcoder.paths import source_tree

COMMANDS = (
    "train", "sft", "eval", "study", "compare", "view", "report", "show", "doctor", "export", "grade", "serve",
    "packages", "mask", "courses", "data", "submit", "runs",
)  # fmt: skip
TAKES_SETTINGS = ("train", "sft", "eval", "doctor", "grade", "serve", "data")

TRAINS = ("train", "sft", "eval")
NEEDS_TRAINING = (*TRAINS, "submit", "study")
# Packages of the extra `train`.
TRAINING = "ray torch transformers deepspeed peft tensorboard matplotlib psutil scipy fsspec gguf accelerate".split()

DESCRIPTION = """\
Train a code model with reinforcement learning from unit tests (StepCoder, arXiv 2402.01391): a curriculum of completion
subtasks, a policy loss on executed tokens only, and PPO, GRPO or another algorithm."""

EXAMPLES = """\
start here:
  stepcoder doctor --config configs/starter.yaml      what this machine has, lacks and needs for that run
  stepcoder train --config configs/starter.yaml       train the starter model; the same line again resumes
  stepcoder sft --config configs/sft-starter.yaml     fine-tune on the problems' solutions, the stage before it
  stepcoder eval --run runs/starter                   pass rate of the newest checkpoint
  stepcoder view runs/starter                         a web page on it: curves, and programs with the lines that ran
  stepcoder compare runs/starter runs/starter-grpo    several runs side by side
  stepcoder study configs/study-starter.yaml          several arms with several seeds, and how sure a difference is
  stepcoder submit -- train --config FILE ...         the same on a Ray cluster
  stepcoder runs runs                                 what runs there are, and how far they are
  stepcoder export --run runs/starter --out my-model  the trained model for transformers and vLLM
  stepcoder grade --problems P.jsonl --samples S.jsonl --out R.jsonl   judge programs, sandboxed, without training
  stepcoder data convert --from apps APPS/train P.jsonl   one's own problems: then 'data refine', 'check', 'show'

'stepcoder COMMAND --help' explains each command; 'stepcoder train --help' lists the sections of settings.

exit codes of all commands:
  0        done
  1        done in part, or something was found: programs that the sandbox could not judge, failed runs of a study,
           faults that doctor or data check name; a traceback is a fault of StepCoder
  2        a mistake in what was given, told in one message; or nothing came out: no problem kept, none evaluated
  128 + N  ended by signal N, such as 130 after Ctrl-C and 143 after SIGTERM; 141 where nobody reads the output"""


class CurrentStderr(logging.StreamHandler[IO[str]]):
    """Logs to what sys.stderr is at the moment, so that lines go above a live progress bar and not through it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> IO[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return sys.stderr


class Parser(argparse.ArgumentParser):
    """Texts are laid out as they are written, options are written out, and of choices and options it names the one that
    was meant; so do the parsers of its commands."""

    def __init__(self, *words: Any, **more: Any) -> None:
        super().__init__(*words, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **more)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[argparse.Namespace, list[str]]:
        """What is left is for settings; of these a command's own option is not one letter away."""
        found, left = super().parse_known_args(args, namespace)
        for word in (word.partition("=")[0] for word in left):
            if word.startswith("--") and (close := nearest(word, list(self._option_string_actions), cutoff=0.85)):
                self.error(f"there is no option {word}. Did you mean {close[0]}?")
        return found, left

    def _check_value(self, action: argparse.Action, value: object) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            if close := nearest(str(value), [str(choice) for choice in action.choices or ()]):
                error.message += f". Did you mean {close[0]}?"
            raise


def version() -> str:
    """The installed version, or the source tree's where nothing is installed (a submitted job)."""
    import tomllib
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("stepcoder")
    except PackageNotFoundError:
        pass
    tree = source_tree()
    return tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"]["version"] if tree else "unknown"


def parser() -> argparse.ArgumentParser:
    root = Parser("stepcoder", description=DESCRIPTION, epilog=EXAMPLES)
    root.add_argument("--version", action="version", version=f"stepcoder {version()}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        _command(name).add_parser(commands)
    return root


def _command(name: str) -> ModuleType:
    return importlib.import_module(f"stepcoder.deploy.commands.{name}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 141, as of SIGPIPE, where nobody reads what it prints any more."""
    complete_streams()
    try:
        try:
            return _run(argv)
        except KeyboardInterrupt as ended:
            print("; ".join(("stepcoder: stopped", *map(str, ended.args))), file=sys.stderr)
            return stopped(ended)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _unread():
            raise
        return 141
    except Exception as error:
        if (fault := disk_fault(error)) is None:
            raise
        try:
            sys.stdout.flush()
        except OSError:  # it is the file that the output goes to
            lead_nowhere(sys.stdout.fileno())
            fault.filename = "standard output"
        print(f"stepcoder: {fault}. {mended(fault)} and give the same command again.", file=sys.stderr)
        return 2


def _unread() -> bool:
    """Whether it was a standard stream that broke; what is left of it then leads nowhere."""
    gone = []
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # no file at all
            gone.append(leave(stream.fileno()))
    return any(gone)


def _run(argv: Sequence[str] | None) -> int:
    root = parser()
    options, settings = root.parse_known_args(argv)
    if settings and options.command not in TAKES_SETTINGS:
        root.error(f"{options.command} does not know {' '.join(settings)}")
    set_up_logging()
    try:
        for package in TRAINING if options.command in NEEDS_TRAINING else ():
            if importlib.util.find_spec(package) is None:
                raise ModuleNotFoundError(name=package)
        return _command(options.command).run(options, settings)
    except UserError as error:
        for line in str(error).split("\n"):
            print(line if line.startswith(" ") else f"stepcoder: {line}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in TRAINING:
            raise
        missing = f"{options.command} needs {error.name}, which is not installed: pip install 'stepcoder[train]'"
        print(f"stepcoder: {missing}", file=sys.stderr)
        return 2


def complete_streams() -> None:
    """Closed standard streams lead nowhere: else a file opened next takes their number, and gets what is printed."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))


def set_up_logging() -> None:
    """Our own parts at INFO, others at WARNING, unless the program that called us has set it up."""
    if not logging.root.handlers:
        handler = CurrentStderr()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logging.root.addHandler(handler)
    logging.getLogger("stepcoder").setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
