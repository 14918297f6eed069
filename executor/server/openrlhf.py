"""OpenRLHF's reward over HTTP (github.com/OpenRLHF/OpenRLHF, openrlhf/utils/agent.py, `_fetch_rewards_via_http`)."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stepcoder.executor.grading.fences import program_of
from stepcoder.executor.judging.reward import reward
from stepcoder.executor.report import Report
from stepcoder.executor.server.judge import JudgeRequest
from stepcoder.executor.server.labels import asked
from stepcoder.executor.server.refusal import Refused


class RewardRequest(BaseModel):
    """As many of each. A query is the prompt with the completion behind it."""

    model_config = ConfigDict(extra="forbid")

    query: list[str] = Field(min_length=1)
    prompts: list[str]
    labels: list[Any] = Field(description="Problems in the native format, as objects or JSON text, or their ids.")


def samples(request: RewardRequest) -> list[JudgeRequest]:
    """The last fenced block of each completion, or all of it. Refused with 422."""
    if not len(request.query) == len(request.prompts) == len(request.labels):
        counts = f"{len(request.query)}, {len(request.prompts)} and {len(request.labels)}"
        raise Refused(422, f"query, prompts and labels: {counts} of them: give as many of each")
    found = []
    for number, (query, prompt, label) in enumerate(zip(request.query, request.prompts, request.labels, strict=True)):
        program = program_of(query.removeprefix(prompt), "last-fence")
        try:
            found.append(JudgeRequest(program=program, **asked(program, label)))
        except ValueError as error:
            raise Refused(422, f"labels.{number}: {error}") from None
    return found


def answer(reports: Sequence[Report], kind: str) -> dict[str, Any]:
    """Rewards; scores from 0 to 1 for dynamic filtering. OpenRLHF sends one query at a time and takes numbers then."""
    rewards, scores = [reward(report, kind) for report in reports], [float(report.passed) for report in reports]
    if len(reports) == 1:
        return {"rewards": rewards[0], "scores": scores[0], "extra_logs": {"passed": scores[0]}}
    return {"rewards": rewards, "scores": scores, "extra_logs": {"passed": scores}}
