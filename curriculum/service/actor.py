"""The curriculum as a Ray actor: the same calls, one at a time, and a journal by which its death loses nothing.

The caller numbers the calls that change the curriculum, 1, 2, 3 ..., and makes one after the other. A call that is
made again under its number, because the answer was lost with the actor, is answered and not carried out twice. With
restarts and retries on, Ray does both by itself (`CurriculumClient` counts):

    actor = ray.remote(CurriculumActor).options(max_restarts=MAX_RESTARTS, max_task_retries=-1)
    client = CurriculumClient(actor.remote(problems, config, seed, fits, "run/curriculum.journal"))
"""

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from stepcoder.curriculum.config import CurriculumConfig
from stepcoder.curriculum.problems.problem import Problem
from stepcoder.curriculum.service.curriculum import Curriculum
from stepcoder.curriculum.service.journal import Journal
from stepcoder.curriculum.stages.courses import Fits
from stepcoder.curriculum.subtask import Outcome, Subtask

# An actor that dies this often will die again: then the run goes back to its checkpoint.
MAX_RESTARTS = 20


class CurriculumActor:
    """Holds one `Curriculum`, where its methods are documented. Without a journal it forgets all when it dies.

    With a journal it goes on from what the file says; the caller removes the file of an earlier life.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        config: CurriculumConfig,
        seed: int,
        fits: Fits | None = None,
        journal: str | None = None,
    ) -> None:
        self._curriculum = Curriculum(problems, config, seed, fits)
        self._calls = 0
        self._drawn: list[Subtask] = []  # the answer to the last call, when that was `next`
        self._journal = None if journal is None else Journal(Path(journal))
        for record in self._journal or ():
            self._replay(record)

    def ready(self) -> int:
        """Number of problems; answers once the actor is up."""
        return len(self._curriculum)

    def next(self, n: int, call: int | None = None) -> list[Subtask]:
        if not self._done(call):
            self._drawn = self._curriculum.next(n)
            self._note({"next": n})
        return self._drawn

    def report(self, outcomes: Iterable[Outcome], call: int | None = None) -> None:
        if not self._done(call):
            outcomes = list(outcomes)
            self._curriculum.report(outcomes)
            self._drawn = []
            self._note({"report": [astuple(outcome) for outcome in outcomes]})

    def prepare(self, n: int) -> None:
        self._curriculum.prepare(n)

    def subtask(self, ticket: int, problem_id: str, stage: int) -> Subtask:
        return self._curriculum.subtask(ticket, problem_id, stage)

    def state(self) -> dict[str, Any]:
        """Also cuts the journal: what came before is in the snapshot."""
        state = self._curriculum.state()
        self._snapshot(state)
        return state

    def load(self, state: dict[str, Any]) -> None:
        """The next call has number 1."""
        self._curriculum.load(state)
        self._calls, self._drawn = 0, []
        self._snapshot(state)

    def metrics(self) -> dict[str, float]:
        return self._curriculum.metrics()

    def histogram(self) -> dict[int, int]:
        return self._curriculum.histogram()

    def _done(self, call: int | None) -> bool:
        """Whether this call was carried out before. ValueError when calls are missing before it, or came after it."""
        if call is None or call == self._calls + 1:
            return False
        if call == self._calls:
            return True
        raise ValueError(f"curriculum call {call} after call {self._calls}: calls must be made one after the other")

    def _note(self, what: dict[str, Any]) -> None:
        self._calls += 1
        if self._journal is not None:
            self._journal.append({"call": self._calls, **what})

    def _snapshot(self, state: dict[str, Any]) -> None:
        if self._journal is not None:
            self._journal.restart({"call": self._calls, "state": state})

    def _replay(self, record: dict[str, Any]) -> None:
        self._drawn = []
        if "state" in record:
            self._curriculum.load(record["state"])
        elif "next" in record:
            self._drawn = self._curriculum.next(record["next"])
        else:
            self._curriculum.report(Outcome(*fields) for fields in record["report"])
        self._calls = record["call"]


def store(file: Path, problems: Sequence[Problem], fits: Fits | None) -> None:
    """Write what `StoredCurriculumActor` is made of."""
    file.write_bytes(pickle.dumps((tuple(problems), fits), pickle.HIGHEST_PROTOCOL))


class StoredCurriculumActor(CurriculumActor):
    """One whose large arguments are in a file of ours (`store`) for as long as it may be started anew.

    Ray has such arguments in its object store, and an actor that dies after they were lost there does not come back.
    """

    def __init__(self, origin: str, config: CurriculumConfig, seed: int, journal: str) -> None:
        problems, fits = pickle.loads(Path(origin).read_bytes())
        super().__init__(problems, config, seed, fits, journal)
