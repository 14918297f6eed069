"""The console that commands print to."""

from rich.console import Console


class Terminal(Console):
    """Rich's own, but for a reader that goes away: an error as it is for `print`, where rich ends with exit code 1."""

    def on_broken_pipe(self) -> None:
        raise  # the BrokenPipeError that it is called for
