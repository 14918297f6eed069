"""OpenRLHF: `--reward.remote_url .../stepcoder/deploy/adapters/openrlhf.py`, with the problem as the label.

The file is loaded by its path. A server is named by STEPCODER_JUDGE_URL.
"""

from collections.abc import Sequence
from typing import Any

from stepcoder.deploy.adapters.judge import Problem, shared
from stepcoder.deploy.adapters.program import program_in


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Problem], **_: Any) -> dict[str, Any]:
    """Rewards; scores from 0 to 1 for dynamic filtering. A query is the prompt with the completion behind it.

    OpenRLHF calls it with one query at a time and takes numbers: one query gives numbers, several give lists.
    """
    answers = [query.removeprefix(prompt) for query, prompt in zip(queries, prompts, strict=True)]
    judged = shared().many([program_in(answer).program for answer in answers], labels)
    rewards, scores = [one.number() for one in judged], [float(one.verdict == "passed") for one in judged]
    if len(judged) == 1:
        return {"rewards": rewards[0], "scores": scores[0], "extra_logs": {"passed": scores[0]}}
    return {"rewards": rewards, "scores": scores, "extra_logs": {"passed": scores}}
