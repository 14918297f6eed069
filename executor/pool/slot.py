"""One slot: one fork server, one program at a time, its tests in order, a report at the end.

The tests of a program that is proven ordinary (sharing.ordinary) share a process as long as each one ends well
and leaves the interpreter as it was; any other program gets a fresh process for each test. Verdicts are made of
their outputs in this process (judging.judge), where the program cannot have compared them.
"""

import json
import os
import re
import time
from dataclasses import dataclass, replace
from typing import Any

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging import judge
from stepcoder.executor.judging.checkers.checker import CheckerFailed
from stepcoder.executor.judging.plan import Plan, PlannedCase
from stepcoder.executor.pool.checking import Checking
from stepcoder.executor.pool.fork_server import MAP_BYTES, End, ForkServer, InfraError
from stepcoder.executor.pool.progress import Progress
from stepcoder.executor.report import Report, TestOutcome, Verdict
from stepcoder.executor.sandbox import board
from stepcoder.executor.sandbox.protocol import COMPILED, ORDINARY, REFUSED
from stepcoder.executor.spans import codeless_lines
from stepcoder.executor.suite import Compare

_LONGEST_S = 1e6  # what a program says of its own time is cut to this; NaN fails every comparison
_LARGEST_COMPILED = 1 << 16  # bytes of a source; a larger one is compiled in its own process, under its limits
_BEFORE_OUTPUT = (Verdict.MEMORY_LIMIT, Verdict.OUTPUT_LIMIT)  # not replaced by a limit of the output


@dataclass(slots=True)
class Wanted:
    """What is wanted of one run. `plain`: the whole output and no executed lines. `abandoned`: nothing any more."""

    plain: bool = False
    abandoned: bool = False


