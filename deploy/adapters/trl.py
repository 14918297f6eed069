"""TRL: `GRPOTrainer(reward_funcs=CodeReward(), ...)`, with the problem in a column of the data set."""

from collections.abc import Callable, Sequence
from typing import Any

from stepcoder.deploy.adapters.judge import Judge, Problem
from stepcoder.deploy.adapters.program import program_in, text_of


class CodeReward:
    """A reward function; `column` names the column that holds the problem. Arguments as `Judge`. It can be pickled."""

    __name__ = "code_reward"

    def __init__(
        self, url: str | None = None, token: str | None = None, *, column: str = "problem", **more: Any
    ) -> None:
        self.judge, self.column = Judge(url, token, **more), column

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], completion_ids: Sequence[Any] | None = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None, **columns: Any,
    ) -> list[float | None]:  # fmt: skip
        """None, which TRL leaves out, where the sandbox failed."""
        if self.column not in columns:
            known = ", ".join(sorted(name for name, value in columns.items() if isinstance(value, list)))
            raise ValueError(f"the data set has no column {self.column!r} with the problem; it has {known or 'none'}")
        problems: list[Problem] = columns[self.column]
        judged = self.judge.many([program_in(text_of(one)).program for one in completions], problems)
        if log_extra is not None:
            log_extra("verdict", [one.verdict for one in judged])
        if log_metric is not None:
            log_metric("passed", sum(one.verdict == "passed" for one in judged) / len(judged))
        return [one.reward for one in judged]
