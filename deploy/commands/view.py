"""`stepcoder view`."""

import argparse
import sys
from pathlib import Path

from stepcoder.deploy.commands.common import check_installed
from stepcoder.deploy.commands.listening import access_token, is_loopback, refused, url
from stepcoder.errors import UserError

NEEDED = ("starlette", "uvicorn", "httptools", "pygments", "fsspec")
TOKEN = "STEPCODER_VIEW_TOKEN"
PORT = 8070

DESCRIPTION = """\
A web page on runs, finished or under way: curves, problems and their start points, every program with the lines that
ran, settings. Reads the run directories alone and writes nothing. Needs the extra `view`."""

EXAMPLES = """\
examples:
  stepcoder view runs/starter
  stepcoder view runs/starter runs/starter-grpo         several runs over each other
  stepcoder view runs                                   all runs below a directory
  stepcoder view s3://bucket/runs/starter --port 0
  STEPCODER_VIEW_TOKEN=... stepcoder view runs/starter --host 0.0.0.0

It listens on loopback. On another address a token is needed; one is made and printed, unless STEPCODER_VIEW_TOKEN or
--token-file gives it. docs/view.md shows the pages; 'stepcoder report' makes one page to send."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    view = commands.add_parser(
        "view", help="a web page on runs: curves, problems, programs with the lines that ran", description=DESCRIPTION,
        epilog=EXAMPLES,
    )  # fmt: skip
    view.add_argument("runs", metavar="RUN", nargs="+", help="run directories or URIs, or one above them")
    view.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    view.add_argument("--port", type=int, default=PORT, help=f"port to listen on (default: {PORT}; 0: any free one)")
    view.add_argument("--token-file", metavar="FILE", type=Path, help=f"file with the token (default: ${TOKEN})")
    view.add_argument("--open", action="store_true", help="open it in the browser")


def run(options: argparse.Namespace, settings: list[str]) -> int:
    check_installed("view", "view", NEEDED)
    from stepcoder.deploy.view.app import build
    from stepcoder.deploy.view.guard import LOOPBACK
    from stepcoder.deploy.view.opening import opened
    from stepcoder.executor.server.config import ServeConfig
    from stepcoder.executor.server.run import bound, serve

    if not 0 <= options.port < 1 << 16:
        raise UserError(f"--port: {options.port} is no port")
    runs = opened(options.runs)
    server = ServeConfig(host=options.host, port=options.port, drain_s=1)
    token = access_token(options.token_file, options.host, TOKEN, "it is in the address below")
    try:
        listener = bound(server)
    except OSError as error:
        raise refused(server.host, server.port, error) from None
    with listener:
        address = url(*listener.getsockname()[:2]) + "/"
        entry = address if token is None else f"{address}?token={token}"

        def started() -> None:
            told = ", ".join(run.name for run in runs)
            print(f"stepcoder: {told} at {entry}  (Ctrl-C ends it)", file=sys.stderr, flush=True)
            if options.open:
                import webbrowser

                webbrowser.open(entry)

        hosts = {*LOOPBACK, options.host} if is_loopback(options.host) else LOOPBACK
        serve(build(runs, token, hosts), listener, server, started)
    return 0
