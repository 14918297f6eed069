"""Runs a study: its start model, then every run that is not done, seed by seed.

    study = Study(plan, launcher, print)
    code = study.run()        # 0: all done; 1: some failed or belong to another machine

A run is done when its own report says so, and nothing else is remembered: killed at any moment, the same command finds
what is done, and the runs' checkpoints say from where the others go on.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from stepcoder.deploy.checks.machine import processor
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.config.sft import SFTRunConfig
from stepcoder.deploy.run.checkpoint import POLICY, latest_complete
from stepcoder.deploy.run.listing import held
from stepcoder.deploy.run.lock import RunLock
from stepcoder.deploy.study.launch import Handle, Launcher
from stepcoder.deploy.study.plan import STUDY, Plan, Trial, named, words
from stepcoder.deploy.study.trials import done, foreign, minutes_left, progress
from stepcoder.errors import UserError
from stepcoder.files import write_whole
from stepcoder.words import duration, plural

START = "start"
POLL_S = 1.0
LINE_EVERY_S = 300.0
FAILURES = 2  # in a row: what makes them fail would fail the others too
FREE_S = 120.0  # until a run that a killed study left behind has written its checkpoint


class Study:
    def __init__(self, plan: Plan, launcher: Launcher, say: Callable[[str], None]) -> None:
        self.plan, self.launcher, self.say = plan, launcher, say
        self.failed: list[str] = []

    def run(self) -> int:
        """Everything that is left to do; the exit code."""
        self.plan.directory.mkdir(parents=True, exist_ok=True)
        lock = RunLock(self.plan.directory, "directory")
        try:
            write_whole(self.plan.directory / STUDY, yaml.safe_dump(self.plan.record(), sort_keys=False))
            model = self._start_model()
            self._runs(model)
        finally:
            lock.release()
        for name in self.failed:
            self.say(f"failed: {name}")
        return int(bool(self.failed) or any(not done(trial.path) for trial in self.plan.trials()))

    def _start_model(self) -> str | None:
        """The model that runs begin with: made here, once, where the plan says how."""
        if self.plan.sft is None:
            return self.plan.model
        made = start_model(self.plan)
        if made is None:
            directory = self.plan.directory / START
            self.say(f"start model: {self.plan.sft.name} (log: {directory}.log)")
            line = ["sft", "--config", named(self.plan.sft), "--run.directory", str(directory)]
            self._free(directory)
            handle = self.launcher.start(START, line, directory.with_name(f"{START}.log"))
            try:
                _, code = self._wait({START: (handle, directory)})
            finally:
                handle.stop()
            if code:
                raise UserError(f"the start model could not be made (exit code {code}): see {directory}.log")
            made = start_model(self.plan)
        if made is None:
            raise UserError(f"the start model is not there: {self.plan.directory / START} holds no complete checkpoint")
        return str(made)

    def _runs(self, model: str | None) -> None:
        trials = self.plan.trials()
        for trial in trials:
            if done(trial.path):
                self._tidy(trial)
        left = [trial for trial in trials if not done(trial.path)]
        self.say(f"{plural(len(trials), 'run')}, {len(trials) - len(left)} done{self._time_left(len(left))}")
        others = foreign(trials, processor()[0]) if self.launcher.here else {}
        in_a_row = 0
        running = dict[str, tuple[Handle, Path]]()
        known = {trial.name: trial for trial in trials}
        try:
            while left or running:
                while left and len(running) < self.launcher.at_once:
                    trial = left.pop(0)
                    if trial.seed in others:
                        self.failed.append(f"{trial.name}: this seed was begun on {others[trial.seed]}; go on there")
                        continue
                    running[trial.name] = (self._begin(trial, model), trial.path)
                if running:
                    name, code = self._wait(running)
                    del running[name]
                    in_a_row = 0 if self._ended(known[name], code, len(left) + len(running)) else in_a_row + 1
                    if in_a_row == FAILURES:
                        raise UserError(
                            f"{plural(FAILURES, 'run')} in a row failed; see\n  " + "\n  ".join(self.failed)
                        )
        finally:
            for handle, _ in running.values():
                handle.stop()

    def _begin(self, trial: Trial, model: str | None) -> Handle:
        trial.path.mkdir(parents=True, exist_ok=True)
        self._free(trial.path)
        found, budget = progress(trial.path), self.plan.budget.minutes
        line = self.plan.line(trial, model, None if budget is None else minutes_left(budget, found))
        on = f", on from step {found.steps}" if found.steps else ""
        self.say(f"{trial.name}{on} (log: {trial.log})")
        return self.launcher.start(f"{trial.arm.name}-{trial.seed}", line, trial.log)

    def _ended(self, trial: Trial, code: int, left: int) -> bool:
        """Whether it came to its end."""
        found = progress(trial.path)
        if code or found.state != "done":
            self.failed.append(f"{trial.name}: exit code {code}, see {trial.log}; the same command tries it again")
            self.say(f"{trial.name} failed, see {trial.log}")
            return False
        self._tidy(trial)
        did = f"{plural(found.steps, 'step')}, {found.tokens:,} tokens"
        self.say(f"{trial.name} done: {did}, {duration(found.seconds)}{self._time_left(left)}")
        return True

    def _tidy(self, trial: Trial) -> None:
        if not self.plan.keep_checkpoints:
            shutil.rmtree(trial.path / "checkpoints", ignore_errors=True)

    def _time_left(self, left: int) -> str:
        """What is left, as long as the runs that are done took on average."""
        taken = [progress(trial.path).seconds for trial in self.plan.trials() if done(trial.path)]
        if not left or not taken:
            return f"; {left} left" if left else ""
        each = sum(taken) / len(taken)
        rounds = -(-left // self.launcher.at_once)
        return f"; {left} left, about {duration(each * rounds)}"

    def _wait(self, running: dict[str, tuple[Handle, Path]]) -> tuple[str, int]:
        """Until one of them ends: its name and exit code. Says how far they are, now and then."""
        told = time.monotonic()
        while True:
            for name, (handle, _) in running.items():
                if (code := handle.poll()) is not None:
                    return name, code
            if time.monotonic() - told > LINE_EVERY_S:
                told = time.monotonic()
                for name, (_, path) in running.items():
                    self.say(f"  {name}: {self._how_far(path)}")
            time.sleep(POLL_S)

    def _how_far(self, path: Path) -> str:
        found, tokens = progress(path), self.plan.budget.tokens
        of = f" of {tokens:,}" if tokens is not None else ""
        return f"step {found.steps}, {found.tokens:,}{of} tokens, {duration(found.seconds)}"

    def _free(self, path: Path) -> None:
        """Wait for the driver of an earlier study that was killed: it writes its checkpoint and ends."""
        deadline = time.monotonic() + FREE_S
        while self.launcher.here and held(path):
            if time.monotonic() > deadline:
                raise UserError(
                    f"{path}: another driver is still writing there after {duration(FREE_S)}; stop it first"
                )
            time.sleep(POLL_S)


def start_model(plan: Plan) -> Path | None:
    """The policy that the fine-tuning of a study has made; None while it is not done."""
    directory = plan.directory / START
    if plan.sft is None or not done(directory):
        return None
    newest = latest_complete(directory / "checkpoints")
    return None if newest is None else newest.path / POLICY


def grace_s(plan: Plan) -> float:
    """The longest `run.grace_s` of the study's commands: how long one may take to write its checkpoint."""
    found = [load_config(plan.config, words(arm.settings), {}).run.grace_s for arm in plan.arms]
    found += [load_config(plan.sft, [], {}, root=SFTRunConfig).run.grace_s] if plan.sft else []
    return max(found)
