"""A rollout actor: turns a subtask into a group of graded trajectories with one engine.

Life of a completion: prompt -> engine -> program -> executor -> masks and reward -> trajectory.
Invariants: a completion goes to the executor when it is finished, not when its group is; the
random numbers of a completion depend on (run seed, ticket, sample) alone, so that a subtask
issued again after a crash draws the same; a program that the sandbox could not judge (after the executor's
retries) is no reward: its whole group is `Unjudged`.
"""

import asyncio
import hashlib
import logging
import os
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from stepcoder.curriculum.config import PromptConfig, PromptForm
from stepcoder.curriculum.prompts import Prompter, given
from stepcoder.curriculum.subtask import Outcome, Subtask
from stepcoder.executor.case_text import cut
from stepcoder.executor.judging.reward import reward
from stepcoder.executor.report import Report, Verdict
from stepcoder.executor.spans import executed_spans
from stepcoder.executor.suite import Suite
from stepcoder.rollout.config import RolloutConfig
from stepcoder.rollout.engine import EngineDied, EngineStats, Sampling, greedy, sampling_of
from stepcoder.rollout.engines import make_engine
from stepcoder.rollout.kept import kept_tests, storable
from stepcoder.rollout.lifeline import tie_to_parent
from stepcoder.rollout.text.extract import extract
from stepcoder.rollout.text.mask import token_masks
from stepcoder.rollout.text.offsets import TokenSpans
from stepcoder.rollout.trajectory import Group, GroupSummary, Trajectory, Unjudged, summarize

log = logging.getLogger(__name__)


class Executor(Protocol):
    """What grades a program; `executor.pool.actors.ExecutorPool` in a run."""

    async def run(self, program: str, suite: Suite) -> Report: ...