class Slot:
    """Owned by one thread. `run` raises InfraError when the sandbox failed; the fork server is then started anew."""

    def __init__(self, config: ExecutorConfig, level: int) -> None:
        self._asked = config
        self._started = config  # with limits that grow with the expected answers: those of the fork servers
        self._config = config  # and with those of the problem
        self._level = level
        self._servers: dict[bool, ForkServer] = {}  # by whether installed packages are ready there
        self._packages = re.compile(rf"\b(?:{'|'.join(config.packages)})\b") if config.packages else None
        self._checking = Checking(config, level)
        self._wanted = Wanted()

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        self._checking.close()

    def kill(self) -> None:
        """From any thread: the program under way ends, and `run` raises InfraError."""
        for server in list(self._servers.values()):
            server.kill()

    def run(self, program: str, plan: Plan, wanted: Wanted | None = None) -> Report:
        """Compiled in the program's own process when the compiler cannot, or does not survive it."""
        self._wanted = wanted or Wanted()
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
        if config != self._started:
            self.close()
            self._started = config
        self._config = _limited(config, plan)
        try:
            server = self._server(program, plan)
            report = self._run(server, program, source, plan, start, apart)
            return replace(report, stderr=self._errors(server)) if self._wanted.plain and report.tests else report
        except CheckerFailed as error:
            return Report(Verdict.INFRA_ERROR, error=str(error))
        except (InfraError, OSError) as error:
            self.close()
            if isinstance(error, InfraError):
                raise
            raise InfraError(f"{type(error).__name__}: {error}") from error

    def _server(self, program: str, plan: Plan) -> ForkServer:
        """Where a program runs: one that names a package beside others of its kind, so that no other is slower."""
        named = self._packages is not None and any(map(self._packages.search, (program, plan.context.decode())))
        if named not in self._servers:
            self._servers[named] = ForkServer(self._started, self._level, self._started.packages if named else ())
        return self._servers[named]

    def _run(self, server: ForkServer, program: str, source: bytes, plan: Plan, start: float, apart: bool) -> Report:
        lines = program.count("\n") + program.count("\r") + program.count("\f") + 1
        covered = self._config.coverage and not self._wanted.plain
        most = min(lines, MAP_BYTES - 1) if covered else 0
        progress = Progress(len(plan.cases), most, _compare(self._config, plan))
        code = None if apart else self._compiled(server, source, plan, progress)
        alone = self._config.isolate_tests or not progress.ordinary
        job = {
            "code": code,
            "source": program if alone else None,
            "lines": progress.lines,
            "prelude": plan.prelude,
            "alone": alone,
            "output_bytes": self._config.output_kib << 10,
            "depth": self._config.result_depth,
            "parts": self._config.result_parts,
            "suite": plan.wire,
        }
        while not progress.done:
            before = len(progress.outcomes)
            if self._wanted.abandoned:
                raise InfraError("the program was abandoned")
            self._process(server, plan, job, progress)
            self._check(plan, progress)
            progress.timeouts += sum(test.verdict is Verdict.TIMEOUT for test in progress.outcomes[before:])
            if progress.timeouts >= self._config.max_timeouts:
                progress.skip("not run: the program timed out before")
        return progress.report(lines, time.monotonic() - start)

    def _check(self, plan: Plan, progress: Progress) -> None:
        """Has the checker judge what a process answered, before the next one answers more."""
        if not progress.answers:
            return
        for number, found in self._checking.judge(plan, progress.answers).items():
            outcome = progress.outcomes[number]
            if not outcome.passed:  # for the time that the process took
                continue
            progress.outcomes[number] = replace(outcome, verdict=found.verdict, error=found.error)
        progress.answers.clear()

    def _compiled(self, server: ForkServer, source: bytes, plan: Plan, progress: Progress) -> bytes | None:
        """The code; None, and the refusal in `progress`, for a program that does not compile."""
        try:
            compiled = server.compile(source, progress.lines, plan.context, plan.prelude)
        except InfraError as error:
            self.close()
            raise _CompilerFailed from error
        if compiled.kind == REFUSED:
            progress.refusal = judge.of_refusal(compiled.about)
            return None
        progress.ordinary = compiled.kind == ORDINARY
        if compiled.kind not in (COMPILED, ORDINARY):
            self.close()  # it may have run out of memory, and would for the next one
            raise _CompilerFailed
        progress.recordable = frozenset(compiled.about)
        return compiled.code

    def _process(self, server: ForkServer, plan: Plan, job: dict[str, Any], progress: Progress) -> None:
        """Runs tests in one process of the program: one, or as many as can share it."""
        first = len(progress.outcomes)
        tests = 1 if job["alone"] else progress.tests - first
        left_s = self._config.program_cpu_s - progress.cpu_s
        if left_s <= 0:
            progress.skip("not run: the program had used its CPU time before")
            return
        part = {"first": 0, "suite": plan.wire_of(first)} if job["alone"] else {"first": first}
        end = server.run(plan, job | part, tests, left_s, self._config)
        progress.cpu_s += end.cpu_s
        progress.lost_s = end.lost_s
        progress.peak_mib = max(progress.peak_mib, end.peak_mib)
        frames = board.read(server.board, tests + 1, self._config.output_kib << 10, self._config.result_kib << 10)
        if job["code"] is None:
            if not end.begun:
                progress.refusal = judge.of_compiling(frames[0] if frames else None, end.code, end.late)
                return
            if progress.codeless is None:
                progress.codeless = codeless_lines(job["source"]) if progress.lines else set()
            told = _lines(frames.pop(0) if frames else None)  # by the program's own process
            progress.recordable = told - progress.codeless
        if job["alone"]:
            progress.outcomes.append(self._alone(plan.cases[first], server, frames, end, progress))
        else:
            self._shared(plan, server, frames[:tests], end, progress)

    def _shared(
        self, plan: Plan, server: ForkServer, frames: list[board.Frame | None], end: End, progress: Progress
    ) -> None:
        """The outcomes of tests that shared a process, as far as they came."""
        cpu_left = end.cpu_s - end.before_s
        timeouts = progress.timeouts
        for number, frame in enumerate(frames):
            outcome = self._answered(plan.cases[len(progress.outcomes)], frame, progress)
            if number and outcome.verdict is Verdict.MEMORY_LIMIT:
                return  # for the memory that tests before it left in pieces: it is judged in a process of its own
            progress.outcomes.append(outcome)
            cpu_left -= outcome.cpu_s
            timeouts += outcome.verdict is Verdict.TIMEOUT
            if frame is None or timeouts >= self._config.max_timeouts:
                return
        if not (progress.done or (frames and board.finished(server.board) and not end.late)):
            case = plan.cases[len(progress.outcomes)]
            progress.outcomes.append(self._broken_off(case, server, end, max(cpu_left, 0.0), progress))
        elif cpu_left >= self._config.cpu_s:  # time that no answer accounts for
            late = judge.late(self._config)
            progress.outcomes[-1] = replace(progress.outcomes[-1], verdict=late.verdict, error=late.error)

    def _alone(
        self, case: PlannedCase, server: ForkServer, frames: list[board.Frame | None], end: End, progress: Progress
    ) -> TestOutcome:
        """The outcome of the only test of a process. Its CPU time and its output are what the kernel says."""
        cpu = end.cpu_s - end.before_s
        frame = frames[0] if frames else None
        if not frames or end.late and frame is not None:
            return self._broken_off(case, server, end, cpu, progress)
        if frame is None:
            return self._answered(case, None, progress)
        says = frame.says | {"cpu": cpu}
        if self._is_over(server):
            says["over"] = True
        output = os.pread(server.stdout, self._config.output_kib << 10, 0)
        return self._answered(case, board.Frame(says, output), progress)

    def _errors(self, server: ForkServer) -> str:
        """What the last test wrote to standard error."""
        said = os.pread(server.stderr, self._config.output_kib << 10, 0)
        return _written(said.decode("utf-8", "surrogateescape"))

    def _is_over(self, server: ForkServer) -> bool:
        limit = self._config.output_kib << 10
        return any(os.fstat(fd).st_size >= limit for fd in (server.stdout, server.stderr))

    def _answered(self, case: PlannedCase, frame: board.Frame | None, progress: Progress) -> TestOutcome:
        """The outcome of a test that came to its end."""
        if frame is None:
            return TestOutcome(judge.DISTURBED.verdict, error=judge.DISTURBED.error)
        says = frame.says
        progress.forged |= "unwatched" in says
        cpu, wall = _seconds(says.get("cpu")), _seconds(says.get("wall"))
        number, text = len(progress.outcomes), frame.output.decode("utf-8", "surrogateescape")
        if cpu >= self._config.cpu_s or wall - progress.lost_s >= self._config.wall_s:
            found = judge.late(self._config)
        else:
            found = judge.of_answer(case, says, text, self._config, progress.compare)
        if "over" in says and found.verdict not in _BEFORE_OUTPUT:
            found = judge.over(self._config)
        if found.open:
            progress.answers[number] = found.answer
        try:
            cells = bytes.fromhex(says["lines"][: 2 * (progress.lines + 1)])
        except (KeyError, TypeError, ValueError):
            cells = b""
        told = found.verdict is Verdict.WRONG_ANSWER and "value" in says
        value = json.dumps(says["value"])[: self._config.stdout_chars] if told else ""
        return self._outcome(found, cpu, wall, text, progress.lines_of(cells), value)

    def _broken_off(
        self, case: PlannedCase, server: ForkServer, end: End, cpu: float, progress: Progress
    ) -> TestOutcome:
        """The outcome of the test in which the process ended."""
        text = os.pread(server.stdout, self._config.output_kib << 10, 0).decode("utf-8", "surrogateescape")
        if self._is_over(server):
            found = judge.over(self._config)
        elif end.late:
            found = judge.late(self._config)
        elif end.code == 0 and case.kind == "text":
            found = judge.of_text(case, text, progress.compare)
        else:
            found = judge.of_exit(end.code)
        if found.open:
            progress.answers[len(progress.outcomes)] = found.answer
        return self._outcome(found, cpu, end.wall_s, text, progress.lines_of(server.cells[: progress.lines + 1]))

    def _outcome(
        self, found: judge.Judgement, cpu: float, wall: float, text: str, executed: tuple[int, ...], value: str = ""
    ) -> TestOutcome:
        shown = _written(text if self._wanted.plain else text[: self._config.stdout_chars])
        return TestOutcome(found.verdict, cpu, wall, found.error, found.line, shown, executed, value)


