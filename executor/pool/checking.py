"""Where checkers run: a fork server of their own, so that no expected output is where a program runs."""

import marshal
from typing import Any

from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.judging.checkers.checker import CheckerFailed, asked, said
from stepcoder.executor.judging.judge import Judgement, of_exit
from stepcoder.executor.judging.plan import Plan, plan
from stepcoder.executor.pool.fork_server import ForkServer
from stepcoder.executor.sandbox import board
from stepcoder.executor.sandbox.protocol import COMPILED, ORDINARY
from stepcoder.executor.suite import Case, Suite

_NO_INPUT = plan(Suite("stdin", (Case("", ""),)))


class Checking:
    """Owned by one slot. A checker is compiled once, and asked about all answers of a program in one process."""

    def __init__(self, config: ExecutorConfig, level: int) -> None:
        self._config, self._level = config.model_copy(update={"coverage": False}), level
        self._server: ForkServer | None = None
        self._compiled: tuple[Plan | None, bytes] = None, b""

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._compiled = None, b""

    def judge(self, plan: Plan, answers: dict[int, Any]) -> dict[int, Judgement]:
        """Of answers by the number of their test, from 0. CheckerFailed, or InfraError where the sandbox failed."""
        if self._server is None:
            self._server = ForkServer(self._config, self._level)
        code = self._code(self._server, plan)
        numbers, found = list(answers), {}
        calls = [asked(plan.checked[number], answers[number]) for number in numbers]
        while len(found) < len(numbers):
            left = numbers[len(found) :]
            frames = self._process(self._server, code, calls[len(found) :], left[0])
            found |= {number: said(frame.says, number + 1) for number, frame in zip(left, frames, strict=False)}
        return found

    def _code(self, server: ForkServer, plan: Plan) -> bytes:
        kept, code = self._compiled
        if kept is plan:
            return code
        compiled = server.compile(plan.checker.encode("utf-8", "surrogatepass"), 0, b"", False)
        if compiled.kind not in (COMPILED, ORDINARY):
            raise CheckerFailed("the checker does not compile")
        self._compiled = plan, compiled.code
        return compiled.code

    def _process(self, server: ForkServer, code: bytes, calls: list[Any], first: int) -> list[board.Frame]:
        """The first frames of the calls, at least one."""
        config = self._config
        output, result = config.output_kib << 10, config.result_kib << 10
        suite = marshal.dumps({"cases": calls, "setup": "", "nodes": False})
        job = {"code": code, "source": None, "lines": 0, "prelude": False, "first": 0, "alone": False,
               "output_bytes": output, "depth": config.result_depth, "parts": config.result_parts,
               "suite": suite}  # fmt: skip
        end = server.run(_NO_INPUT, job, len(calls), config.program_cpu_s, config)
        frames = [frame for frame in board.read(server.board, len(calls), output, result) if frame is not None]
        if not frames:
            why = "took too long" if end.late else f"ended: {of_exit(end.code).error}"
            raise CheckerFailed(f"the checker {why} on test {first + 1}")
        return frames
