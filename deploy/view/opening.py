"""Places given on a command line as runs with names: runs, directories above them, studies."""

from collections.abc import Sequence

from stepcoder.deploy.run.directory import CONFIG, EVENTS
from stepcoder.deploy.run.listing import run_places
from stepcoder.deploy.run.meant import meant
from stepcoder.deploy.run.metrics import GROUPS, METRICS
from stepcoder.deploy.run.problems import PROBLEMS
from stepcoder.deploy.view.arms import study_runs
from stepcoder.deploy.view.run import Run
from stepcoder.errors import UserError

MOST = 50  # runs on one page
FILES = (CONFIG, METRICS, GROUPS, EVENTS, PROBLEMS)


def opened(places: Sequence[str]) -> list[Run]:
    """Each place's run, or the runs below a directory of several. UserError where there is none, or too many."""
    found: dict[str, str] = {}
    for place in places:
        study = study_runs(place)
        if study is not None:
            if not study:
                raise UserError(f"{place}: none of this study's runs has been begun")
            found |= {run: arm for arm, run in study}
        else:
            found |= dict.fromkeys(run_places(place) or [place], "")  # one without settings is one damaged run
    if len(found) > MOST:
        raise UserError(f"{len(found)} runs are more than a page can show, {MOST}; name those to look at")
    names = _names(list(found))
    runs = [Run(name, place, arm) for name, (place, arm) in zip(names, found.items(), strict=True)]
    for run in runs:
        if not is_one(run):
            raise UserError(f"{run.place}: there is no run at or below it.{meant(run.place)}")
    return runs


def is_one(run: Run) -> bool:
    """Whether anything of a run is there, damaged or not."""
    return any(run.files.size(name) is not None for name in FILES) or bool(run.files.names("trajectories"))


def _names(places: list[str]) -> list[str]:
    """The last part of each path, with as many before it as it takes to tell them apart."""
    parts = [place.rstrip("/").split("/") for place in places]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return places
