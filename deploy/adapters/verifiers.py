"""verifiers and prime-rl: a reward to plug into a task whose data has a field `problem`.

    rewards = {"judged": vf.RewardFunctionConfig(fn=".../stepcoder/deploy/adapters/verifiers.py:judged")}

or, in a task of one's own, `return await judged(self.data, trace)`. A server is named by STEPCODER_JUDGE_URL.
"""

from typing import Any

from stepcoder.deploy.adapters.judge import shared
from stepcoder.deploy.adapters.program import program_in


async def judged(task: Any, trace: Any) -> float:
    """`task`: a task or its data, with `problem`. NotJudged where the sandbox failed."""
    problem = getattr(task, "data", task).problem
    return (await shared().soon(program_in(trace.last_reply or "").program, problem)).number()
