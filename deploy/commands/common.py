"""What several commands share."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

RAW = argparse.RawDescriptionHelpFormatter


class SettingsHelp(argparse.Action):
    """`--help` of a command that takes settings: its own options, then every setting."""

    def __init__(self, option_strings: Sequence[str], dest: str, **_: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show this help with every setting and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from deploy.reference import settings_reference

        print(f"{parser.format_help()}\n{settings_reference()}")
        parser.exit(0)


def stop(signum: int, frame: object) -> None:
    """A request to end (a stopped job) unwinds like any exit, so that actors and engines are taken down."""
    raise SystemExit(128 + signum)
