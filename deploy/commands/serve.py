"""`stepcoder serve`."""

import argparse
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepcoder.deploy.commands.common import check_installed, executor_config, judging_options
from stepcoder.deploy.commands.listening import access_token, refused, url
from stepcoder.errors import DataFileError, UserError
from stepcoder.jsonl import dumps

if TYPE_CHECKING:
    from stepcoder.executor.server.config import ServeConfig
    from stepcoder.executor.suite import CompareRule, Suite

NEEDED = ("starlette", "uvicorn", "httptools", "prometheus_client")
TOKEN = "STEPCODER_JUDGE_TOKEN"
_KEPT_BYTES = 1 << 18  # of a problem that is kept

# Fields of executor.server.config.ServeConfig, where the defaults are.
SERVER = {
    "host": "address to listen on (default: 127.0.0.1)",
    "port": "port to listen on (default: 8060; 0: any that is free)",
    "body_mib": "largest body of a request (default: 16 MiB)",
    "bodies_mib": "bodies of all requests under way (default: 512 MiB)",
    "waiting": "programs that may run or wait (default: 1024)",
    "head_s": "seconds for the head of a request (default: 10)",
    "body_s": "seconds for the body of a request (default: 30)",
    "send_s": "seconds in which a client has to take something of its answer (default: 30)",
    "idle_s": "seconds for the next request on a connection (default: 60)",
    "drain_s": "seconds for what is under way when it is stopped (default: 150)",
}

DESCRIPTION = """\
Judge programs over HTTP, sandboxed: the same verdicts as 'stepcoder grade', for training code of any kind.
One process a machine. Needs the extra `serve`: pip install 'stepcoder[serve]'. No GPU, model or Ray is needed."""

EXAMPLES = """\
routes:
  POST /judge, /judge/batch               a program and a problem, or its id in --problems: verdict, reward, lines
  POST /run_code                          as SandboxFusion, for verl (Python only)
  POST /test_program, /test_program_stdio as open-instruct
  POST /verify                            as NeMo Gym
  POST /get_reward                        as OpenRLHF
  GET  /health, /metrics, /docs           whether it serves, counters for Prometheus, this list with all fields

examples:
  stepcoder serve
  stepcoder serve --problems train.jsonl.gz --port 9000 --workers 32
  STEPCODER_JUDGE_TOKEN=... stepcoder serve --host 0.0.0.0

Without a token anybody who reaches the port can run programs in the sandbox. On an address that is not loopback one is
made and printed, unless STEPCODER_JUDGE_TOKEN or --token-file gives it. SIGTERM or Ctrl-C: what is under way is
answered, then the server ends. Every setting under executor. of 'stepcoder train --help' may follow.
docs/adapters.md shows how trainers use it."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser(
        "serve", help="judge programs over HTTP", description=DESCRIPTION, epilog=EXAMPLES,
        usage="stepcoder serve [options] [--executor.SETTING VALUE ...]",
    )  # fmt: skip
    serve.add_argument("--problems", metavar="FILE", help="problems that requests may name by id")
    serve.add_argument("--token-file", metavar="FILE", type=Path, help=f"file with the token (default: ${TOKEN})")
    for name, about in SERVER.items():
        serve.add_argument(f"--{name.replace('_', '-')}", metavar="HOST" if name == "host" else "N", help=about)
    judging_options(serve)


def run(options: argparse.Namespace, settings: list[str]) -> int:
    check_installed("serve", "serve", NEEDED)
    from stepcoder.deploy.cli import version
    from stepcoder.executor.pool.local import LocalPool
    from stepcoder.executor.server.app import build
    from stepcoder.executor.server.judge import Problems
    from stepcoder.executor.server.run import bound, serve

    config = executor_config("serve", options, settings)
    server = _server_config(options)
    token = access_token(options.token_file, server.host, TOKEN, "clients: Authorization: Bearer TOKEN, or "
                         "http://judge:TOKEN@host:port")  # fmt: skip
    problems = Problems(_suites(options.problems, config.compare), read_problem)
    try:
        listener = bound(server)
    except OSError as error:
        raise refused(server.host, server.port, error) from None
    with listener:
        pool = LocalPool(config)
        address = url(*listener.getsockname()[:2])

        def started() -> None:
            print(f"stepcoder: serving on {address}, {config.workers} programs at once, level {pool.level}; "
                  f"{address}/docs lists the routes", file=sys.stderr, flush=True)  # fmt: skip

        with pool:
            serve(build(pool, problems, server, version(), token), listener, server, started)
    print("stepcoder: stopped; every request that was under way has its answer", file=sys.stderr)
    return 0


def read_problem(data: dict[str, Any]) -> "Suite":
    """The suite of a problem in the native format; only what judging needs has to be there.

    ValueError with field and reason. The programs of a group come with the same problem: the last ones are kept.
    """
    try:
        line = dumps({"id": "-"} | data).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the problem is no JSON data: {error}") from None
    return (_suite_of if len(line) <= _KEPT_BYTES else _suite_of.__wrapped__)(line)


@lru_cache(maxsize=64)
def _suite_of(line: bytes) -> "Suite":
    from stepcoder.curriculum.problems.load import parse_line

    try:
        return parse_line(line, "problem", 1, judging=True).suite
    except DataFileError as error:
        raise ValueError(f"{error.field}: {error.reason}" if error.field else error.reason) from None


def _suites(source: str | None, compare: "CompareRule") -> "Mapping[str, Suite]":
    """Of every problem; one that cannot judge is refused when it is read, before the server starts."""
    from stepcoder.deploy.commands.grade import read_tests

    return {} if source is None else read_tests(source, compare).suites


def _server_config(options: argparse.Namespace) -> "ServeConfig":
    from pydantic import ValidationError

    from stepcoder.executor.server.config import ServeConfig

    given = {name: getattr(options, name) for name in SERVER}
    try:
        return ServeConfig.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        fault = error.errors()[0]
        option = str(fault["loc"][0]).replace("_", "-")
        raise UserError(f"--{option}: {fault['msg']} (got {fault['input']!r})") from None
