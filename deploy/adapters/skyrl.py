"""SkyRL: an environment of one turn, with the problem in `reward_spec.ground_truth` of a row.

    register(id="stepcoder", entry_point="stepcoder.deploy.adapters.skyrl:CodeEnv")

A server is named by STEPCODER_JUDGE_URL, or by `url` in the environment's configuration.
"""

from typing import Any

from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput  # pyright: ignore[reportMissingImports]

from stepcoder.deploy.adapters.judge import shared
from stepcoder.deploy.adapters.program import program_in


class CodeEnv(BaseTextEnv):
    """The first answer is judged and ends the episode."""

    def __init__(self, env_config: Any = None, extras: dict[str, Any] | None = None) -> None:
        """ValueError for a row without a problem."""
        super().__init__()
        problem = ((extras or {}).get("reward_spec") or {}).get("ground_truth")
        if problem is None:
            raise ValueError("the row has no `reward_spec.ground_truth`: put the problem there")
        self._problem = problem
        get = env_config.get if hasattr(env_config, "get") else lambda name: None
        self._judge = shared(get("url"), get("token"), get("problems"))

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """NotJudged where the sandbox failed."""
        program = program_in(action).program
        judged = self._judge.one(program, self._problem)
        told = {"parsed_code": program, "verdict": judged.verdict}
        return BaseTextEnvStepOutput(observations=[], reward=judged.number(), done=True, metadata=told)
