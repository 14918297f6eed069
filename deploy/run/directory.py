"""One run, one directory: everything a run writes and everything it needs to go on.

    config.yaml  metrics.jsonl  groups.jsonl  events.jsonl  faults.jsonl  problems.parquet  trajectories/*.parquet
    tensorboard/  checkpoints/step-*/  evaluations/*.jsonl  report.json  *.png

Opening it decides between a new run and going on with an old one, and holds the lock until `close()`. A directory is
only ever continued with the settings it was started with, those excepted that can't change what was already computed.
With a URI (s3://...) the run works in a local mirror; `sync()` copies what is new, a checkpoint's manifest last, so
that a checkpoint at the URI is complete or absent too.
"""

import atexit
import hashlib
import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from stepcoder.deploy.config.moved import flat, translated
from stepcoder.deploy.config.run import Config, RunConfig
from stepcoder.deploy.config.shared import BaseConfig
from stepcoder.deploy.config.sources import parse_kept, read_kept
from stepcoder.deploy.run.checkpoint import Checkpoint, best, latest_complete, load, named, prune, sweep
from stepcoder.deploy.run.exported import RayMetrics
from stepcoder.deploy.run.faults import FAULTS
from stepcoder.deploy.run.lock import RunLock
from stepcoder.deploy.run.manifest import ManifestError
from stepcoder.deploy.run.metrics import METRICS, MetricsWriter, read_metrics, scores, tokens_generated
from stepcoder.deploy.run.programs import programs_file
from stepcoder.deploy.run.remote import connect, fetch, fetch_names, pull, push
from stepcoder.deploy.run.settings import FORMATS, best_metric, differences
from stepcoder.errors import UserError, disk_fault, mended
from stepcoder.files import read_text, write_whole
from stepcoder.words import plural

CONFIG = "config.yaml"
EVENTS = "events.jsonl"


def _comments(text: str) -> str:
    """The lines of comment at the head of a file."""
    return "".join(itertools.takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))


def kept_settings(directory: str) -> dict[str, Any] | None:
    """The settings that the run in `directory` began with; None where there is none yet."""
    try:
        if "://" not in directory:
            return read_kept(local_part(directory) / CONFIG) or None
        system, root = connect(directory)
        raw = system.cat_file(f"{root}/{CONFIG}")
    except OSError:
        return None
    return parse_kept(raw.decode(errors="replace"), f"{directory}/{CONFIG}") or None


