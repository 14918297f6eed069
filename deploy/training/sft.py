"""The driver of supervised fine-tuning.

    evaluate                                   # engines and executors, then gone
    for each epoch, for each batch of it:
        learner.train(batch)                   # the loss of the answers' tokens
        learner.validate(heldout)              # now and then
    evaluate                                   # the same problems and random numbers

Engines and learner never live at the same time. Which problems a step trains on is a function of the seed and the step
alone, so that a checkpoint holds the learner and nothing else.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import ray

from stepcoder.curriculum.stages.sampling import epoch_order
from stepcoder.deploy.checks.preflight import Ready
from stepcoder.deploy.config.sft import SFTRunConfig
from stepcoder.deploy.run.checkpoint import POLICY, CheckpointWriter, named, prune, told
from stepcoder.deploy.run.directory import RunDirectory
from stepcoder.deploy.run.faults import LEARNER, SERVICES, Faults
from stepcoder.deploy.run.metrics import read_metrics
from stepcoder.deploy.shown.progress import RunProgress
from stepcoder.deploy.training.cluster import gpus, join_cluster, reserved
from stepcoder.deploy.training.evaluation import evaluate_model
from stepcoder.deploy.training.lives import live_on
from stepcoder.deploy.training.placement import placement
from stepcoder.deploy.training.sft_data import SFTData
from stepcoder.deploy.training.stopping import Stopping, StopRequested
from stepcoder.errors import UserError
from stepcoder.learner.sft.examples import Example
from stepcoder.learner.sft.service import SFTService
from stepcoder.rollout.names import free
from stepcoder.waiting import within
from stepcoder.words import plural

VALIDATION = "sft/validation_loss"


def fine_tune(
    config: SFTRunConfig, run: RunDirectory, ready: Ready, data: SFTData, stopping: Stopping | None = None
) -> None:
    """Train for `sft.epochs` or until asked to stop, from the newest checkpoint if there is one."""
    stopping = stopping or Stopping()
    join_cluster(config)
    try:
        with RunProgress(run.steps, run.resumed_step) as progress:
            faults = Faults(config.ray.restarts_per_hour, run.faults_file)
            life = lambda: _Life(config, run, ready, data, progress, stopping, faults).run_all()  # noqa: E731
            asyncio.run(live_on(run, progress, life, faults, stopping))
    finally:
        ray.shutdown()


def batch(step: int, examples: Sequence[Example], size: int, seed: int) -> list[Example]:
    """What step `step` (from 1) trains on: each example once in an epoch; its last step takes what is left."""
    each = -(-len(examples) // size)
    epoch, index = divmod(step - 1, each)
    order = epoch_order(seed, epoch, np.ones(len(examples)))
    return [examples[i] for i in order[index * size : (index + 1) * size]]


class _Life:
    """From a checkpoint (or the beginning) to the end of the run or the first death of an actor."""

    def __init__(
        self,
        config: SFTRunConfig,
        run: RunDirectory,
        ready: Ready,
        data: SFTData,
        progress: RunProgress,
        stopping: Stopping,
        faults: Faults,
    ) -> None:
        self.faults = faults
        self.config, self.run, self.ready, self.data, self.progress = config, run, ready, data, progress
        self.metrics = run.writer()
        self.learner: SFTService
        self.refused = 0
        self.stopping = stopping

    async def run_all(self) -> None:
        e, steps = self.config.eval, self.run.steps
        with self.metrics:
            if self.run.resumed_step == 0 and e.at_start and not self.metrics.evaluated(0):
                await self._evaluate(0, self.ready)
            if self.run.resumed_step < steps:
                await self._train()
            last, checkpoint = next(iter(named(self.run.checkpoints)), (0, None))
            if e.at_end and checkpoint is not None and not self.stopping.asked and not self.metrics.evaluated(last):
                with contextlib.suppress(StopRequested):
                    await self._evaluate(last, replace(self.ready, model=checkpoint / POLICY, named=None))

    async def _train(self) -> None:
        c = self.config
        self.progress.phase("starting the learner")
        self.progress.message("starting the learner (half a minute on a small machine)")
        names = (f"learner-{rank}" for rank in range(c.learner.ranks))
        await within(c.ray.start_deadline_s, "the actors of an earlier life to end", free(*names))
        place = placement(c, gpus(), "learner")
        reservation = reserved(c, self.ready.model, place, "learner")
        self.learner = SFTService(
            self.ready.anywhere,
            c.policy_alone(len(self.data.train)),
            seed=c.run.seed,
            total_updates=self.run.steps,
            temperature=1.0,
            gpu_share=place.rank_gpus,
            options=reservation.rank,
        )
        try:
            await within(c.ray.start_deadline_s, "the learner to load its networks", self.learner.build())
            await self._restore()
            self.faults.back(LEARNER, SERVICES)
            self.progress.begin_steps()
            self.stopping.begin()
            for step in range(self.run.resumed_step + 1, self.run.steps + 1):
                await self._step(step)
                if step % c.run.checkpoint_every == 0 or step == self.run.steps or self.stopping.asked:
                    await self._checkpoint(step)
                if self.stopping.asked:
                    return self.stopping.over()
        finally:
            self.learner.close()
            reservation.release()

    async def _restore(self) -> None:
        if (checkpoint := self.run.checkpoint) is not None:
            self.progress.phase("loading the checkpoint")
            loading = self.learner.load(str(checkpoint.path))
            await within(self.config.ray.start_deadline_s, "the learner to load its checkpoint", loading)
            self.refused = checkpoint.state()["refused"]
        elif self.data.heldout and not any(VALIDATION in record for record in read_metrics(self.run.metrics_file)):
            self.metrics.write(0, await self._validate())

    async def _step(self, step: int) -> None:
        c, start = self.config, time.perf_counter()
        self.progress.phase("training")
        examples = batch(step, self.data.train, c.sft.batch_size, c.run.seed)
        training = self.learner.train(examples)
        metrics: dict[str, Any] = await within(c.ray.step_deadline_s, f"the learner to train step {step}", training)
        each = c.updates_per_epoch(len(self.data.train))
        metrics |= {"sft/epoch": step / each, "seconds/train": time.perf_counter() - start}
        if self.data.heldout and (step % (c.sft.validate_every or each) == 0 or step == self.run.steps):
            metrics |= await self._validate()
        self.metrics.write(step, metrics)
        self.progress.step(step, metrics)
        self._watch(bool(metrics["updates/refused"]))

    async def _validate(self) -> dict[str, float]:
        self.progress.phase("validating")
        start = time.perf_counter()
        validating = self.learner.validate(self.data.heldout)
        loss = await within(self.config.ray.step_deadline_s, "the learner to validate", validating)
        return {VALIDATION: loss, "seconds/validate": time.perf_counter() - start}

    def _watch(self, refused: bool) -> None:
        """Refused updates are counted; several in a row end the run."""
        self.refused = self.refused + 1 if refused else 0
        if self.refused >= self.config.learner.max_bad_steps:
            raise UserError(
                f"the gradient was not finite in {plural(self.refused, 'step')} in a row; the run stops here.\n"
                "Lower learner.policy.lr, or set learner.precision to fp32."
            )

    async def _checkpoint(self, step: int) -> None:
        self.progress.phase("writing a checkpoint")
        with told(self.run.path, step), CheckpointWriter(self.run.checkpoints, step, self.run.about()) as writer:
            saving = self.learner.save(str(writer.path))
            awaited = f"the learner to write the checkpoint of step {step}"
            writer.expect(await within(self.config.ray.start_deadline_s, awaited, saving))
            writer.write_state({"step": step, "refused": self.refused})
        prune(self.run.checkpoints, self.config.run.keep)
        self.run.sync()

    async def _evaluate(self, step: int, ready: Ready) -> None:
        self.progress.phase("evaluating")
        self.progress.message(
            f"evaluating, {plural(self.config.eval.samples, 'completion')} a problem: starting the engines"
        )
        programs = self.run.programs(step)
        evaluation = evaluate_model(self.config, ready, self.progress, programs)
        results = await self.stopping.beside(evaluation)
        self.metrics.write_evaluation(step, results)
        self.progress.evaluation(step, results)
