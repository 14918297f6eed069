"""The description of the routes: OpenAPI from the request models, and a page that needs nothing from elsewhere."""

import html
import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from stepcoder.executor.server.fusion import RunCodeRequest
from stepcoder.executor.server.judge import BatchRequest, JudgeRequest
from stepcoder.executor.server.nemo_gym import VerifyRequest
from stepcoder.executor.server.open_instruct import TestRequest
from stepcoder.executor.server.openrlhf import RewardRequest

_POSTS: dict[str, tuple[type[BaseModel], str, str]] = {
    "/judge": (JudgeRequest, "Judge a program", "verdict, reward, executed_lines and tests, as in `stepcoder grade`"),
    "/judge/batch": (BatchRequest, "Judge many programs", "JSON lines as they finish: `index` and what /judge answers"),
    "/run_code": (RunCodeRequest, "Run a program, as SandboxFusion", "status, message, run_result"),
    "/test_program": (TestRequest, "Asserts, as open-instruct", "results, runtimes"),
    "/test_program_stdio": (TestRequest, "Inputs and outputs, as open-instruct", "results, runtimes"),
    "/verify": (VerifyRequest, "A model's response, as NeMo Gym", "the request, and reward"),
    "/get_reward": (RewardRequest, "Completions and their problems, as OpenRLHF", "rewards, scores, extra_logs"),
}
_GETS = {"/health": "Whether it serves; needs no token", "/metrics": "Counters for Prometheus"}
_ERRORS = {
    "400": "Not supported: another language, files",
    "401": "Wrong or missing token",
    "404": "Unknown problem_id",
    "408": "The body did not arrive in time",
    "413": "The body is too large",
    "415": "Not JSON, or packed",
    "422": "A field that is unknown, missing or wrong; tests that cannot judge",
    "429": "Too much waits: try again after Retry-After seconds",
    "503": "The sandbox failed: try again",
}


def specification(release: str) -> dict[str, Any]:
    """OpenAPI 3.1 as JSON data."""
    models = [(model, "validation") for model in {model: None for model, _, _ in _POSTS.values()}]
    references, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    errors = {code: {"description": text} for code, text in _ERRORS.items()}
    paths: dict[str, Any] = {
        path: {"get": {"summary": text, "responses": {"200": {"description": text}}}} for path, text in _GETS.items()
    }
    for path, (model, summary, told) in _POSTS.items():
        schema = references[model, "validation"]  # type: ignore[index]
        paths[path] = {
            "post": {
                "summary": summary,
                "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
                "responses": {"200": {"description": told}, **errors},
            }
        }
    bearer = {"bearer": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "StepCoder judge", "version": release},
        "paths": paths,
        "components": {"schemas": definitions.get("$defs", {}), "securitySchemes": bearer},
        "security": [{"bearer": []}],
    }


def page(spec: dict[str, Any]) -> str:
    """The routes and their fields for a person."""
    parts = ["<!doctype html><meta charset=utf-8><title>StepCoder judge</title><h1>StepCoder judge</h1>",
             "<p>Also as <a href=openapi.json>OpenAPI</a>."]  # fmt: skip
    for path, methods in spec["paths"].items():
        for method, about in methods.items():
            told = about["responses"]["200"]["description"]
            parts.append(f"<h2>{method.upper()} {path}</h2><p>{html.escape(about['summary'])}. Answers: "
                         f"{html.escape(told)}.")  # fmt: skip
    schemas = html.escape(json.dumps(spec["components"]["schemas"], indent=1))
    return "\n".join([*parts, f"<h2>Schemas</h2><pre>{schemas}</pre>"])
