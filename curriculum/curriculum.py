"""What should be tried next, and from where: problems in, subtasks out, outcomes back.

The seed, the configuration and `state()` decide every future subtask; nothing else does. Problems are held
in the order of their ids, and all that is known of one is kept under its id, so that neither shuffling
the file nor adding or removing problems can attach it to another.

    curriculum = Curriculum(problems, config, seed=0, fits=prompter.fits)
    subtasks = curriculum.next(8)
    curriculum.report([Outcome(s.ticket, s.problem.id, s.stage, passed=3, total=8) for s in subtasks])
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from curriculum.conditionals import parse
from curriculum.config import CurriculumConfig
from curriculum.courses import Course, Fits, courses
from curriculum.problem import Problem
from curriculum.sampling import epoch_order
from curriculum.schedules import Move, Progress, make_schedule
from curriculum.subtask import Outcome, Subtask

logger = logging.getLogger(__name__)

_FORMAT = 1
_CACHED_PROBLEMS = 16_384

# Values of `_top` below 0, where the highest stage of a problem is not a number.
_UNKNOWN, _TOO_LONG = -1, -2


class Curriculum:
    """Draws problems epoch by epoch without replacement and keeps each one's start point.

    A problem may be handed out again before its outcome came back. Courses are worked out when a problem is
    first drawn (0.2 ms for a short solution), for all problems at once by `metrics()`, `histogram()` and the
    sampling `courses`; only their number is kept for every problem. A problem whose prompt is too
    long even without a prefix is never drawn. Not thread-safe.
    """

    def __init__(
        self, problems: Iterable[Problem], config: CurriculumConfig, seed: int, fits: Fits | None = None
    ) -> None:
        self.config = config
        self.seed = seed
        self._fits = fits
        self._problems = sorted(problems, key=lambda problem: problem.id)
        self._index = {problem.id: i for i, problem in enumerate(self._problems)}
        if not self._problems:
            raise ValueError("a curriculum needs at least one problem; got none")
        if len(self._index) != len(self._problems):
            twice = next(a.id for a, b in zip(self._problems, self._problems[1:], strict=False) if a.id == b.id)
            raise ValueError(
                f"problem id {twice!r} occurs more than once; a run's state is keyed by ids, make them unique"
            )
        self._schedule = make_schedule(config, seed)
        self._progress = Progress(len(self._problems))
        self._top = np.full(len(self._problems), _UNKNOWN, np.int16)
        self._unparsable = np.zeros(len(self._problems), np.bool_)
        self._courses = lru_cache(_CACHED_PROBLEMS)(self._work_out)
        self._ticket = 0
        self._epoch = 0
        self._position = 0
        self._order: tuple[int, np.ndarray] | None = None
        self._moves: dict[Move, int] = {"stay": 0, "rate": 0, "cap": 0, "stale": 0}

    def __len__(self) -> int:
        return len(self._problems)

    def next(self, n: int) -> list[Subtask]:
        """The next `n` subtasks. Raises ValueError when no problem's prompt fits."""
        return [self._subtask(self._draw()) for _ in range(n)]

    def subtask(self, ticket: int, problem_id: str, stage: int) -> Subtask:
        """A subtask that was handed out before, to issue it again after a restart. KeyError for an unknown id."""
        index = self._index[problem_id]
        stage = max(min(stage, self._stages(index)), 0)
        return Subtask(ticket, self._problems[index], stage, self._prefix(index, stage))

    def report(self, outcomes: Iterable[Outcome]) -> None:
        """Take in outcomes, in order. Those of a stage that was left, or of unknown problems, are only counted."""
        for outcome in outcomes:
            if not 0 <= outcome.passed <= outcome.total or outcome.total == 0:
                raise ValueError(f"{outcome}: need 0 <= passed <= total and total > 0")
            index = self._index.get(outcome.problem_id)
            move: Move = "stale"
            if index is not None and (top := self._stages(index)) >= 0:
                share = outcome.passed / outcome.total
                move = self._schedule.observe(self._progress, index, top, outcome.stage, share)
            self._moves[move] += 1

    def state(self) -> dict[str, Any]:
        """All that the future depends on besides problems, configuration and seed; JSON-able.

        `problems` maps an id to [stage, rate, visits], for problems with at least one outcome.
        """
        progress = self._progress
        known = np.flatnonzero((progress.stage >= 0) | (progress.visits > 0))
        columns = (column[known].tolist() for column in (progress.stage, progress.rate, progress.visits))
        ids = (self._problems[i].id for i in known)
        return {
            "format": _FORMAT,
            "ticket": self._ticket,
            "epoch": self._epoch,
            "position": self._position,
            "problem_set": self._fingerprint(),
            "moves": dict(self._moves),
            "problems": {id_: values for id_, *values in zip(ids, *columns, strict=True)},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state()`: with the same problems (in any order), configuration and seed, exactly.

        With other problems: what is known of those still present is kept, removed ones are forgotten, new ones start
        at their first course, and a new epoch begins, since places in the old one mean nothing any more. A stage
        above a problem's present number of courses counts as its first course. Raises ValueError for another format.
        """
        if state.get("format") != _FORMAT:
            raise ValueError(f"curriculum state: format {state.get('format')!r}, expected {_FORMAT}; start a new run")
        self._progress = Progress(len(self._problems))
        missing = 0
        for id_, (stage, rate, visits) in state["problems"].items():
            if id_ in self._index:
                self._progress.set(self._index[id_], stage, rate, visits)
            else:
                missing += 1
        self._ticket, self._epoch, self._position = state["ticket"], state["epoch"], state["position"]
        self._moves = dict(state["moves"])
        if state["problem_set"] != self._fingerprint():
            self._epoch, self._position = self._epoch + 1, 0
            logger.warning("the set of problems changed: a new epoch begins; %d known problems are gone", missing)

    def metrics(self) -> dict[str, float]:
        """Means over the problems that can be drawn, and counts since the run began.

        stage_fraction: 1 when all are at their first course, 0 when all are at full generation; pass_rate: the moving
        rate at the present stage, 0 just after a move.
        """
        tops, stages = self._all_stages()
        rates = self._progress.rate[self._drawable()]
        return {
            "curriculum/stage_fraction": float(np.mean(stages / np.maximum(tops, 1))) if len(tops) else 0.0,
            "curriculum/full_generation_share": float(np.mean(stages == 0)) if len(tops) else 0.0,
            "curriculum/pass_rate": float(np.mean(rates)) if len(tops) else 0.0,
            "curriculum/moves": float(self._moves["rate"] + self._moves["cap"]),
            "curriculum/moves_by_cap": float(self._moves["cap"]),
            "curriculum/stale_outcomes": float(self._moves["stale"]),
            "curriculum/epoch": float(self._epoch),
            "curriculum/subtasks": float(self._ticket),
            "curriculum/unparsable_solutions": float(self._unparsable.sum()),
            "curriculum/too_long_problems": float((self._top == _TOO_LONG).sum()),
        }

    def histogram(self) -> dict[int, int]:
        """Number of problems at each stage (0: full generation), ascending; at the stage that would be drawn now."""
        return dict(sorted(Counter(self._all_stages()[1].tolist()).items()))

    def _draw(self) -> int:
        """Index of the next problem that fits."""
        skipped = 0
        while skipped <= 2 * len(self._problems):
            order = self._epoch_order()
            if self._position >= len(order):
                self._epoch, self._position = self._epoch + 1, 0
                skipped += not len(order)
                continue
            index = int(order[self._position])
            self._position += 1
            if self._stages(index) >= 0:
                return index
            skipped += 1
        raise ValueError(
            f"no problem's prompt fits: all {len(self._problems)} are too long even without a prefix; "
            "raise prompt.max_prompt_tokens"
        )

    def _epoch_order(self) -> np.ndarray:
        if self._order is None or self._order[0] != self._epoch:
            copies = np.ones(len(self._problems), np.int64)
            if self.config.sampling == "courses":
                copies = np.maximum(self._all_tops(), -1).astype(np.int64) + 1
            self._order = self._epoch, epoch_order(self.seed, self._epoch, copies)
        return self._order[1]

    def _subtask(self, index: int) -> Subtask:
        ticket = self._ticket
        self._ticket += 1
        stage = self._schedule.stage(self._progress, index, self._stages(index), ticket)
        return Subtask(ticket, self._problems[index], stage, self._prefix(index, stage))

    def _prefix(self, index: int, stage: int) -> str:
        return "" if stage == 0 else self._courses(index)[-1 - stage].prefix

    def _stages(self, index: int) -> int:
        """The highest stage of a problem; below 0 when it is too long to be drawn."""
        if self._top[index] == _UNKNOWN:
            self._courses(index)
        return int(self._top[index])

    def _work_out(self, index: int) -> tuple[Course, ...]:
        """Courses of a problem, noting their number; called through the cache `_courses`."""
        problem = self._problems[index]
        found = courses(problem, self.config.reading, self.config.conditionals, self._fits)
        too_long = len(found) == 1 and self._fits is not None and not self._fits(problem, "")
        self._top[index] = _TOO_LONG if too_long else len(found) - 1
        self._unparsable[index] = len(found) == 1 and parse(problem.solution) is None
        return found

    def _all_tops(self) -> np.ndarray:
        for index in np.flatnonzero(self._top == _UNKNOWN):
            self._stages(int(index))
        return self._top

    def _drawable(self) -> np.ndarray:
        return np.flatnonzero(self._all_tops() >= 0)

    def _all_stages(self) -> tuple[np.ndarray, np.ndarray]:
        """Highest and present stage of every problem that can be drawn."""
        drawable = self._drawable()
        tops = self._top[drawable]
        now = [
            self._schedule.stage(self._progress, int(i), int(top), self._ticket)
            for i, top in zip(drawable, tops, strict=True)
        ]
        return tops, np.array(now, np.int32)

    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for problem in self._problems:
            digest.update(problem.id.encode() + b"\0")
        return digest.hexdigest()
