"""verl: `custom_reward_function.path=pkg://stepcoder.deploy.adapters.verl`, `.name=compute_score`.

`reward_model.ground_truth` holds the problem. `reward_kwargs` may give `url`, `token` and `problems`.
"""

from typing import Any

from stepcoder.deploy.adapters.judge import shared
from stepcoder.deploy.adapters.program import program_in


async def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any] | None = None, *,
    url: str | None = None, token: str | None = None, problems: str | None = None, **_: Any,
) -> dict[str, Any]:  # fmt: skip
    """`score` is the reward; the rest is what verl logs. NotJudged where the sandbox failed."""
    judged = await shared(url, token, problems).soon(program_in(solution_str).program, ground_truth)
    return {"score": judged.number(), "acc": float(judged.verdict == "passed"), "verdict": judged.verdict}
