"""One slot: one zygote, one program at a time, its tests in order, a report at the end.

The tests of a program share a process as long as each one ends well and leaves the interpreter as it was;
otherwise the next one gets a fresh process. The verdict is made here, from outputs that
the program cannot have compared.
"""

import json
import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any

from executor.compare import same_text, same_value
from executor.config import ExecutorConfig
from executor.plan import Plan, PlannedCase
from executor.report import Report, TestOutcome, Verdict
from executor.sandbox import codec
from executor.zygote import MAP_BYTES, Child, InfraError, Zygote

_MAX_LINE = (1 << 31) - 1
_LIMIT_CHECKED = (Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR, Verdict.TIMEOUT, Verdict.PASSED)


@dataclass(slots=True)
class _Progress:
    """What is known of the program so far."""

    lines: int  # of the program, none less than it has
    outcomes: list[TestOutcome] = field(default_factory=list)
    probed: set[int] = field(default_factory=set)
    executed: dict[bytes, tuple[int, ...]] = field(default_factory=dict)  # lines of a test, by the map that it left
    forged: bool = False  # lines that cannot be recorded, or a monitor that was tampered with
    cpu_s: float = 0.0
    peak_mib: float = 0.0
    compile_error: tuple[str, int | None] | None = None


class Slot:
    """Owned by one thread. `run` raises InfraError when the sandbox failed; the zygote is then started anew."""

    def __init__(self, config: ExecutorConfig, level: int) -> None:
        self._config = config
        self._level = level
        self._zygote: Zygote | None = None

    def close(self) -> None:
        if self._zygote is not None:
            self._zygote.close()
            self._zygote = None

    def run(self, program: str, plan: Plan) -> Report:
        start = time.monotonic()
        try:
            if self._zygote is None:
                self._zygote = Zygote(self._config, self._level)
            report = self._run(self._zygote, program, plan, start)
        except (InfraError, OSError) as error:
            self.close()
            if isinstance(error, InfraError):
                raise
            raise InfraError(f"{type(error).__name__}: {error}") from error
        return report

    def _run(self, zygote: Zygote, program: str, plan: Plan, start: float) -> Report:
        lines = program.count("\n") + program.count("\r") + program.count("\f") + 1
        progress = _Progress(lines)
        source = json.dumps(program)
        while len(progress.outcomes) < len(plan.cases) and progress.compile_error is None:
            self._process(zygote, source, plan, progress)
            self._skip_after_timeouts(plan, progress)
        if progress.compile_error is not None:
            error, line = progress.compile_error
            return Report(Verdict.COMPILE_ERROR, error=error, error_line=line, cpu_s=progress.cpu_s,
                          wall_s=time.monotonic() - start, peak_memory_mib=progress.peak_mib)  # fmt: skip
        failed = next((t for t in progress.outcomes if t.verdict is not Verdict.PASSED), None)
        executed = set().union(*progress.executed.values())
        return Report(
            verdict=failed.verdict if failed else Verdict.PASSED,
            tests=tuple(progress.outcomes),
            executed_lines=tuple(sorted(executed)),
            error=failed.error if failed else None,
            error_line=failed.error_line if failed else None,
            cpu_s=progress.cpu_s,
            wall_s=time.monotonic() - start,
            peak_memory_mib=progress.peak_mib,
            coverage_trusted=not progress.forged and lines < MAP_BYTES,
        )

    def _process(self, zygote: Zygote, source: str, plan: Plan, progress: _Progress) -> None:
        """Runs tests in one process of the program until one of them spoils it."""
        config, first = self._config, len(progress.outcomes)
        coverage = "true" if config.coverage else "false"
        setup = f'"setup":{plan.setup},"cases":{plan.wire}'
        job = f'{{"source":{source},"coverage":{coverage},"first":{first},{setup}}}'
        self._prepare(zygote, plan.cases[first])
        child = Child(zygote, job.encode("ascii"), (config.output_kib << 10) + (1 << 16))
        started = time.monotonic()
        try:
            frame = child.frame(config.compile_s, config.wall_s + config.compile_s)
            if isinstance(frame, dict) and "infra" in frame:
                raise InfraError(str(frame["infra"]))
            if isinstance(frame, dict) and frame.get("c") == "ok":
                progress.probed.update(frame["lines"])
                while self._test(zygote, child, plan, progress):
                    self._prepare(zygote, plan.cases[len(progress.outcomes)])
            else:
                progress.compile_error = _compile_error(frame, child.end()[0], time.monotonic() - started)
        finally:
            _, cpu, peak = child.end()
            progress.cpu_s += cpu
            progress.peak_mib = max(progress.peak_mib, peak)

    def _prepare(self, zygote: Zygote, case: PlannedCase) -> None:
        """Empties the outputs and puts the input in place, while no code of the program runs."""
        os.ftruncate(zygote.stdout, 0)
        os.ftruncate(zygote.stderr, 0)
        os.ftruncate(zygote.stdin, 0)
        view, offset = memoryview(case.stdin), 0
        while offset < len(view):
            offset += os.pwrite(zygote.stdin, view[offset:], offset)

    def _test(self, zygote: Zygote, child: Child, plan: Plan, progress: _Progress) -> bool:
        """Lets one test run and judges it; True when there is a next one that may run in the same process."""
        index = len(progress.outcomes)
        case = plan.cases[index]
        cpu_start, start = child.cpu(), time.monotonic()
        zygote.clear_coverage(progress.lines)
        zygote.go()
        frame = child.frame(self._config.cpu_s, self._config.wall_s)
        if isinstance(frame, dict) and frame.get("t") != index:
            frame = "garbled"
        code, cpu_end = 0, child.cpu()
        if isinstance(frame, str):
            code, cpu_end, _ = child.end()
        progress.forged |= isinstance(frame, dict) and "unwatched" in frame
        output = os.pread(zygote.stdout, self._config.output_kib << 10, 0)
        over = any(os.fstat(fd).st_size >= self._config.output_kib << 10 for fd in (zygote.stdout, zygote.stderr))
        text = output.decode("utf-8", "surrogateescape")
        verdict, error, line = self._judge(case, frame, code, text)
        if over and verdict in _LIMIT_CHECKED:
            verdict, error = Verdict.OUTPUT_LIMIT, f"more than {self._config.output_kib} KiB of output"
        cpu, wall = max(cpu_end - cpu_start, 0.0), time.monotonic() - start
        shown = text[: self._config.stdout_chars].encode("utf-8", "replace").decode()
        executed = _executed(zygote, progress)
        progress.outcomes.append(TestOutcome(verdict, cpu, wall, error, line, shown, executed))
        if isinstance(frame, str) or frame.get("dirty", True) or self._config.isolate_tests:
            return False
        return index + 1 < len(plan.cases)

    def _judge(
        self, case: PlannedCase, frame: dict[str, Any] | str, code: int, text: str
    ) -> tuple[Verdict, str | None, int | None]:
        if frame == "timeout":
            return (
                Verdict.TIMEOUT,
                f"more than {self._config.cpu_s:g} s of CPU or {self._config.wall_s:g} s of wall time",
                None,
            )
        if frame == "flood":
            return Verdict.OUTPUT_LIMIT, f"a result of more than {self._config.output_kib} KiB", None
        if frame == "garbled":
            return Verdict.RUNTIME_ERROR, "the program disturbed its harness", None
        if frame == "exit":
            if code == 0 and case.kind == "text":
                return self._text(case, text)
            return _exit_verdict(code)
        assert isinstance(frame, dict)
        if "error" in frame:
            return _error_verdict(frame)
        if case.kind == "text":
            return self._text(case, text)
        if case.kind == "code":
            if frame.get("done") is False:
                return Verdict.WRONG_ANSWER, "an assert of the test failed", None
            sealed = frame.get("done") == case.expected
            return (Verdict.PASSED, None, None) if sealed else (Verdict.RUNTIME_ERROR, "no outcome", None)
        if "value" not in frame:
            return Verdict.RUNTIME_ERROR, "the call did not return", None
        try:
            answer = codec.decode(frame["value"])
            if case.kind == "check":
                same = case.expected.holds(answer)
            else:
                same = same_value(case.expected, answer, self._config.compare)
        except (ValueError, TypeError, RecursionError, AttributeError, IndexError):
            return Verdict.RUNTIME_ERROR, "the program disturbed its harness", None
        return (Verdict.PASSED if same else Verdict.WRONG_ANSWER), None, None

    def _text(self, case: PlannedCase, text: str) -> tuple[Verdict, str | None, int | None]:
        same = same_text(case.expected, text, self._config.compare)
        return (Verdict.PASSED if same else Verdict.WRONG_ANSWER), None, None

    def _skip_after_timeouts(self, plan: Plan, progress: _Progress) -> None:
        timeouts = sum(t.verdict is Verdict.TIMEOUT for t in progress.outcomes)
        if timeouts >= self._config.max_timeouts:
            missing = len(plan.cases) - len(progress.outcomes)
            skipped = TestOutcome(Verdict.TIMEOUT, error="not run: the program timed out before")
            progress.outcomes.extend([skipped] * missing)


