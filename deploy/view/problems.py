"""The problems of a run: how far each is, and where its start point was over time. Pure over what `Run` reads."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from stepcoder.deploy.view import addresses
from stepcoder.deploy.view.arms import shares
from stepcoder.deploy.view.run import Group, Run

COLUMNS = 120  # of the heat map, at most
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Standing:
    """A problem as the last groups have it. `stages`: the highest stage that it was tried at.

    `rate` is the share that passed at the present stage, `evaluated` that of the last evaluation at full generation.
    `heat` has a character a column of the heat map: the stage, or a blank where it was not tried.
    """

    id: str
    level: str
    conditionals: int | None
    stages: int
    stage: int
    rate: float
    visits: int
    evaluated: float | None
    last: Group
    heat: str


def standings(run: Run) -> list[Standing]:
    """Every problem that was tried, in the order of the first try."""
    tried: dict[str, list[Group]] = defaultdict(list)
    for group in run.groups():
        tried[group.problem].append(group)
    last = max((groups[-1].step for groups in tried.values()), default=1)
    width = min(last, COLUMNS)
    known, evaluated = run.known(), _evaluated(run)
    found = []
    for problem, groups in tried.items():
        stage, about = groups[-1].stage, known.get(problem)
        here = [group for group in groups if group.stage == stage]
        rate = sum(group.passed for group in here) / sum(group.total for group in here)
        found.append(
            Standing(
                problem,
                about.level if about else "",
                about.conditionals if about else None,
                max(group.stage for group in groups),
                stage,
                rate,
                len(groups),
                evaluated.get(problem),
                groups[-1],
                _heat(groups, width, last),
            )  # fmt: skip
        )
    return found


def _heat(groups: list[Group], width: int, last: int) -> str:
    cells = [" "] * width
    for group in groups:
        cells[min((group.step - 1) * width // last, width - 1)] = _DIGITS[min(max(group.stage, 0), len(_DIGITS) - 1)]
    return "".join(cells)


def _evaluated(run: Run) -> dict[str, float]:
    """Problem -> share of the last evaluation that has it."""
    found: dict[str, float] = {}
    for results in run.evaluations().values():
        found |= shares(results[-1][1])
    return found


def table(run: Run, address: Any) -> dict[str, Any]:
    """For the page's script: columns of equal length. `address(problem)` is where its own page is."""
    found = standings(run)
    rows = [
        [s.id, s.level, s.conditionals, s.stages, s.stage, round(s.rate, 4), s.visits,
         None if s.evaluated is None else round(s.evaluated, 4), s.last.step, s.heat, address(s.id)]
        for s in found
    ]  # fmt: skip
    return {"rows": rows, "steps": max((s.last.step for s in found), default=0)}


def visits(run: Run, key: str) -> list[Group]:
    """The groups of one problem in order, by what addresses call it."""
    return [group for group in run.groups() if addresses.key(group.problem) == key]
