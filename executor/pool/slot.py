"""One slot: one zygote, one program at a time, its tests in order, a report at the end.

The tests of a program that is proven ordinary (sharing.ordinary) share a process as long as each one ends well
and leaves the interpreter as it was; any other program gets a fresh process for each test. The verdict is made here,
from outputs that the program cannot have compared.
"""

import json
import os
import signal
import time
from dataclasses import dataclass, field, replace
from typing import Any

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.compare import same_text, same_value
from stepcoder.executor.judging.plan import Plan, PlannedCase
from stepcoder.executor.pool.fork_server import MAP_BYTES, End, InfraError, Zygote
from stepcoder.executor.report import Report, TestOutcome, Verdict
from stepcoder.executor.sandbox import board
from stepcoder.executor.sandbox.protocol import COMPILED, ORDINARY, REFUSED
from stepcoder.executor.sandbox.values import codec
from stepcoder.executor.spans import codeless_lines

_MAX_LINE = (1 << 31) - 1
_LONGEST_S = 1e6  # what a program says of its own time is cut to this; NaN fails every comparison
_LARGEST_COMPILED = 1 << 16  # bytes of a source; a larger one is compiled in its own process, under its limits
_LIMIT_CHECKED = (Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR, Verdict.TIMEOUT, Verdict.PASSED)
_Judgement = tuple[Verdict, str | None, int | None]


@dataclass(slots=True)
class _Progress:
    """What is known of the program so far."""

    lines: int  # of the program up to which coverage is recorded, none less than it has; 0 without coverage
    outcomes: list[TestOutcome] = field(default_factory=list)
    recordable: frozenset[int] = frozenset()
    codeless: set[int] | None = None  # lines without code, where the program's own process says what is recordable
    executed: dict[bytes, tuple[int, ...]] = field(default_factory=dict)  # lines of a test, by the map that it left
    forged: bool = False  # lines that cannot be recorded, or a monitor that was tampered with
    cpu_s: float = 0.0
    peak_mib: float = 0.0
    compile_error: tuple[str, int | None] | None = None
    ordinary: bool = False