class RolloutWorker:
    """The caller makes it an async Ray actor, with `engine_environment` in its environment, many calls at once."""

    def __init__(
        self,
        model: str,
        config: RolloutConfig,
        prompt: PromptConfig,
        executor: Executor,
        reward_kind: str,
        seed: int,
        *,
        device: str = "cpu",
        backend: str = "gloo",
        version: int = 0,
    ) -> None:
        """Loads the model; `version` names the weights in the directory `model`."""
        from transformers import AutoTokenizer

        tie_to_parent()  # a Ray worker can outlive a killed node process by a minute
        self._tokenizer = AutoTokenizer.from_pretrained(model)
        self._prompter = Prompter(self._tokenizer, prompt)
        self._form: PromptForm = prompt.form
        self._spans = TokenSpans(self._tokenizer)
        self._executor = executor
        self._reward_kind = reward_kind
        self._seed = seed
        self._config = config
        self._engine = make_engine(model, config, device=device, backend=backend, version=version)

    async def ready(self) -> bool:
        """True once the engine answers: the first call returns after the constructor has."""
        return True

    async def run(self, subtask: Subtask, sampling: Sampling | None = None, group_size: int | None = None) -> Group:
        """All completions of a subtask, graded. `sampling` and `group_size` replace the config's (evaluation).

        Raises a group of NotJudged where the sandbox failed on one; the others are then given up.
        """
        prompt_ids = self._prompter.ids(subtask.problem, subtask.prefix)
        sampling = sampling or sampling_of(self._config)
        if self._form == "instruct":  # a reply opens with a fence; it ends with its end token
            sampling = Sampling(sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_new_tokens)
        count = group_size or self._config.group_size
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._sample(subtask, prompt_ids, sampling, index)) for index in range(count)]
        trajectories = tuple(task.result() for task in tasks)
        passed = sum(trajectory.verdict is Verdict.PASSED for trajectory in trajectories)
        outcome = Outcome(subtask.ticket, subtask.problem.id, subtask.stage, passed, count)
        return Group(outcome, trajectories)

    async def run_apart(
        self, subtask: Subtask, sampling: Sampling | None = None, group_size: int | None = None
    ) -> tuple[GroupSummary | Unjudged, tuple[Trajectory, ...]]:
        """The same as two values (Ray: `num_returns=2`), so that the driver never holds a token."""
        try:
            group = await self.run(subtask, sampling, group_size)
        except Exception as error:
            if isinstance(error, ExceptionGroup) and error.subgroup(EngineDied):
                log.critical("the engine's process is gone; this actor ends, so that the run starts its services anew")
                os._exit(1)
            if text := _not_judged(error):
                return Unjudged(subtask.ticket, subtask.problem.id, text), ()
            raise
        return summarize(group, bool(subtask.problem.hidden)), group.trajectories

    async def greedy(self, prompt_ids: Sequence[int], count: int) -> list[int]:
        """The most likely next tokens, for checks of the weights."""
        return await greedy(self._engine, list(prompt_ids), count)

    async def version(self) -> int:
        return self._engine.version

    async def stats(self) -> EngineStats:
        return self._engine.stats

    async def join_transfer(self, init_info: dict[str, Any]) -> None:
        """Called by the learner's `WeightPublisher`, like the three below."""
        await self._engine.join_transfer(init_info)

    async def start_update(self) -> None:
        await self._engine.start_update()

    async def receive_update(self, update_info: dict[str, Any]) -> None:
        await self._engine.receive_update(update_info)

    async def finish_update(self, version: int) -> None:
        await self._engine.finish_update(version)

    async def close(self) -> None:
        self._engine.close()

    async def _sample(self, subtask: Subtask, prompt_ids: list[int], sampling: Sampling, index: int) -> Trajectory:
        seed = sample_seed(self._seed, subtask.ticket, index)
        completion = await self._engine.generate(prompt_ids, sampling, seed)
        ended_itself = completion.finish_reason == "eos"
        written = completion.response_ids[:-1] if ended_itself else completion.response_ids
        text, spans = self._spans(written, prompt_ids[-4:])
        extracted = extract(given(subtask.prefix), text, self._form)
        whole = await self._executor.run(extracted.program, subtask.problem.suite)
        if not whole.verdict.judged:
            raise NotJudged(whole.error or "the sandbox failed")
        hidden, kept = subtask.problem.hidden, self._config
        rewarded = len(subtask.problem.suite.cases) - hidden
        report = whole.of_first(rewarded) if hidden else whole
        masks = token_masks(extracted, spans, executed_spans(extracted.program, report.executed_lines), ended_itself)
        return Trajectory(
            ticket=subtask.ticket,
            sample=index,
            problem_id=subtask.problem.id,
            level=subtask.problem.level,
            stage=subtask.stage,
            prompt_ids=np.asarray(prompt_ids, dtype=np.int32),
            response_ids=np.asarray(completion.response_ids, dtype=np.int32),
            logprobs=np.asarray(completion.logprobs, dtype=np.float32),
            executed=masks.executed,
            code=masks.code,
            token_lines=masks.token_lines,
            error_line=report.error_line,
            reward=reward(report, self._reward_kind),
            verdict=report.verdict,
            finish_reason=completion.finish_reason,
            weight_version=completion.weight_version,
            program=extracted.program,
            coverage_trusted=report.coverage_trusted,
            prefix_chars=extracted.prefix_chars,
            hidden_passed=whole.passed if hidden and report.passed else None,
            prompt=self._tokenizer.decode(prompt_ids),
            response=text,
            token_starts=masks.token_starts,
            token_ends=masks.token_ends,
            executed_lines=report.executed_lines,
            error=None if report.error is None else cut(storable(report.error), kept.kept_chars),
            tests=kept_tests(subtask.problem.suite, whole, rewarded, kept.kept_tests, kept.kept_chars),
        )


class NotJudged(RuntimeError):
    """The sandbox failed on a program, every time: says nothing about the program."""


def _not_judged(error: Exception) -> str | None:
    """The sandbox's text, where all that went wrong is that programs could not be judged."""
    if isinstance(error, NotJudged):
        return str(error)
    if not isinstance(error, ExceptionGroup):
        return None
    texts = [_not_judged(inner) for inner in error.exceptions]
    return texts[0] if all(texts) else None


def sample_seed(run_seed: int, ticket: int, sample: int) -> int:
    """The seed of one completion, 0 <= seed < 2**62: different for every ticket and sample of a run."""
    digest = hashlib.blake2b(f"{run_seed}/{ticket}/{sample}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 2
