"""The routes: an address names what is shown, `Run` reads it, a template shows it."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from stepcoder.deploy.view import addresses, problems
from stepcoder.deploy.view.addresses import NotFound, problem_address
from stepcoder.deploy.view.arms import comparison
from stepcoder.deploy.view.charts import charts, tiles
from stepcoder.deploy.view.guard import LOOPBACK, Guard
from stepcoder.deploy.view.pages import STATIC, page, settings_table
from stepcoder.deploy.view.run import Run
from stepcoder.deploy.view.trajectory import view
from stepcoder.visible import shown

POLL_S = 2.0  # between two looks of an open page
_VISITS = 2_000  # that the page of a problem lists


class Pages:
    """Answers come from the run directories at every request; what was read stays in memory while it is as it was."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = {run.name: run for run in runs}

    def routes(self) -> list[Route]:
        pages: dict[str, Callable[[dict[str, str]], str]] = {
            "/": self.overview, "/problems": self.problems, "/problem": self.problem, "/step": self.step,
            "/trajectory": self.trajectory, "/config": self.config,
        }  # fmt: skip
        numbers: dict[str, Callable[[dict[str, str]], tuple[str, Callable[[], Any]]]] = {
            "/api/overview": self.overview_data, "/api/problems": self.problems_data,
        }  # fmt: skip
        return [
            *(Route(path, _html(make)) for path, make in pages.items()),
            *(Route(path, _json(make)) for path, make in numbers.items()),
            Route("/static/{name}", _static),
            Route("/favicon.ico", lambda _: Response(status_code=204)),
        ]

    def _run(self, given: dict[str, str]) -> Run:
        name = given.get("run", next(iter(self.runs)))
        if name not in self.runs:
            raise NotFound(f"no run here is called {name}")
        return self.runs[name]

    def _page(self, name: str, here: str, run: Run | None = None, **fields: Any) -> str:
        runs = list(self.runs.values())
        return page(name, here=here, runs=runs, run=run, one=run or runs[0], **fields)

    # -- pages ---------------------------------------------------------------------------------------------------------

    def overview(self, given: dict[str, str]) -> str:
        runs = self.runs.values()
        figures = [(run, tiles(run), run.missing()) for run in runs]
        return self._page("overview", "overview", live=POLL_S, figures=figures, charts=charts(list(runs)),
                          study=comparison(list(runs)))  # fmt: skip

    def problems(self, given: dict[str, str]) -> str:
        run = self._run(given)
        return self._page("problems", "problems", run, live=POLL_S, missing=run.missing())

    def problem(self, given: dict[str, str]) -> str:
        run, key = self._run(given), given.get("id", "")
        visits = problems.visits(run, key)
        if not visits:
            raise NotFound(f"the run has tried no problem {key}")
        name = visits[0].problem
        statement, solution = run.statement(name)
        return self._page(
            "problem", "problems", run, problem=name, visits=visits[-_VISITS:], hidden=max(len(visits) - _VISITS, 0),
            about=run.known().get(name), statement=statement, solution=solution, kept=set(run.trajectories.steps()),
            highest=max(group.stage for group in visits),
        )  # fmt: skip

    def step(self, given: dict[str, str]) -> str:
        run = self._run(given)
        kept = run.trajectories.steps()
        if not kept:
            return self._page("step", "trajectories", run, step=None, missing=run.missing())
        step = addresses.whole(given, "step") if "step" in given else kept[-1]
        briefs = run.trajectories.briefs(step)
        if step not in kept:
            raise NotFound(f"the run has no trajectories of step {step}")
        groups: dict[int, list[Any]] = {}
        for brief in briefs:
            groups.setdefault(brief.ticket, []).append(brief)
        at = kept.index(step)
        return self._page(
            "step", "trajectories", run, step=step, groups=groups, kept=kept, missing=run.missing(),
            before=kept[at - 1] if at else None, after=kept[at + 1] if at + 1 < len(kept) else None,
        )  # fmt: skip

    def trajectory(self, given: dict[str, str]) -> str:
        run = self._run(given)
        numbers = (addresses.whole(given, name) for name in ("step", "ticket", "sample"))
        views = [view(run, addresses.Place(run.name, *numbers))]
        if given.get("with"):
            beside = addresses.place(given["with"])
            views.append(view(self._run({"run": beside.run}), beside))
        return self._page("trajectory", "trajectories", run, views=views)

    def config(self, given: dict[str, str]) -> str:
        runs = list(self.runs.values())
        return self._page("config", "config", table=settings_table([run.config() for run in runs]))

    # -- numbers -------------------------------------------------------------------------------------------------------

    def overview_data(self, given: dict[str, str]) -> tuple[str, Callable[[], Any]]:
        runs = list(self.runs.values())
        return json.dumps([run.stamp() for run in runs]), lambda: {
            "charts": charts(runs), "figures": [[run.name, tiles(run)] for run in runs],
        }  # fmt: skip

    def problems_data(self, given: dict[str, str]) -> tuple[str, Callable[[], Any]]:
        run = self._run(given)
        return run.stamp(), lambda: problems.table(run, partial(problem_address, run.name))


def build(runs: Sequence[Run], token: str | None = None, hosts: Iterable[str] = LOOPBACK) -> ASGIApp:
    """The application over runs of different names."""
    pages = Pages(runs)
    handlers = {HTTPException: _unknown}
    return Guard(Starlette(routes=pages.routes(), exception_handlers=handlers), token, hosts)  # type: ignore[arg-type]


def _html(make: Callable[[dict[str, str]], str]) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        try:
            return HTMLResponse(make(addresses.fields(request.scope["query_string"])))
        except NotFound as error:
            return HTMLResponse(page("missing", told=str(error)), 404)

    return answer


def _json(make: Callable[[dict[str, str]], tuple[str, Callable[[], Any]]]) -> Callable[[Request], Response]:
    """What has not changed since a browser has it is not made again."""

    def answer(request: Request) -> Response:
        try:
            stamp, content = make(addresses.fields(request.scope["query_string"]))
        except NotFound as error:
            return PlainTextResponse(str(error), 404)
        tag = f'"{hashlib.sha256(stamp.encode()).hexdigest()[:24]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        text = json.dumps(shown(content()), allow_nan=False, separators=(",", ":"))
        return Response(text, media_type="application/json", headers={"ETag": tag})

    return answer


def _static(request: Request) -> Response:
    kind, file = STATIC.get(request.path_params["name"], (None, None))
    if file is None:
        return HTMLResponse(page("missing", told="there is no such file"), 404)
    return FileResponse(file, media_type=kind)


def _unknown(request: Request, error: Exception) -> Response:
    told = "there is no such page" if getattr(error, "status_code", 404) == 404 else "this is no page to ask so"
    return HTMLResponse(page("missing", told=told), getattr(error, "status_code", 404))
