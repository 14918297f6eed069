"""`POST /run_code` as SandboxFusion answers it (github.com/bytedance/SandboxFusion, sandbox/server/sandbox_api.py).

A program is run, not judged: its own output goes back, and the client compares. Python only, and no files.
"""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stepcoder.executor.report import Report, TestOutcome, Verdict
from stepcoder.executor.suite import Case, Suite

_STATUS = re.compile(r"SystemExit: (-?\d+)")
_ENDED = re.compile(r"the process ended with code (\d+) ")
_KILLED = re.compile(r"killed by (?:signal )?(\w+)")


class RunCodeRequest(BaseModel):
    """Fields and defaults of SandboxFusion. `compile_timeout` concerns languages that are compiled."""

    model_config = ConfigDict(extra="forbid")

    code: str
    language: str
    stdin: str | None = None
    compile_timeout: float = 10
    run_timeout: float = Field(default=10, gt=0, description="CPU seconds, at most the server's `executor.cpu_s`.")
    memory_limit_MB: int = Field(default=-1, description="MiB; the server's `executor.memory_mib` holds besides.")
    files: dict[str, str | None] = {}
    fetch_files: list[str] = []


def unsupported(request: RunCodeRequest) -> str | None:
    """Why a request cannot be served, if it cannot."""
    if request.language != "python":
        return f"language {request.language!r} is not supported: this judge runs python"
    if request.files or request.fetch_files:
        return "`files` and `fetch_files` are not supported: programs have no files here, give input by `stdin`"
    return None


def refusal(text: str) -> dict[str, Any]:
    """In SandboxFusion's form."""
    return {"status": "SandboxError", "message": text, "compile_result": None, "run_result": None,
            "executor_pod_name": None, "files": {}}  # fmt: skip


def suite(request: RunCodeRequest) -> Suite:
    """One input; that nothing is expected is not looked at."""
    return Suite("stdin", (Case(request.stdin or "", ""),))


def answer(request: RunCodeRequest, report: Report) -> dict[str, Any]:
    """SandboxFusion's answer, made of the report of a plain run."""
    if not report.verdict.judged:
        return refusal(report.error or "the sandbox failed")
    test = report.tests[0] if report.tests else TestOutcome(report.verdict, error=report.error)
    late = test.verdict is Verdict.TIMEOUT or test.cpu_s > request.run_timeout
    too_large = 0 < request.memory_limit_MB < report.peak_memory_mib
    error = "MemoryError" if too_large or test.verdict is Verdict.MEMORY_LIMIT else test.error
    failed = error is not None and not late
    code = None if late else _code(error) if failed else 0
    run = {
        "status": "TimeLimitExceeded" if late else "Finished",
        "execution_time": test.wall_s,
        "return_code": code,
        "stdout": test.stdout,
        "stderr": report.stderr + (_trace(error or "", report) if failed else ""),
    }
    status = "Failed" if late or code else "Success"
    return refusal("") | {"status": status, "run_result": run}


def _code(error: str | None) -> int:
    """The exit code of a program that ended with this error, negative for a signal, as the kernel tells it."""
    import signal

    if match := _STATUS.fullmatch(error or ""):
        return int(match[1]) & 0xFF
    if match := _ENDED.match(error or ""):
        return int(match[1])
    if match := _KILLED.fullmatch(error or ""):
        if match[1].isdecimal():
            return -int(match[1])
        if match[1] in signal.Signals.__members__:  # an exception of the program's own may have any name
            return -int(signal.Signals[match[1]])
    return 1


def _trace(error: str, report: Report) -> str:
    """What the interpreter would have written, less the lines in between."""
    if error.startswith("SystemExit: "):
        text = error.removeprefix("SystemExit: ")
        return "" if _STATUS.fullmatch(error) else text + "\n"
    where = f'  File "main.py", line {report.error_line}\n' if report.error_line else ""
    return f"Traceback (most recent call last):\n{where}{error}\n"