def local_part(directory: str) -> Path:
    """The local directory a run works in: the path itself, or a URI's mirror in the temporary directory."""
    if "://" not in directory:
        return Path(directory).expanduser().absolute()
    name = hashlib.sha256(directory.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"stepcoder-run-{os.getuid()}-{name}"


class RunDirectory:
    """The open directory of one run. `checkpoint` is the newest complete one, None for a new run.

    Make it with `RunDirectory.open(config)`; use it as a context manager or call `close()`.
    """

    def __init__(
        self, path: Path, uri: str | None, lock: RunLock, config: BaseConfig, notes: Sequence[str], steps: int
    ) -> None:
        self.path = path
        self.uri = uri
        self._lock = lock
        self.config = config
        self.notes = notes
        self.steps = steps
        self.checkpoint: Checkpoint | None = None
        self.messages: list[str] = []  # what a person should know about how the run was opened

    @classmethod
    def open(cls, config: BaseConfig, notes: Sequence[str] = (), steps: int | None = None) -> Self:
        """A run of `steps` steps, those of `config.run` unless told.

        Raises UserError when it can't be written, is in use, or was started with other settings.

        `notes` head the file of settings, as comments; without any it keeps those it has, as long as the number
        formats are those that they explain.
        """
        directory = config.run.directory
        path = local_part(directory)
        try:
            make_directory(path, mirror="://" in directory)
            lock = RunLock(path)
        except OSError as error:
            raise unwritable(path, error) from None
        try:
            length = config.run.steps if isinstance(config, Config) else steps
            assert length is not None, "a run needs its length"
            run = cls(path, directory if "://" in directory else None, lock, config, notes, length)
            run._open()
        except BaseException:
            lock.release()
            raise
        return run

    def _open(self) -> None:
        if self._lock.took_over_from is not None:
            self._say(f"the driver that wrote here before (process {self._lock.took_over_from}) ended without a word")
        if self.uri is not None:
            pull(self.path, self.uri)
        for folder in (self.checkpoints, self.trajectories):
            folder.mkdir(exist_ok=True)
        sweep(self.checkpoints)
        settings = self.config.settings()
        file = self.path / CONFIG
        notes = "".join(f"# {note}\n" for note in self.notes)
        old = read_text(file) if file.is_file() else ""
        kept = parse_kept(old, file)
        before = translated(kept, type(self.config))
        if all(before.get(key) == flat(settings).get(key) for key in FORMATS):
            notes = notes or _comments(old)
        if self._begun():
            refuse_others(kept, self.config)
        write_whole(file, notes + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
        self.checkpoint = latest_complete(self.checkpoints)
        if self.checkpoint is None:
            self._refuse_to_overwrite()
        if self.checkpoint is not None and not self.finished:
            self._say(f"going on from the checkpoint of step {self.checkpoint.step} of {self.steps}")
        elif self.checkpoint is not None:
            length, done = self.config.length, f"all {plural(self.steps, 'step is', 'steps are')} done"
            if self.tokens_spent:
                length, done = "run.max_tokens", "as many tokens are generated as run.max_tokens allows"
            self._say(f"{done}; raise {length} to go on", False)
        elif self._begun():
            self._say("no complete checkpoint was left: starting from the first step")

    def _refuse_to_overwrite(self) -> None:
        """A run whose checkpoints are all damaged is not begun again over what is left of it."""
        for step, path in named(self.checkpoints):
            try:
                load(path)
            except (ManifestError, OSError) as error:
                raise UserError(
                    f"run.directory: no checkpoint in {self.checkpoints} is complete; step {step}: {error}.\n"
                    "Give another --run.directory, or move that folder away to begin again at the first step."
                ) from None

    def _begun(self) -> bool:
        return begun(str(self.path))

    def _say(self, message: str, noted: bool = True) -> None:
        self.messages.append(message)
        if noted:
            self.note(message)

    @property
    def place(self) -> str:
        """What the run is called: its URI or path."""
        return self.uri or str(self.path)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def trajectories(self) -> Path:
        return self.path / "trajectories"

    def programs(self, step: int) -> Path | None:
        """Where every program of the evaluation after `step` steps is kept, if they are."""
        return programs_file(self.path, step) if self.config.eval.programs else None

    @property
    def journal(self) -> Path:
        """What the curriculum did since the last checkpoint, of this life of the services alone."""
        return self.path / ".curriculum.journal"

    @property
    def metrics_file(self) -> Path:
        return self.path / METRICS

    @property
    def faults_file(self) -> Path:
        return self.path / FAULTS

    @property
    def resumed_step(self) -> int:
        """Steps already done; 0 for a new run."""
        return self.checkpoint.step if self.checkpoint is not None else 0

    @property
    def tokens_spent(self) -> bool:
        """Whether the steps up to the checkpoint generated `run.max_tokens`."""
        limit = self.config.run.max_tokens if isinstance(self.config.run, RunConfig) else None
        return limit is not None and tokens_generated(read_metrics(self.metrics_file), self.resumed_step) >= limit

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: all steps, and the evaluation after the last one."""
        last = self.resumed_step
        if last < self.steps and not self.tokens_spent:
            return False
        evaluated = any(record["step"] == last and "eval" in record for record in read_metrics(self.metrics_file))
        return evaluated or not self.config.eval.at_end

    def writer(self) -> MetricsWriter:
        """For the run's numbers, from the steps that are done on."""
        r = self.config.run
        about = {"place": self.place, "project": r.project, "settings": flat(self.config.settings())}
        return MetricsWriter(self.path, self.resumed_step, RayMetrics(self.place).record, r.loggers, about)

    def note(self, text: str) -> None:
        """What happened to the run beside its steps, such as a restart, as a line of events.jsonl."""
        with (self.path / EVENTS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": time.time(), "step": self.resumed_step, "text": text}) + "\n")

    def about(self) -> dict[str, Any]:
        """What a checkpoint's manifest says of the run that wrote it."""
        return {"wrote": "stepcoder", "config": self.config.digest(), "run": self.place}

    def tidy(self) -> None:
        """After a checkpoint: delete those that are neither among the newest `run.keep` nor the best `run.keep_best`,
        and copy what is new to the run's URI."""
        r, spared = self.config.run, []
        if isinstance(r, RunConfig):
            found = scores(self.metrics_file, best_metric(self.config.settings()), r.checkpoint_every)
            spared = best(self.checkpoints, found, r.keep_best)
        prune(self.checkpoints, r.keep, spared)
        self.sync()

    def close(self) -> None:
        self.sync()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        fault = None if isinstance(error, UserError) else disk_fault(error)
        if fault is not None:
            self._lock.release()
            room = f"Make room in {self.path}, and in /tmp, where Ray writes,"
            raise UserError(
                f"run.directory: {fault}. {mended(fault, room)} and give the same command again."
            ) from error
        self.close()

    def sync(self) -> None:
        """Copy new and changed files to the run's URI and drop deleted checkpoints there; nothing for a local run."""
        if self.uri is not None:
            push(self.path, self.uri)


def begun(directory: str) -> bool:
    """Whether a path or URI holds a run with something to lose: a step's numbers or a checkpoint."""
    if "://" in directory:
        return any(name == METRICS or name.startswith("checkpoints/step-") for name in fetch_names(directory))
    path = local_part(directory)
    return any((path / "checkpoints").glob("step-*")) or any(True for _ in read_metrics(path / METRICS))


def goes_on(directory: str) -> str:
    """What the same command does after a run that is stopped now."""
    for step, _ in named(local_part(directory) / "checkpoints"):
        return f"the same command goes on from the checkpoint of step {step}"
    return "there is no checkpoint yet: the same command begins at the first step"


def refuse_others(before: dict[str, Any], config: BaseConfig, asked: str = "") -> None:
    """Raise UserError where a run that began with the settings `before` can't go on with those of `config`.

    `asked`: what named it, where that was not run.directory.
    """
    place = asked or f"run.directory: {config.run.directory}"
    if not before:
        raise UserError(
            f"{place} holds a run without its settings ({CONFIG}), as a copy in part does.\n"
            "Copy that file there too, or give another --run.directory for a new run."
        )
    if changed := differences(translated(before, type(config)), config.settings()):
        listed = "\n  ".join(changed)
        raise UserError(
            f"{place} holds a run with other settings:\n  {listed}\n"
            "Set them back to go on with it, or give another --run.directory for a new run."
        )


def fetch_checkpoints(directory: str) -> Path:
    """The checkpoints folder of a run, for reading only, its settings and metrics beside it; load with `fetched`.

    A URI's settings and metrics are copied to a temporary directory that goes when this process ends.
    """
    if "://" not in directory:
        return local_part(directory) / "checkpoints"
    copy = Path(tempfile.mkdtemp(prefix="stepcoder-checkpoints-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    for name in fetch_names(directory):
        if name.startswith("checkpoints/") and name.count("/") > 1:
            (copy / "checkpoints" / name.split("/")[1]).mkdir(parents=True, exist_ok=True)
    fetch(directory, copy, lambda name: name in (CONFIG, METRICS))
    return copy / "checkpoints"


def fetched(directory: str, path: Path) -> Checkpoint:
    """One checkpoint of `fetch_checkpoints`, a URI's copied first; raises ManifestError unless it is complete."""
    if "://" in directory:
        fetch(directory, path.parent.parent, lambda name: name.startswith(f"checkpoints/{path.name}/"))
    return load(path)


def check_writable(directory: str) -> None:
    """Raise UserError unless a run can be written there; leaves nothing behind."""
    if "://" in directory:
        connect(directory)
        return
    path = nearest = local_part(directory)
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise unwritable(path, error) from None


def make_directory(path: Path, mirror: bool) -> None:
    """A mirror has a name that others can guess, in a place where anyone may write: it must be ours alone."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700 if mirror else 0o777)
    if mirror and path.stat().st_uid != os.getuid():
        raise UserError(f"run.directory: its mirror {path} belongs to someone else. Remove it or set TMPDIR.")


def unwritable(path: Path, error: OSError) -> UserError:
    advice = mended(error, "make room there") if disk_fault(error) else "change its rights"
    return UserError(
        f"run.directory: can't write to {path} ({error.strerror or error}). Give another --run.directory or {advice}."
    )
