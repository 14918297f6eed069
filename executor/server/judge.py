"""`POST /judge` and `/judge/batch`: programs and problems, verdicts, rewards and executed lines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stepcoder.errors import nearest
from stepcoder.executor.config import ExecutorConfig
from stepcoder.executor.grading.files import Sample
from stepcoder.executor.grading.grade import result
from stepcoder.executor.report import Report
from stepcoder.executor.server.refusal import Refused
from stepcoder.executor.suite import Suite
from stepcoder.words import plural


class JudgeRequest(BaseModel):
    """A program, and the problem that it is judged by: a whole one, or the id of one that the server has."""

    model_config = ConfigDict(extra="forbid", strict=True)

    program: str = Field(description="Python source.")
    problem: dict[str, Any] | None = Field(
        default=None, description="A problem in the native format; only `style` and `tests` have to be there."
    )
    problem_id: str | None = Field(default=None, description="The id of a problem of the server's --problems.")
    id: str | int | None = Field(default=None, description="Comes back in the result.")

    @model_validator(mode="after")
    def _one_problem(self) -> "JudgeRequest":
        if (self.problem is None) == (self.problem_id is None):
            raise ValueError("give either `problem` or `problem_id`")
        return self


class BatchRequest(BaseModel):
    """Many programs in one request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    samples: list[JudgeRequest] = Field(min_length=1, description="Programs; results come as they finish.")


@dataclass(frozen=True, slots=True)
class Problems:
    """The problems that the server has, by id, and how one is read. `read` raises ValueError with the reason."""

    suites: Mapping[str, Suite]
    read: Callable[[dict[str, Any]], Suite]

    def suite(self, request: JudgeRequest) -> Suite:
        """Refused: 404 for an unknown id, 422 for a problem that cannot be used."""
        if request.problem is not None:
            try:
                return self.read(request.problem)
            except ValueError as error:
                raise Refused(422, f"problem: {error}") from None
        name = request.problem_id or ""
        if name not in self.suites:
            close = nearest(name, list(self.suites)) if self.suites else []
            hint = f", did you mean {close[0]!r}?" if close else "."
            given = plural(len(self.suites), "problem")
            raise Refused(404, f"no problem {name!r:.100}{hint} The server was started with {given}")
        return self.suites[name]

    def all(self, requests: Sequence[JudgeRequest], field: str) -> list[Suite]:
        """Refused says which one of this field it is."""
        found = []
        for number, request in enumerate(requests):
            try:
                found.append(self.suite(request))
            except Refused as refused:
                raise Refused(refused.status, f"{field}.{number}: {refused.text}") from None
        return found


def answer(request: JudgeRequest, report: Report, config: ExecutorConfig) -> dict[str, Any]:
    """As a line of the results of `stepcoder grade`."""
    name = request.problem_id or str((request.problem or {}).get("id", ""))
    return result(Sample(name, request.program, request.id), report, config)