class Slot:
    """Owned by one thread. `run` raises InfraError when the sandbox failed; the zygote is then started anew."""

    def __init__(self, config: ExecutorConfig, level: int) -> None:
        self._asked = config
        self._config = config  # with limits that grow with the expected answers
        self._level = level
        self._zygote: Zygote | None = None

    def close(self) -> None:
        if self._zygote is not None:
            self._zygote.close()
            self._zygote = None

    def run(self, program: str, plan: Plan) -> Report:
        """Compiled in the program's own process when the compiler cannot, or does not survive it."""
        program = program.removeprefix("\ufeff")  # as the interpreter does with a file
        source = program.encode("utf-8", "surrogatepass")
        if len(source) <= _LARGEST_COMPILED:
            try:
                return self._once(program, source, plan, apart=False)
            except _CompilerFailed:
                pass
        return self._once(program, source, plan, apart=True)

    def _once(self, program: str, source: bytes, plan: Plan, apart: bool) -> Report:
        start = time.monotonic()
        config = _roomy(self._asked, plan)
        if config != self._config:
            self.close()
            self._config = config
        try:
            if self._zygote is None:
                self._zygote = Zygote(self._config, self._level)
            return self._run(self._zygote, program, source, plan, start, apart)
        except (InfraError, OSError) as error:
            self.close()
            if isinstance(error, InfraError):
                raise
            raise InfraError(f"{type(error).__name__}: {error}") from error

    def _run(self, zygote: Zygote, program: str, source: bytes, plan: Plan, start: float, apart: bool) -> Report:
        lines = program.count("\n") + program.count("\r") + program.count("\f") + 1
        progress = _Progress(min(lines, MAP_BYTES - 1) if self._config.coverage else 0)
        code = None if apart else self._compiled(zygote, source, plan, progress)
        job = {
            "code": code,
            "source": program,
            "lines": progress.lines,
            "alone": self._config.isolate_tests or not progress.ordinary,
            "output_bytes": self._config.output_kib << 10,
            "depth": self._config.result_depth,
            "parts": self._config.result_parts,
            "suite": plan.wire,
        }
        while len(progress.outcomes) < len(plan.cases) and progress.compile_error is None:
            self._process(zygote, plan, job, progress)
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

    def _compiled(self, zygote: Zygote, source: bytes, plan: Plan, progress: _Progress) -> bytes | None:
        """The code; None, and the error in `progress`, for a program that does not compile."""
        try:
            kind, about, code = zygote.compile(source, progress.lines, plan.context)
        except InfraError as error:
            self.close()
            raise _CompilerFailed from error
        if kind == REFUSED:
            progress.compile_error = _message(about), _line(about)
            return None
        progress.ordinary = kind == ORDINARY
        if kind not in (COMPILED, ORDINARY):
            self.close()  # it may have run out of memory, and would for the next one
            raise _CompilerFailed
        progress.recordable = frozenset(about)
        return code

    def _process(self, zygote: Zygote, plan: Plan, job: dict[str, Any], progress: _Progress) -> None:
        """Runs tests in one process of the program: one, or as many as can share it."""
        first = len(progress.outcomes)
        tests = 1 if job["alone"] else len(plan.cases) - first
        left_s = self._config.program_cpu_s - progress.cpu_s
        if left_s <= 0:
            self._skip(plan, progress, "not run: the program had used its CPU time before")
            return
        part = {"first": 0, "suite": plan.wire_of(first)} if job["alone"] else {"first": first}
        end = zygote.run(plan, job | part, tests, left_s)
        cpu_left = end.cpu_s - end.before_s
        progress.cpu_s += end.cpu_s
        progress.peak_mib = max(progress.peak_mib, end.peak_mib)
        frames = board.read(zygote.board, tests + 1, self._config.output_kib << 10)
        if job["code"] is None:
            if not end.begun:
                progress.compile_error = _compile_error(frames[0] if frames else None, end)
                return
            if progress.codeless is None:
                progress.codeless = codeless_lines(job["source"]) if progress.lines else set()
            told = _lines(frames.pop(0) if frames else None)  # by the program's own process
            progress.recordable = told - progress.codeless
        if job["alone"]:
            progress.outcomes.append(self._alone(plan.cases[first], zygote, frames, end, progress))
            return
        timeouts = self._timeouts(progress)
        for number, frame in enumerate(frames[:tests]):
            outcome = self._answered(plan.cases[len(progress.outcomes)], frame, progress)
            if number and outcome.verdict is Verdict.MEMORY_LIMIT:
                return  # for the memory that tests before it left in pieces: it is judged in a process of its own
            progress.outcomes.append(outcome)
            cpu_left -= outcome.cpu_s
            timeouts += outcome.verdict is Verdict.TIMEOUT
            if frame is None or timeouts >= self._config.max_timeouts:
                return
        done = len(progress.outcomes) == len(plan.cases) or (frames and board.finished(zygote.board) and not end.late)
        if not done:
            case = plan.cases[len(progress.outcomes)]
            progress.outcomes.append(self._broken_off(case, zygote, end, max(cpu_left, 0.0), progress))
        elif cpu_left >= self._config.cpu_s:  # time that no answer accounts for
            progress.outcomes[-1] = replace(progress.outcomes[-1], verdict=Verdict.TIMEOUT, error=self._late()[1])

    def _alone(
        self, case: PlannedCase, zygote: Zygote, frames: list[Any], end: End, progress: _Progress
    ) -> TestOutcome:
        """The outcome of the only test of a process. Its CPU time and its output are what the kernel says."""
        cpu = end.cpu_s - end.before_s
        limit = self._config.output_kib << 10
        if not frames or end.late and frames[0] is not None:
            return self._broken_off(case, zygote, end, cpu, progress)
        if frames[0] is None:
            return self._answered(case, None, progress)
        frame = frames[0][0] | {"cpu": cpu}
        if any(os.fstat(fd).st_size >= limit for fd in (zygote.stdout, zygote.stderr)):
            frame["over"] = True
        return self._answered(case, (frame, os.pread(zygote.stdout, limit, 0)), progress)

    def _answered(
        self, case: PlannedCase, answer: tuple[dict[str, Any], bytes] | None, progress: _Progress
    ) -> TestOutcome:
        """The outcome of a test that came to its end."""
        if answer is None:
            return TestOutcome(Verdict.RUNTIME_ERROR, error="the program disturbed its harness")
        frame, output = answer
        progress.forged |= "unwatched" in frame
        cpu, wall = _seconds(frame.get("cpu")), _seconds(frame.get("wall"))
        text = output.decode("utf-8", "surrogateescape")
        if cpu >= self._config.cpu_s or wall >= self._config.wall_s:
            judgement = self._late()
        else:
            judgement = self._judge(case, frame, text)
        if "over" in frame and judgement[0] in _LIMIT_CHECKED:
            judgement = self._over()
        try:
            cells = bytes.fromhex(frame["lines"][: 2 * (progress.lines + 1)])
        except (KeyError, TypeError, ValueError):
            cells = b""
        told = judgement[0] is Verdict.WRONG_ANSWER and "value" in frame
        value = json.dumps(frame["value"])[: self._config.stdout_chars] if told else ""
        executed = _executed(cells, progress)
        return TestOutcome(*judgement[:1], cpu, wall, *judgement[1:], self._shown(text), executed, value)

    def _broken_off(self, case: PlannedCase, zygote: Zygote, end: End, cpu: float, progress: _Progress) -> TestOutcome:
        """The outcome of the test in which the process ended."""
        limit = self._config.output_kib << 10
        text = os.pread(zygote.stdout, limit, 0).decode("utf-8", "surrogateescape")
        if end.late:
            judgement = self._late()
        elif end.code == 0 and case.kind == "text":
            judgement = self._text(case, text)
        else:
            judgement = _exit_verdict(end.code)
        if any(os.fstat(fd).st_size >= limit for fd in (zygote.stdout, zygote.stderr)):
            judgement = self._over()
        cells = zygote.cells[: progress.lines + 1]
        return TestOutcome(
            *judgement[:1], cpu, end.wall_s, *judgement[1:], self._shown(text), _executed(cells, progress)
        )

    def _late(self) -> _Judgement:
        config = self._config
        limits = f"{config.cpu_s:g} s of CPU or {config.wall_s:g} s of wall time, {config.idle_s:g} s without any CPU"
        return Verdict.TIMEOUT, f"more than {limits}, or {config.program_cpu_s:g} s of CPU in all tests", None

    def _over(self) -> _Judgement:
        return Verdict.OUTPUT_LIMIT, f"more than {self._config.output_kib} KiB of output", None

    def _shown(self, text: str) -> str:
        return text[: self._config.stdout_chars].encode("utf-8", "replace").decode()

    def _judge(self, case: PlannedCase, frame: dict[str, Any], text: str) -> _Judgement:
        if "flood" in frame:
            return Verdict.OUTPUT_LIMIT, f"a result of more than {self._config.output_kib} KiB", None
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
        if self._timeouts(progress) >= self._config.max_timeouts:
            self._skip(plan, progress, "not run: the program timed out before")

    @staticmethod
    def _timeouts(progress: _Progress) -> int:
        return sum(t.verdict is Verdict.TIMEOUT for t in progress.outcomes)

    def _skip(self, plan: Plan, progress: _Progress, why: str) -> None:
        skipped = TestOutcome(Verdict.TIMEOUT, error=why)
        progress.outcomes.extend([skipped] * (len(plan.cases) - len(progress.outcomes)))


