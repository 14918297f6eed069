"""NeMo Gym's `/verify` (github.com/NVIDIA-NeMo/Gym, resources_servers/code_gen/app.py)."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from stepcoder.executor.report import Report
from stepcoder.executor.server.labels import native
from stepcoder.executor.server.unit_tests import UnitTests


class VerifierMetadata(BaseModel):
    model_config = ConfigDict(extra="allow")

    unit_tests: UnitTests


class VerifyRequest(BaseModel):
    """A response of a model in OpenAI's form. Everything else that the client sends goes back to it."""

    model_config = ConfigDict(extra="allow")

    response: dict[str, Any]
    verifier_metadata: VerifierMetadata


def output_text(response: dict[str, Any]) -> str:
    """The texts of all messages, as OpenAI's `output_text`."""
    items = response.get("output")
    parts = [
        part
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict) and item.get("type") == "message" and isinstance(item.get("content"), list)
        for part in item["content"]
    ]
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "output_text"]
    return "".join(text for text in texts if isinstance(text, str))


def program(text: str) -> str:
    """What is between the last two lines with a fence, as NeMo Gym takes it; empty without them."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if "```" in line]
    return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) > 1 else ""


def problem(request: VerifyRequest, code: str) -> dict[str, Any]:
    """In the native format. ValueError: what is wrong with the tests."""
    return native(request.verifier_metadata.unit_tests, code)


def answer(request: VerifyRequest, text: str, code: str, report: Report | None) -> dict[str, Any]:
    """What was sent, and the reward: 1 where all tests pass. `report` is None where there was no program."""
    told = {
        "reward": float(report is not None and report.passed),
        "extracted_model_output": text or None,
        "extracted_model_code": code or None,
        "result": [test.passed for test in report.tests] if report else None,
        "metadata": {"verdict": report.verdict.value, "error": report.error} if report else None,
        "unit_tests_time_taken": report.wall_s if report else None,
    }
    return request.model_dump() | told
