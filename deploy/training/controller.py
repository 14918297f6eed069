"""The driver: the training loop, written as the algorithm reads.

    subtasks  = curriculum.next(n)                 # what to try, and from where
    groups    = rollout.write(subtasks)            # completions, graded while others are still written
    metrics   = learner.step(groups)               # PPO on the tokens that the tests executed
    curriculum.report(outcomes); learner.publish() # start points move; engines get the new weights

The first two are `stream.py`'s: with `max_staleness` above 0 the groups of later steps are generated while a step
trains. The driver holds references and small numbers only. A step's groups are taken, and their outcomes reported, in
the order of their tickets, so that a run's course depends on its seed and its samples, not on which worker was faster.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from stepcoder.curriculum.subtask import Subtask
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.config.run import Config
from stepcoder.deploy.run.background import Background
from stepcoder.deploy.run.checkpoint import latest_complete
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.run.faults import LEARNER, SERVICES, Faults
from stepcoder.deploy.run.metrics import read_metrics, tokens_generated
from stepcoder.deploy.run.problems import write_problems
from stepcoder.deploy.run.trajectories import write_groups
from stepcoder.deploy.shown.progress import RunProgress
from stepcoder.deploy.training.cluster import Engines, Services, join_cluster, start_services
from stepcoder.deploy.training.evaluation import evaluate_splits, evaluation_size
from stepcoder.deploy.training.generated import Generated, drawn, group_columns, rollout_metrics
from stepcoder.deploy.training.idle import Idle
from stepcoder.deploy.training.lives import live_on
from stepcoder.deploy.training.refill import group_metrics, with_spread
from stepcoder.deploy.training.saving import Saving
from stepcoder.deploy.training.stopping import Stopping, StopRequested
from stepcoder.deploy.training.stream import Stream
from stepcoder.deploy.training.time_limit import StartTimes, TimeLimit
from stepcoder.deploy.training.unjudged import told, too_many, unjudged_metrics
from stepcoder.errors import UserError
from stepcoder.learner.guards import Guards
from stepcoder.rollout.load import Load
from stepcoder.rollout.service import IssuedGroup
from stepcoder.waiting import watched, within
from stepcoder.words import plural

log = logging.getLogger(__name__)


def train(config: Config, run: RunDirectory, ready: Ready, stopping: Stopping | None = None) -> None:
    """Train to `run.steps`, for `run.max_minutes` or until asked to stop; from the newest checkpoint, if any."""
    stopping = stopping or Stopping()
    start = StartTimes()
    start.mark("checks")
    limit = TimeLimit(config.run.max_minutes, start.begun)
    limit.remember(read_metrics(run.metrics_file), evaluation_size(config, ready))
    join_cluster(config)
    start.mark("ray")
    try:
        with RunProgress(config.run.steps, run.resumed_step, ends=limit.ends) as progress:
            asyncio.run(_lives(config, run, ready, progress, limit, start, stopping))
    finally:
        ray.shutdown()


async def _lives(
    config: Config,
    run: RunDirectory,
    ready: Ready,
    progress: RunProgress,
    limit: TimeLimit,
    start: StartTimes,
    stopping: Stopping,
) -> None:
    """One life after the other; engines that are still there serve the next."""
    faults = Faults(config.ray.restarts_per_hour, run.faults_file)
    engines = Engines(faults)
    try:
        life = lambda: Life(config, run, ready, progress, limit, start, stopping, engines).train()  # noqa: E731
        await live_on(run, progress, life, faults, stopping, engines.close)
    finally:
        await engines.close()


class Life:
    """One life of the services: from a checkpoint (or the beginning) to the end of the run or the first death."""

    def __init__(
        self,
        config: Config,
        run: RunDirectory,
        ready: Ready,
        progress: RunProgress,
        limit: TimeLimit | None = None,
        start: StartTimes | None = None,
        stopping: Stopping | None = None,
        engines: Engines | None = None,
    ) -> None:
        """`engines` may be those of an earlier life; this one leaves them to the next."""
        self.config, self.run, self.ready, self.progress = config, run, ready, progress
        self.engines = engines or Engines(Faults(config.ray.restarts_per_hour))
        self.limit = limit or TimeLimit(config.run.max_minutes)
        self.start = start or StartTimes()
        self.stopping = stopping or Stopping()
        self.services: Services
        self.metrics = run.writer()
        self.refused = 0
        self.guards = Guards(config.learner.guards, read_metrics(run.metrics_file))
        self.writing = Background()  # of trajectories
        self.saving = Saving(run, self.limit, self.writing)
        self.done = run.resumed_step
        self.tokens = tokens_generated(read_metrics(run.metrics_file), self.done)
        self.stream: Stream
        self.idle: Idle

    async def train(self) -> None:
        self.progress.phase("starting the services")
        self.progress.message("starting engines, learner, executors and curriculum (half a minute on a small machine)")
        self.services = await start_services(self.config, self.ready, self.run.journal, self.engines)
        self.start.mark("services")
        if why := self.services.turns.why:
            self.progress.message(why)
        try:
            kind = self.config.curriculum.conditionals
            await asyncio.to_thread(write_problems, self.run.path, self.ready.train, kind)
            with self.metrics:
                try:
                    beat = self.config.ray.heartbeat
                    await watched(self._train(), self.services.learner.watch(beat.every_s, beat.hung_s))
                except StopRequested:
                    await self._save_before_the_end()
                await self.writing.wait()
                await self.saving.wait()
                self.stopping.over()
        except Exception:
            await self.saving.settle()
            await self.writing.settle()
            raise
        finally:
            await self.saving.close()
            await self.writing.close()
            await self.services.close()

    async def _train(self) -> None:
        c, done = self.config, self.run.resumed_step
        issued = await self._restore()
        self.engines.faults.back(LEARNER, SERVICES)
        if done == 0 and c.eval.at_start and not self.metrics.evaluated(0):
            await self._evaluate(0)
        on_the_way = 0 < done and not self._complete(done) and c.eval.every and done % c.eval.every == 0
        if on_the_way and not self.metrics.evaluated(done):
            await self._evaluate(done)
        if not self._complete(done) and self.limit.opens(c.eval.at_end):
            if c.eval.at_end and self.limit.mostly_evaluates():
                self.progress.message(self.limit.advice())
            done = await self._steps(done, issued)
        if c.eval.at_end and not self.metrics.evaluated(done):
            await self._evaluate(done)

    def _complete(self, done: int) -> bool:
        """Whether the run has taken all its steps, or generated all its tokens, with step `done`."""
        return done >= self.config.run.steps or 0 < (self.config.run.max_tokens or 0) <= self.tokens

    async def _save_before_the_end(self) -> None:
        """The last step that is done, unless there is a checkpoint of it."""
        if self.done > self.saving.last:
            await self.saving.save(self.services, self.done, self.stream.window.under_way, self.refused)

    async def _steps(self, done: int, issued: list[Subtask] | None) -> int:
        """Steps after `done`, to the end of the run or of its time; the last one's number."""
        c = self.config
        self.progress.begin_steps(c.run.max_tokens and c.run.max_tokens - self.tokens)
        self.start.over()
        self.stopping.begin()
        self.idle = Idle(await self._load(), time.monotonic())
        self.stream = Stream(c, self.services, self.progress, self.stopping, issued or ())
        try:
            return await self._stream_steps(done)
        finally:
            await self.stream.close()

    async def _stream_steps(self, done: int) -> int:
        c = self.config
        for step in range(done + 1, c.run.steps + 1):
            begun = time.monotonic()
            saves, evaluates = step % c.run.checkpoint_every == 0, bool(c.eval.every) and step % c.eval.every == 0
            self.progress.phase("generating")
            generated = await self.stream.take(step, self._ahead(step, self.limit.between(saves, evaluates)))
            self.tokens += generated.tokens
            await self._learn(step, generated)
            self.done = step
            self.stopping.check()
            await self.saving.check()
            await self.writing.check()
            self._took(time.monotonic() - begun, generated)
            between = self.limit.between(saves, evaluates)
            more = not self._complete(step) and self.limit.allows(1, c.eval.at_end, between)
            if saves or not more:
                self.progress.phase("writing a checkpoint")
                await self.saving.save(self.services, step, self.stream.window.under_way, self.refused)
            if not more:
                return step
            if evaluates:
                await self.stream.settled()  # alone, an evaluation is counted and timed for itself
                await self._evaluate(step)
        return c.run.steps

    def _ahead(self, step: int, between: float) -> int:
        """Steps after this one whose groups are worth writing already: the run has them, and its time does."""
        most = min(self.config.max_staleness, self.config.run.steps - step)
        return sum(self.limit.allows(1 + n, self.config.eval.at_end, between) for n in range(1, most + 1))

    def _took(self, seconds: float, generated: Generated) -> None:
        """How long a step took. An evaluation that was not seen yet is thought to be as fast as its completions."""
        self.limit.step(seconds)
        if not self.limit.evaluation:
            c = self.config
            completions = len(generated.groups) * c.rollout.group_size
            self.limit.evaluation = generated.seconds * evaluation_size(c, self.ready) / completions

    async def _restore(self) -> list[Subtask] | None:
        """Put every service where the checkpoint left it; the subtasks that were under way then, if any."""
        checkpoint = self.run.checkpoint
        if checkpoint is None:
            await self._publish(0)  # to engines of a life that got further
            return None
        self.progress.phase("loading the checkpoint")
        state = checkpoint.state()
        await self.services.curriculum.load(state["curriculum"])
        loading = self.services.learner.load(str(checkpoint.path))
        await within(self.config.ray.start_deadline_s, "the learner to load its checkpoint", loading)
        await self._publish(checkpoint.step)
        self.refused = state["refused"]
        known = {problem.id for problem in self.ready.train}
        kept = [item for item in state["issued"] if item[1] in known]
        return [await self.services.curriculum.subtask(*item) for item in kept] or None

    async def _learn(self, step: int, generated: Generated) -> None:
        """Train on one step's groups, tell the curriculum, send the weights, write the numbers."""
        self.progress.phase("training")
        groups, lost, services = generated.groups, generated.lost, self.services
        for group in lost:
            self.progress.message(f"step {step}: {told(group)}")
        if stop := too_many(lost, len(groups), self.config.max_unjudged_share):
            await self._stop(step, stop)
        dropping = self.config.learner.drop_equal_groups
        kept = with_spread(groups) if dropping else groups
        start = time.perf_counter()
        await services.turns.train(self.config.ray.start_deadline_s)
        learning = services.learner.step(step, [g.trajectories for g in kept], [g.summary.tokens for g in kept])
        learned = await within(self.config.ray.step_deadline_s, f"the learner to train step {step}", learning)
        trained = time.perf_counter()
        await services.curriculum.report([g.summary.outcome for g in groups])
        self.progress.phase("sending weights")
        await self._publish(step)
        published = time.perf_counter()
        metrics: dict[str, Any] = rollout_metrics(generated, step) | learned
        metrics |= generated.stream | unjudged_metrics(lost) | self.engines.faults.metrics()
        metrics |= self.idle.see(await self._load(), time.monotonic(), published - start)
        if dropping:
            metrics |= group_metrics(groups, generated.tried - self.config.subtasks_per_step)
        metrics |= await services.curriculum.metrics()
        metrics["curriculum/histogram"] = {str(k): v for k, v in (await services.curriculum.histogram()).items()}
        metrics["seconds/train"], metrics["seconds/publish"] = trained - start, published - trained
        finding = self.guards.see(metrics)
        metrics |= finding.metrics
        self.metrics.write(step, metrics)
        self.metrics.write_groups(step, group_columns(groups))
        self.progress.step(step, metrics)
        await self._write_trajectories(step, groups)
        for warning in finding.warnings:
            self.progress.message(f"step {step}: {warning}")
        if stop := self._refused(metrics) or finding.stop:
            await self._stop(step, stop)

    async def _load(self) -> Load:
        asked = self.services.rollout.load()
        return await within(self.config.ray.start_deadline_s, "engines and executors to say how busy they were", asked)

    async def _publish(self, version: int) -> None:
        await self.services.turns.publish(self.services.exchange, version, self.config.rollout.weights_deadline_s)

    def _refused(self, metrics: dict[str, Any]) -> str | None:
        """Refused updates are counted; why the run must end after several steps of nothing else."""
        if metrics["updates/total"] > 0:  # a step whose groups were all dropped says nothing
            self.refused = self.refused + 1 if metrics["updates/refused"] == metrics["updates/total"] else 0
        if self.refused < self.config.learner.max_bad_steps:
            return None
        return (
            f"the loss or its gradient was not finite in {plural(self.refused, 'step')} in a row.\n"
            "Start a new run from the exported checkpoint with a lower learner.policy.lr and "
            "learner.advantage.critic.optimizer.lr, or with learner.precision fp32."
        )

    async def _stop(self, step: int, reason: str) -> None:
        """End the run with advice; the last checkpoint is from before this step."""
        await self.saving.wait()
        newest = await asyncio.to_thread(latest_complete, self.run.checkpoints)
        kept = "There is no checkpoint yet."
        if newest is not None:
            kept = (
                f"The last checkpoint is kept, {newest.path}:\n  stepcoder export --run {self.config.run.directory} "
                f"--step {newest.step} --out my-model"
            )
        raise UserError(f"the run stops at step {step}: {reason}\n{kept}")

    async def _write_trajectories(self, step: int, groups: Sequence[IssuedGroup]) -> None:
        every = self.config.run.trajectories_every
        if every and step % every == 0:
            # Asked for now: the next step forgets what the loss of this one used.
            kept = drawn(groups, self.config.run.trajectories_groups)
            parts = [*(g.trajectories for g in kept), *self.services.learner.trained()]
            await self.writing.start(self._write(step, len(kept), parts))

    async def _write(self, step: int, groups: int, parts: Sequence[Any]) -> None:
        """Beside the next step. On the driver's node: there a run at a URI has its directory."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        write = ray.remote(write_groups).options(name="write-trajectories", num_cpus=0, scheduling_strategy=here)
        await write.remote(str(self.run.trajectories), step, groups, *parts)

    async def _evaluate(self, step: int) -> None:
        self.progress.phase("evaluating")
        samples = self.config.eval.samples + self.config.eval.greedy
        problems = plural(evaluation_size(self.config, self.ready) // samples, "problem")
        self.progress.message(f"evaluating {problems}, {plural(samples, 'completion')} each, no prefix given")
        times = self.start.told() if step == self.run.resumed_step else {}
        begun = time.monotonic()
        programs = self.run.programs(step)
        evaluation = evaluate_splits(self.services.rollout, self.config, self.ready, self.progress, programs)
        results = await self.stopping.beside(evaluation)
        times["seconds/eval"] = self.limit.evaluation = time.monotonic() - begun
        self.metrics.write_evaluation(step, results, times)
        self.progress.evaluation(step, results)
