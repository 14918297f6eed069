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
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float64

from stepcoder.curriculum.config import Courses, CurriculumConfig, Learnability, Levels
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.stages.course_table import CourseTable
from stepcoder.curriculum.stages.courses import Fits
from stepcoder.curriculum.stages.progress import TOO_LONG, UNPARSABLE
from stepcoder.curriculum.stages.sampling import by_level, epoch_order, learnability
from stepcoder.curriculum.stages.schedules import Move, make_schedule
from stepcoder.curriculum.subtask import Outcome, Subtask

logger = logging.getLogger(__name__)

_FORMAT = 2
# Draws whose courses are worked out before anybody waits for them: a step of 1,000 subtasks and some that are too long.
AHEAD = 1_500


class Curriculum:
    """Draws problems epoch by epoch without replacement and keeps each one's start point.

    A problem may be handed out again before its outcome came back. Courses are worked out for the next draws when
    it is made or loaded and by `prepare`, for other problems when they are first drawn, and for all problems at once by
    the sampling `courses` alone. A problem whose prompt is too long even without a prefix is never handed out. Not
    thread-safe.
    """

    def __init__(
        self, problems: Iterable[Problem], config: CurriculumConfig, seed: int, fits: Fits | None = None
    ) -> None:
        self.config = config
        self.seed = seed
        self._problems = sorted(problems, key=lambda problem: problem.id)
        self._unsolved = sum(not problem.solution.strip() for problem in problems)
        self._index = {problem.id: i for i, problem in enumerate(self._problems)}
        if not self._problems:
            raise ValueError("a curriculum needs at least one problem; got none")
        if len(self._index) != len(self._problems):
            twice = next(a.id for a, b in zip(self._problems, self._problems[1:], strict=False) if a.id == b.id)
            raise ValueError(
                f"problem id {twice!r} occurs more than once; a run's state is keyed by ids, make them unique"
            )
        digest = hashlib.sha256()
        for problem in self._problems:
            digest.update(problem.id.encode() + b"\0")
        self._fingerprint = digest.hexdigest()
        self._table = CourseTable(self._problems, config.reading, config.conditionals, fits)
        self._schedule = make_schedule(config, seed, len(self._problems))
        self._ticket = self._epoch = self._position = 0
        self._moves: dict[Move, int] = {"stay": 0, "rate": 0, "cap": 0, "back": 0, "stale": 0}
        self._begin_epoch(self._expected())
        self.prepare(AHEAD)

    def __len__(self) -> int:
        return len(self._problems)

    def next(self, n: int) -> list[Subtask]:
        """The next `n` subtasks. Raises ValueError when no problem's prompt fits."""
        indices = np.array([self._draw() for _ in range(n)], np.int64)
        tickets = np.arange(self._ticket, self._ticket + n)
        self._ticket += n
        drawn = zip(tickets.tolist(), indices.tolist(), self._schedule.next(indices, tickets).tolist(), strict=True)
        return [Subtask(ticket, self._problems[i], stage, self._table.prefix(i, stage)) for ticket, i, stage in drawn]

    def prepare(self, n: int) -> None:
        """Work out the courses of the next `n` draws of this epoch, so that `next` finds them; changes nothing else."""
        for index in self._order[self._position : self._position + n]:
            self._table.top(int(index))

    def subtask(self, ticket: int, problem_id: str, stage: int) -> Subtask:
        """A subtask that was handed out before, to issue it again after a restart. KeyError for an unknown id."""
        index = self._index[problem_id]
        stage = max(min(stage, self._table.top(index)), 0)
        return Subtask(ticket, self._problems[index], stage, self._table.prefix(index, stage))

    def report(self, outcomes: Iterable[Outcome]) -> None:
        """Take in outcomes, in order. Those of a stage that was left, or of unknown problems, are only counted.

        Raises ValueError for numbers that cannot be, before any of the outcomes counts.
        """
        outcomes = list(outcomes)
        for outcome in outcomes:
            if not 0 <= outcome.passed <= outcome.total or outcome.total == 0:
                raise ValueError(f"{outcome}: need 0 <= passed <= total and total > 0")
        for outcome in outcomes:
            index = self._index.get(outcome.problem_id)
            move: Move = "stale"
            if index is not None and self._meet(index) != TOO_LONG:
                move = self._schedule.observe(index, outcome.stage, outcome.passed / outcome.total)
            self._moves[move] += 1

    def state(self) -> dict[str, Any]:
        """All that the future depends on besides problems, configuration and seed; JSON-able.

        `problems` maps an id to [stage, rate, visits, top, back] (see `Progress`), for problems met.
        """
        state = {
            "format": _FORMAT,
            "ticket": self._ticket,
            "epoch": self._epoch,
            "position": self._position,
            "problem_set": self._fingerprint,
            "moves": dict(self._moves),
            "problems": {self._problems[index].id: list(row) for index, row in self._schedule.state()},
        }
        if isinstance(self.config.sampling, Learnability):  # the one sampling that cannot be worked out anew
            state["expected"] = self._epoch_expected.tolist()
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state()`: with the same problems (in any order), configuration and seed, exactly.

        With other problems: what is known of those still present is kept, removed ones are forgotten, new ones start
        at their first course, and a new epoch begins, since places in the old one mean nothing any more. A stage
        above a problem's present number of courses counts as its first course. Raises ValueError for another format.
        """
        if state.get("format") != _FORMAT:
            raise ValueError(f"curriculum state: format {state.get('format')!r}, expected {_FORMAT}; start a new run")
        known = [(self._index[id_], tuple(row)) for id_, row in state["problems"].items() if id_ in self._index]
        self._schedule.load(known)
        self._ticket, self._epoch, self._position = state["ticket"], state["epoch"], state["position"]
        self._moves = dict(state["moves"])
        if state["problem_set"] == self._fingerprint:
            expected = state.get("expected")
            self._begin_epoch(self._expected() if expected is None else np.array(expected, np.float64))
        else:
            missing = len(state["problems"]) - len(known)
            logger.warning("the set of problems changed: a new epoch begins; %d known problems are gone", missing)
            self._epoch, self._position = self._epoch + 1, 0
            self._begin_epoch(self._expected())
        self.prepare(AHEAD)

    def metrics(self) -> dict[str, float]:
        """Means over the problems met so far that can be drawn, and counts since the run began.

        stage_fraction: 1 when all are at their first course, 0 when all are at full generation; pass_rate: the moving
        rate at the present stage, 0 just after a move.
        """
        top, moves = self._schedule.progress.top, self._moves
        found = {
            **self._schedule.metrics(self._ticket),
            "moves": moves["rate"] + moves["cap"],
            "moves_by_cap": moves["cap"],
            "steps_back": moves["back"],
            "stale_outcomes": moves["stale"],
            "epoch": self._epoch,
            "subtasks": self._ticket,
            "problems_met": self._schedule.progress.met().sum(),
            "unsolved_problems": self._unsolved,
            "unparsable_solutions": (top == UNPARSABLE).sum(),
            "too_long_problems": (top == TOO_LONG).sum(),
        }
        return {f"curriculum/{name}": float(value) for name, value in found.items()}

    def histogram(self) -> dict[int, int]:
        """Number of problems met at each stage (0: full generation), ascending; as they would be drawn now."""
        return self._schedule.histogram(self._ticket)

    def _draw(self) -> int:
        """Index of the next problem that fits."""
        skipped = 0
        while skipped <= 2 * len(self._problems):
            if self._position >= len(self._order):
                skipped += not len(self._order)
                self._epoch, self._position = self._epoch + 1, 0
                self._begin_epoch(self._expected())
                continue
            index = int(self._order[self._position])
            self._position += 1
            if self._meet(index) != TOO_LONG:
                return index
            skipped += 1
        raise ValueError(
            f"no problem's prompt fits: all {len(self._problems)} are too long even without a prefix; "
            "raise prompt.max_prompt_tokens"
        )

    def _meet(self, index: int) -> int:
        """From here on the problem counts in state and metrics; its highest stage."""
        top = self._table.top(index)
        self._schedule.progress.top[index] = top
        return top

    def _begin_epoch(self, expected: Float64[np.ndarray, " N"]) -> None:
        self._epoch_expected = expected
        self._order = epoch_order(self.seed, self._epoch, expected)

    def _expected(self) -> Float64[np.ndarray, " N"]:
        """How often each problem is drawn in an epoch that begins now, on average."""
        match rule := self.config.sampling:
            case Courses():
                return np.where(self._table.tops() == TOO_LONG, 0, np.maximum(self._table.tops(), 0) + 1.0)
            case Levels():
                return by_level(self._problems, rule)
            case Learnability():
                progress = self._schedule.progress
                return learnability(progress.rate, progress.visits, self.config.alpha, rule.floor)
        return np.ones(len(self._problems), np.float64)
