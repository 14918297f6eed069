"""Runs as one HTML page that needs nothing else: figures, scripts and style are those of `stepcoder view`."""

import base64
import hashlib
from collections.abc import Sequence

from markupsafe import Markup

from stepcoder.deploy.view import problems
from stepcoder.deploy.view.addresses import NotFound, Place, place
from stepcoder.deploy.view.arms import comparison
from stepcoder.deploy.view.charts import charts, tiles
from stepcoder.deploy.view.pages import STATIC, page
from stepcoder.deploy.view.run import Run
from stepcoder.deploy.view.trajectory import View, view

_PROBLEMS = 5_000  # rows of the table
_STYLES = ("base.css", "uplot.css", "view.css")
_SCRIPTS = ("uplot.js", "charts.js", "problems.js", "program.js")


def report(runs: Sequence[Run], wanted: Sequence[str] = (), title: str | None = None) -> str:
    """NotFound where a completion of `wanted` (`RUN:STEP:TICKET:SAMPLE`, or without the run) is not there."""
    views = [_named(runs, text) for text in wanted] or [found for run in runs[:1] for found in chosen(run)]
    table = problems.table(runs[0], lambda _: None)
    table["rows"] = table["rows"][:_PROBLEMS]
    style = _inline(_STYLES)
    scripts = [_inline([name]) for name in _SCRIPTS]
    policy = (f"default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; style-src {_hash(style)}; "
              f"script-src {' '.join(map(_hash, scripts))}")  # fmt: skip
    return page(
        "report", title=title or ", ".join(run.name for run in runs), runs=runs, style=style, scripts=scripts,
        policy=policy, figures=[(run, tiles(run), run.missing()) for run in runs], charts=charts(runs),
        problems=table, views=views, linked=False, study=comparison(runs),
    )  # fmt: skip


def chosen(run: Run) -> list[View]:
    """Of the first and of the last step that has trajectories, one that passed and one that did not.

    Those of the longest response, which show most.
    """
    steps = run.trajectories.steps()
    found = []
    for step in dict.fromkeys([*steps[:1], *steps[-1:]]):
        briefs = run.trajectories.briefs(step)
        for passed in (True, False):
            tried = [brief for brief in briefs if brief.passed is passed][:8]
            views = [view(run, Place(run.name, step, brief.ticket, brief.sample)) for brief in tried]
            found += sorted(views, key=lambda one: -len(one.listing.lines))[:1]
    return found


def _named(runs: Sequence[Run], text: str) -> View:
    where = place(text if text.count(":") >= 3 else f"{runs[0].name}:{text}")
    run = next((run for run in runs if run.name == where.run), None)
    if run is None:
        raise NotFound(f"no run here is called {where.run}")
    return view(run, where)


def _inline(names: Sequence[str]) -> Markup:
    """Files of ours as they are; none holds the end of the element that it is put in."""
    return Markup("\n".join(STATIC[name][1].read_text(encoding="utf-8") for name in names))


def _hash(text: str) -> str:
    """As a content-security policy names what may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
