"""What the page of one completion shows. Pure over what `Run` reads; the report and the terminal show the same."""

import math
from dataclasses import dataclass
from typing import Any

from stepcoder.deploy.view.addresses import NotFound, Place
from stepcoder.deploy.view.program import Listing, listing, used
from stepcoder.deploy.view.run import Run
from stepcoder.deploy.view.trajectories import Brief

_PER_TOKEN = ("sampler_logprobs", "learner_logprobs", "reference_logprobs", "values", "advantages")
_TEXT = 20_000  # characters of a prompt or a response that are shown
_TOKENS = 50_000


@dataclass(frozen=True, slots=True)
class View:
    """One completion. `group`: all of its subtask; `before`, `after`: the first completions of the groups beside it.

    `others`: the first completion of the same problem's other visits, by step. `lacks`: what its file does not say.
    """

    place: Place
    row: dict[str, Any]
    listing: Listing
    group: list[Brief]
    before: Brief | None
    after: Brief | None
    others: list[tuple[int, int]]
    statement: str
    solution: str
    lacks: list[str]

    @property
    def problem(self) -> str:
        return str(self.row.get("problem_id"))

    def text(self, name: str) -> str:
        whole = str(self.row.get(name) or "")
        return whole if len(whole) <= _TEXT else f"{whole[:_TEXT]}\n... ({len(whole):,} characters)"

    def tokens(self) -> dict[str, Any]:
        """Per response token, for the page's script; null where a file or a network lacks it."""
        found: dict[str, Any] = {name: _numbers(self.row.get(name)) for name in _PER_TOKEN}
        found["used"] = _numbers(used(self.row))
        for name in ("executed", "credit"):
            values = self.row.get(name)
            found[name] = None if values is None else [bool(value) for value in values[:_TOKENS]]
        return found


def view(run: Run, place: Place) -> View:
    """NotFound where there is no such completion."""
    row = run.trajectories.one(place.step, place.ticket, place.sample)
    if row is None:
        raise NotFound(
            f"there is no completion {place.sample} of group {place.ticket} in step {place.step} of this run"
        )
    briefs = run.trajectories.briefs(place.step)
    firsts = list({brief.ticket: brief for brief in reversed(briefs)}.values())[::-1]
    at = next(n for n, brief in enumerate(firsts) if brief.ticket == place.ticket)
    problem = str(row.get("problem_id"))
    kept = set(run.trajectories.steps())
    visits = [(g.step, g.ticket) for g in run.groups() if g.problem == problem and g.step in kept]
    lacks = []
    if row.get("tests") is None:
        lacks.append("its file is of an earlier version: what each test gave, and where each token is, is not known")
    if not row.get("trained"):
        lacks.append("the loss did not see it: its group was left out")
    if row.get("coverage_trusted") is False:
        lacks.append("which lines ran is not known: the program touched its coverage, or is too long")
    statement, solution = run.statement(problem)
    return View(
        place, row, listing(row), [b for b in briefs if b.ticket == place.ticket],
        firsts[at - 1] if at else None, firsts[at + 1] if at + 1 < len(firsts) else None,
        [visit for visit in visits if visit != (place.step, place.ticket)], statement, solution, lacks,
    )  # fmt: skip


def _numbers(values: Any) -> list[float | None] | None:
    if values is None:
        return None
    return [None if v is None or not math.isfinite(v) else float(f"{v:.5g}") for v in values[:_TOKENS]]
