"""A rollout actor: turns a subtask into a group of graded trajectories with one engine.

Life of a completion: prompt -> engine -> program -> executor -> masks and reward -> trajectory.
Invariants: a completion goes to the executor when it is finished, not when its group is; the
random numbers of a completion depend on (run seed, ticket, sample) alone, so that a subtask
issued again after a crash draws the same; a program that the sandbox could not judge (after the executor's
retries) is no reward: its whole group is `Unjudged`.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from stepcoder.curriculum.config import PromptConfig, PromptForm
from stepcoder.curriculum.prompts import Prompter, given
from stepcoder.curriculum.subtask import Outcome, Subtask
from stepcoder.curriculum.thoughts import thoughts
from stepcoder.executor.case_text import cut
from stepcoder.executor.report import Verdict
from stepcoder.executor.spans import executed_spans
from stepcoder.held import Held
from stepcoder.paths import Located, local
from stepcoder.rollout.attempts import Attempt, trajectory_of, worth_of
from stepcoder.rollout.config import HeartbeatConfig, RolloutConfig, Turns
from stepcoder.rollout.engine import Completion, EngineDied, EngineStats, Part, Sampling, greedy, sampling_of
from stepcoder.rollout.engines import make_engine
from stepcoder.rollout.kept import kept_tests, storable
from stepcoder.rollout.lifeline import tie_to_parent
from stepcoder.rollout.load import Load
from stepcoder.rollout.pulse import Pulse, end_engine
from stepcoder.rollout.repair import told
from stepcoder.rollout.room import Room
from stepcoder.rollout.solutions import Executor, SolutionTraces
from stepcoder.rollout.text.extract import extract
from stepcoder.rollout.text.mask import token_masks
from stepcoder.rollout.text.offsets import TokenSpans
from stepcoder.rollout.trajectory import Group, GroupSummary, Trajectory, Unjudged, summarize


class RolloutWorker:
    """The caller makes it an async Ray actor, with `engine_environment` in its environment, many calls at once."""

    def __init__(
        self,
        model: str | Located,
        config: RolloutConfig,
        prompt: PromptConfig,
        executor: Executor,
        reward_kind: str,
        seed: int,
        *,
        device: str = "cpu",
        backend: str = "gloo",
        version: int = 0,
        heartbeat: HeartbeatConfig | None = None,
        traces_solutions: bool = False,
    ) -> None:
        """Loads the model; `version` names the weights in the directory `model`.

        `traces_solutions`: run each problem's solution once, and say where failing programs diverge from it.
        """
        from transformers import AutoTokenizer

        tie_to_parent()  # a Ray worker can outlive a killed node process by a minute
        model = local(model)
        self._tokenizer = AutoTokenizer.from_pretrained(model)
        self._prompter = Prompter(self._tokenizer, prompt)
        self._form: PromptForm = prompt.form
        self._spans = TokenSpans(self._tokenizer)
        self._executor = executor
        self._reward_kind = reward_kind
        self._seed = seed
        self._config = config
        self._room = Room(config.max_num_seqs)
        self._judging = Held()
        self._solutions = SolutionTraces(executor) if traces_solutions else None
        self._engine = make_engine(model, config, device=device, backend=backend, version=version)
        self._pulse = Pulse(self._engine, heartbeat or HeartbeatConfig())
        self._waits = False
        """Whether the engine waits for the learner, and so cannot answer: from its pause to the end of an update."""

    async def ready(self) -> bool:
        """True once the engine answers: the first call returns after the constructor has."""
        return True

    async def beat(self, updating: bool) -> bool:
        """Whether the engine has answered since it was last asked. Raises EngineDied where it is gone or hangs; nothing
        is left of its processes then. `updating`: an update is under way; once it has paused it need not answer."""
        try:
            return await self._pulse.look(updating and self._waits)
        except EngineDied:
            end_engine()
            raise

    async def run(self, subtask: Subtask, sampling: Sampling | None = None, group_size: int | None = None) -> Group:
        """All completions of a subtask, graded. `sampling` and `group_size` replace the config's (evaluation).

        Raises a group of NotJudged where the sandbox failed on one; the others are then given up.
        """
        prompt_ids = self._prompter.ids(subtask.problem, subtask.prefix)
        repair = self._config.repair
        turns = repair.turns if isinstance(repair, Turns) and sampling is None else 1
        sampling = sampling or sampling_of(self._config)
        if self._form == "instruct":  # a reply opens with a fence; it ends with its end token
            sampling = Sampling(sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_new_tokens)
        tries = range(group_size or self._config.group_size)
        with self._room.group(len(tries)) as ended:
            async with asyncio.TaskGroup() as group:
                calls = (self._sample(subtask, prompt_ids, sampling, i, turns, ended) for i in tries)
                tasks = [group.create_task(call) for call in calls]
        attempts = [task.result() for task in tasks]
        prompt = self._tokenizer.decode(prompt_ids)
        by_turn = isinstance(repair, Turns) and repair.reward == "turn"
        worth = worth_of(attempts, self._reward_kind, by_turn)
        trajectories = tuple(
            replace(trajectory_of(subtask, i, prompt_ids, own, value), prompt=prompt)
            for i, (own, value) in enumerate(zip(attempts, worth, strict=True))
        )
        passed = sum(trajectory.verdict is Verdict.PASSED for trajectory in trajectories)
        outcome = Outcome(subtask.ticket, subtask.problem.id, subtask.stage, passed, len(tries))
        return Group(outcome, trajectories)

    async def run_apart(
        self, subtask: Subtask, sampling: Sampling | None = None, group_size: int | None = None
    ) -> tuple[GroupSummary | Unjudged, tuple[Trajectory, ...]]:
        """The same as two values (Ray: `num_returns=2`), so that the driver never holds a token."""
        try:
            group = await self.run(subtask, sampling, group_size)
        except Exception as error:
            if isinstance(error, ExceptionGroup) and (died := error.subgroup(EngineDied)):
                raise EngineDied(str(died.exceptions[0])) from error
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

    async def load(self) -> Load:
        stats = self._engine.stats
        return Load(stats.busy_s, stats.requests_s, self._judging.together_s, engines=1)

    async def room(self, sent: int) -> int:
        """How many of the `sent` completions that were asked for have ended, as soon as there is room for more."""
        return await self._room.after(sent)

    async def join_transfer(self, init_info: dict[str, Any]) -> None:
        """Called by the learner's `WeightPublisher`, like the three below."""
        self._waits = True
        await self._engine.join_transfer(init_info)

    async def start_update(self) -> None:
        self._waits = False  # one that hangs is not waited for until the update's deadline
        await self._engine.start_update()
        self._waits = True

    async def receive_update(self, update_info: dict[str, Any]) -> None:
        await self._engine.receive_update(update_info)

    async def finish_update(self, version: int) -> None:
        await self._engine.finish_update(version)
        self._waits = False

    async def sleep(self) -> None:
        await self._engine.sleep()

    async def wake(self, part: Part) -> None:
        await self._engine.wake(part)

    async def close(self) -> None:
        self._engine.close()

    async def _sample(
        self,
        subtask: Subtask,
        prompt_ids: list[int],
        sampling: Sampling,
        index: int,
        turns: int,
        ended: Callable[[], None],
    ) -> list[Attempt]:
        """One completion and, where its program fails and turns are left, those that try again. `ended` is called once,
        when the engine has no more to write."""
        begun = self._prompter.begins_a_thought(self._prompter.text(subtask.problem, subtask.prefix))
        attempts, context = list[Attempt](), prompt_ids
        for turn in range(turns):
            seed = sample_seed(self._seed, subtask.ticket, index, turn)
            completion = await self._engine.generate(context, sampling, seed)
            if last := turn + 1 == turns:
                ended()
            attempt = await self._graded(subtask, context, completion, begun)
            attempts.append(attempt)
            if last:
                return attempts
            if attempt.report.passed:
                break
            answered = [*context, *completion.response_ids]
            text, ids = self._told(subtask, attempt)
            if len(answered) + len(ids) >= self._config.max_model_len:
                break
            attempts[-1] = replace(attempt, told=tuple(ids), told_text=text)
            begun, context = self._prompter.begins_a_thought(text), [*answered, *ids]
        ended()
        return attempts

    def _told(self, subtask: Subtask, attempt: Attempt) -> tuple[str, list[int]]:
        """What follows a failed attempt, up to where the model goes on, as text and tokens."""
        repair, completion = self._config.repair, attempt.completion
        assert isinstance(repair, Turns)
        said = told(attempt.report, subtask.problem.suite, repair.chars)
        text = self._prompter.next_turn(subtask.problem, subtask.prefix, said)
        if completion.finish_reason == "eos":  # it ended its turn itself
            text = text.removeprefix(self._tokenizer.decode(completion.response_ids[-1:]))
        return text, self._tokenizer.encode(text, add_special_tokens=False)

    async def _graded(self, subtask: Subtask, context: list[int], completion: Completion, begun: bool) -> Attempt:
        """`begun`: the context ends with the mark of a thought."""
        ended_itself = completion.finish_reason == "eos"
        written = completion.response_ids[:-1] if ended_itself else completion.response_ids
        text, spans = self._spans(written, context[-4:])
        thought = thoughts(text, self._prompter.marks, begun) if self._form == "instruct" else []
        extracted = extract(given(subtask.prefix), text, self._form, thought[-1][1] if thought else 0)
        problem, program = subtask.problem, extracted.program
        with self._judging.one():
            whole = await self._executor.run(program, problem.suite)
        if not whole.verdict.judged:
            raise NotJudged(whole.error or "the sandbox failed")
        rewarded, kept = len(problem.suite.cases) - problem.hidden, self._config
        report = whole.of_first(rewarded) if problem.hidden else whole
        executed = executed_spans(program, report.executed_lines)
        return Attempt(
            completion,
            token_masks(extracted, spans, executed, ended_itself, thought),
            report,
            program,
            extracted.prefix_chars,
            self._solutions and await self._solutions.divergence(problem, program, report),
            whole.passed if problem.hidden and report.passed else None,
            text=text,
            error=None if report.error is None else cut(storable(report.error), kept.kept_chars),
            tests=kept_tests(problem.suite, whole, rewarded, kept.kept_tests, kept.kept_chars),
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


def sample_seed(run_seed: int, ticket: int, sample: int, turn: int = 0) -> int:
    """The seed of one completion, 0 <= seed < 2**62: different for every ticket, sample and turn of a run."""
    later = f"/{turn}" if turn else ""
    digest = hashlib.blake2b(f"{run_seed}/{ticket}/{sample}{later}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 2