def _roomy(config: ExecutorConfig, plan: Plan) -> ExecutorConfig:
    """The settings, with no limit below what the expected answers need."""
    least = {
        "output_kib": plan.output_kib,
        "result_kib": plan.result_kib,
        "result_depth": plan.depth,
        "result_parts": plan.parts,
    }
    larger = {name: value for name, value in least.items() if value > getattr(config, name)}
    return config.model_copy(update=larger) if larger else config


def _limited(config: ExecutorConfig, plan: Plan) -> ExecutorConfig:
    """The settings, with the limits of the problem where they are lower."""
    cpu_s, memory_mib = plan.limits.cpu_s, plan.limits.memory_mib
    lower: dict[str, Any] = {}
    if cpu_s is not None and cpu_s * config.cpu_factor < config.cpu_s:
        lower["cpu_s"] = cpu_s * config.cpu_factor
    if memory_mib is not None and memory_mib < config.memory_mib:
        lower["memory_mib"] = memory_mib
    return config.model_copy(update=lower) if lower else config


def _compare(config: ExecutorConfig, plan: Plan) -> Compare:
    """How answers are compared: as the problem says, or as all are to be."""
    return plan.compare if config.compare == "problem" else replace(plan.compare, type=config.compare)


class _CompilerFailed(Exception):
    """The compiler cannot say anything about the program."""


def _lines(frame: board.Frame | None) -> frozenset[int]:
    found = frame.says.get("recordable") if frame else None
    return frozenset(line for line in found if isinstance(line, int)) if isinstance(found, list) else frozenset()


def _written(text: str) -> str:
    """A text of a program as one that can be written down."""
    return text.encode("utf-8", "replace").decode()


def _seconds(value: Any) -> float:
    """A time that a program's process measured."""
    return min(value, _LONGEST_S) if isinstance(value, float) and value >= 0 else 0.0