def _executed(zygote: Zygote, progress: _Progress) -> tuple[int, ...]:
    """Lines of the test that has just run. Many tests of a program leave the same map, which is then read once."""
    cells = zygote.coverage(progress.lines)
    if cells not in progress.executed:
        recorded = [line for line, cell in enumerate(cells) if cell]
        progress.executed[cells] = tuple(line for line in recorded if line in progress.probed)
        progress.forged |= len(recorded) > len(progress.executed[cells])
    return progress.executed[cells]


def _compile_error(frame: dict[str, Any] | str, code: int, seconds: float) -> tuple[str, int | None]:
    if isinstance(frame, dict) and frame.get("c") == "error":
        return _message(frame), _line(frame)
    if frame == "exit":
        return f"the compiler died: {_exit_verdict(code)[1]}", None
    return f"compiling did not end within {seconds:.1f} s", None


def _exit_verdict(code: int) -> tuple[Verdict, str, None]:
    if code == -signal.SIGXCPU:
        return Verdict.TIMEOUT, "more CPU time than all tests may use", None
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return Verdict.RUNTIME_ERROR, f"killed by {name}", None
    return Verdict.RUNTIME_ERROR, f"the process ended with code {code} before its test did", None


def _error_verdict(frame: dict[str, Any]) -> tuple[Verdict, str, int | None]:
    kinds = {"MemoryError": Verdict.MEMORY_LIMIT, "TooLarge": Verdict.OUTPUT_LIMIT}
    verdict = kinds.get(str(frame.get("kind")), Verdict.RUNTIME_ERROR)
    return verdict, _message(frame), _line(frame)


def _message(frame: dict[str, Any]) -> str:
    """As a text that can be written down: a program may have put anything here."""
    error = frame["error"]
    return error[:1000].encode("utf-8", "replace").decode() if isinstance(error, str) else "an error without a message"


def _line(frame: dict[str, Any]) -> int | None:
    line = frame.get("line")
    return line if isinstance(line, int) and 0 < line <= _MAX_LINE else None
