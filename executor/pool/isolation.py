"""Which isolation this machine allows, found by doing it: each level is started and attacked once.

Fail closed: a level counts only when a program at that level could not open a socket, write a file,
start a process, or see this process.
"""

import os
import sys
from dataclasses import dataclass, field

from stepcoder.errors import UserError
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.interpreters import missing
from stepcoder.executor.judging.plan import plan
from stepcoder.executor.pool.fork_server import InfraError
from stepcoder.executor.pool.slot import Slot
from stepcoder.executor.suite import Case, Suite

LEVELS = {
    1: "namespaces, private root, landlock, seccomp",
    2: "landlock, seccomp",
    3: "seccomp, no files",
    4: "none",
}
_BY_NAME = "programs can ask for names, sizes and dates of files, not for their content"
# What a level leaves open, for those who start a run at it. Said by `doctor` too.
LEFT_OPEN = {
    1: "",
    2: f"{_BY_NAME}; they can list installed packages, and share the host's process numbers and host name",
    3: f"{_BY_NAME}; they cannot open any, /dev/null and packages included, and share the host's process numbers",
    4: "programs can do whatever you can",
}
_ATTACK = """
import io, os, socket
def attack(parent):
    def allowed(action):
        try:
            action()
        except OSError:
            return False
        return True
    attempts = {
        "a socket": lambda: socket.socket(),
        "a file to write": lambda: io.FileIO(os.devnull, "w"),
        "a process": lambda: os._exit(0) if os.fork() == 0 else None,
        "the parent's memory": lambda: open(f"/proc/{parent}/mem", "rb"),
        "the parent's environment": lambda: open(f"/proc/{parent}/environ", "rb").read(),
        "a signal to the parent": lambda: os.kill(parent, 0),
    }
    return [name for name, action in attempts.items() if allowed(action)]
"""


@dataclass(frozen=True, slots=True)
class Isolation:
    """The best level (4: none can be had) and, for each better level that cannot be had, why."""

    level: int
    reasons: dict[int, str] = field(default_factory=dict)


def described(level: int) -> str:
    """For a person: the level, what it is made of, and what it leaves open."""
    return f"isolation level {level}: {LEVELS[level]}" + (f" ({LEFT_OPEN[level]})" if LEFT_OPEN[level] else "")


def probe(config: ExecutorConfig | None = None) -> Isolation:
    """Tries levels 1 to 3 in turn; about 0.2 s each. Reads the interpreter and packages from `config`."""
    config = config or ExecutorConfig.model_validate({})
    reasons: dict[int, str] = {}
    for level in (1, 2, 3):
        reason = check(config, level)
        if reason is None:
            return Isolation(level, reasons)
        reasons[level] = reason
    return Isolation(4, reasons)


def check(config: ExecutorConfig, level: int) -> str | None:
    """None when `level` holds here, else what was missing."""
    suite = Suite("call", (Case([os.getpid()], []),), "attack")
    slot = Slot(config.model_copy(update={"coverage": False, "isolate_tests": False}), level)
    try:
        report = slot.run(_ATTACK, plan(suite))
        if report.passed and config.packages:  # and where these are ready
            report = slot.run(f"{_ATTACK}# {config.packages[0]}\n", plan(suite))
    except InfraError as error:
        return str(error)
    finally:
        slot.close()
    if report.passed:
        return None
    return f"a program could get out, or did not run: {report.error or report.tests[0].verdict.value}"


def choose(config: ExecutorConfig) -> int:
    """The level to run at. UserError when the wanted one cannot be had: never a weaker one in silence."""
    if absent := missing(config.python, config.packages):
        raise UserError(
            f"executor.packages: {', '.join(absent)} not installed for {config.python or sys.executable}. For "
            f"executor.python, 'stepcoder packages {' '.join(config.packages)}' prepares an interpreter that has them"
        )
    if config.level == 4:
        return 4
    if config.level == "auto":
        found = probe(config)
        if found.level < 4:
            return found.level
        why = "; ".join(f"level {level}: {reason}" for level, reason in found.reasons.items())
        raise UserError(
            f"no isolation can be had on this machine ({why}). Allow user namespaces or landlock, "
            "or set executor.level to 4 to run model-written programs without isolation"
        )
    reason = check(config, config.level)
    if reason is not None:
        raise UserError(f"isolation level {config.level} cannot be had here: {reason}. Set executor.level to auto")
    return config.level