def _roomy(config: ExecutorConfig, plan: Plan) -> ExecutorConfig:
    """The settings, with no limit below what the expected answers need."""
    least = {"output_kib": plan.output_kib, "result_depth": plan.depth, "result_parts": plan.parts}
    larger = {name: value for name, value in least.items() if value > getattr(config, name)}
    return config.model_copy(update=larger) if larger else config


class _CompilerFailed(Exception):
    """The compiler cannot say anything about the program."""


def _executed(cells: bytes, progress: _Progress) -> tuple[int, ...]:
    """Lines of one test. Many tests of a program leave the same map, which is then read once."""
    if cells not in progress.executed:
        recorded = [line for line, cell in enumerate(cells[: progress.lines + 1]) if cell]
        progress.executed[cells] = tuple(line for line in recorded if line in progress.recordable)
        progress.forged |= len(recorded) > len(progress.executed[cells])
    return progress.executed[cells]


def _lines(answer: tuple[dict[str, Any], bytes] | None) -> frozenset[int]:
    found = answer[0].get("recordable") if answer else None
    return frozenset(line for line in found if isinstance(line, int)) if isinstance(found, list) else frozenset()


def _seconds(value: Any) -> float:
    """A time that a program's process measured."""
    return min(value, _LONGEST_S) if isinstance(value, float) and value >= 0 else 0.0


def _compile_error(answer: tuple[dict[str, Any], bytes] | None, end: End) -> tuple[str, int | None]:
    if answer is not None and "error" in answer[0]:
        return _message(answer[0]), _line(answer[0])
    if end.late:
        return "compiling took too long", None
    return f"the compiler died: {_exit_verdict(end.code)[1]}", None


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
