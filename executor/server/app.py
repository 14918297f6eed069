"""The routes. Each one: a body within limits, a request of one form, a report, an answer of one form."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from stepcoder.errors import UserError
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.server import fusion, judge, nemo_gym, open_instruct, openapi
from stepcoder.executor.server.bodies import Bodies
from stepcoder.executor.server.config import ServeConfig
from stepcoder.executor.server.desk import Desk, Gone, departure
from stepcoder.executor.server.guard import Guard
from stepcoder.executor.server.metrics import Metrics
from stepcoder.executor.server.refusal import Refused

_LARGE = 1 << 17  # bytes of a body that another thread reads, so that others are answered meanwhile
_Model = TypeVar("_Model", bound=BaseModel)
_T = TypeVar("_T")


class Routes:
    """What answers; lives on one event loop."""

    def __init__(self, pool: LocalPool, problems: judge.Problems, config: ServeConfig, release: str) -> None:
        self.metrics = Metrics()
        self._desk = Desk(pool, config.waiting, self.metrics)
        self._bodies = Bodies(config)
        self._pool, self._problems, self._release = pool, problems, release
        self._spec = openapi.specification(release)

    def table(self) -> list[Route]:
        posts = {
            "/judge": self.one_program,
            "/judge/batch": self.programs,
            "/run_code": self.run_code,
            "/test_program": self.test_program,
            "/test_program_stdio": self.test_program_stdio,
            "/verify": self.verify,
        }
        gets = {"/health": self.health, "/metrics": self.tell_metrics, "/openapi.json": self.spec, "/": self.page,
                "/docs": self.page}  # fmt: skip
        return [
            *(Route(path, self._counted(path, answer), methods=["POST"]) for path, answer in posts.items()),
            *(Route(path, answer, methods=["GET"]) for path, answer in gets.items()),
        ]

    def _counted(
        self, path: str, answer: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                response = await answer(request)
            except Refused as refused:
                response = refused.response()
            except (Gone, ClientDisconnect):
                response = Response(status_code=499)  # nobody reads it
            except UserError as error:  # a reward function of the user's own
                response = Refused(500, str(error)).response()
            self.metrics.requests.labels(path, str(response.status_code)).inc()
            return response

        return endpoint

    # -- answers -------------------------------------------------------------------------------------------------------

    async def one_program(self, request: Request) -> Response:
        async with self._asked(request, judge.JudgeRequest) as (asked, size):
            suite = await _apart(lambda: self._problems.suite(asked), size)
            report = await self._desk.report(asked.program, suite, request.receive)
            return _json(judge.answer(asked, report, self._pool.config))

    async def programs(self, request: Request) -> Response:
        asked, size = await self._read(request, judge.BatchRequest)
        suites = await _apart(lambda: [self._problems.suite(sample) for sample in asked.samples], size)
        lines = self._batch(asked.samples, suites, request)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def _batch(
        self, samples: list[judge.JudgeRequest], suites: list[Any], request: Request
    ) -> AsyncIterator[str]:
        """A line a program as it finishes: its place in the request as `index`, and what /judge answers."""
        places = asyncio.Semaphore(4 * self._pool.config.workers)  # the rest waits outside of the queue
        gone = asyncio.ensure_future(departure(request.receive))

        async def one(index: int) -> dict[str, Any]:
            async with places:
                while not self._desk.room:
                    await asyncio.sleep(0.05)
                try:
                    report = await self._desk.report_unless(samples[index].program, suites[index], gone, plain=False)
                except Refused as refused:
                    return {"index": index, "error": refused.text}
                return {"index": index, **judge.answer(samples[index], report, self._pool.config)}

        tasks = [asyncio.ensure_future(one(index)) for index in range(len(samples))]
        try:
            for task in asyncio.as_completed(tasks):
                yield json.dumps(await task) + "\n"
        finally:
            for task in (*tasks, gone):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def run_code(self, request: Request) -> Response:
        async with self._asked(request, fusion.RunCodeRequest) as (asked, _):
            if reason := fusion.unsupported(asked):
                return JSONResponse(fusion.refusal(reason) | {"error": reason}, 400)
            report = await self._desk.report(asked.code, fusion.suite(asked), request.receive, plain=True)
            return _json(fusion.answer(asked, report))

    async def test_program(self, request: Request) -> Response:
        return await self._open_instruct(request, stdio=False)

    async def test_program_stdio(self, request: Request) -> Response:
        return await self._open_instruct(request, stdio=True)

    async def _open_instruct(self, request: Request, stdio: bool) -> Response:
        async with self._asked(request, open_instruct.TestRequest) as (asked, size):
            suite = await _apart(lambda: open_instruct.suite(asked, stdio), size)
            if suite is None:
                return _json({"results": [], "runtimes": []})
            report = _judged(await self._desk.report(asked.program, suite, request.receive))
            return _json(open_instruct.answer(asked, len(suite.cases), report))

    async def verify(self, request: Request) -> Response:
        async with self._asked(request, nemo_gym.VerifyRequest) as (asked, size):
            text = nemo_gym.output_text(asked.response)
            code, report = nemo_gym.program(text), None
            if code:
                suite = await _apart(lambda: nemo_gym.suite(asked, code), size)
                report = _judged(await self._desk.report(code, suite, request.receive))
            return _json(nemo_gym.answer(asked, text, code, report))

    async def health(self, request: Request) -> Response:
        config = self._pool.config
        return _json({"status": "healthy", "version": self._release, "level": self._pool.level,
                      "workers": config.workers, "under_way": self._desk.under_way,
                      "problems": len(self._problems.suites)})  # fmt: skip

    async def tell_metrics(self, request: Request) -> Response:
        self.metrics.under_way.set(self._desk.under_way)
        self.metrics.bodies.set(self._bodies.held)
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def spec(self, request: Request) -> Response:
        return _json(self._spec)

    async def page(self, request: Request) -> Response:
        return HTMLResponse(openapi.page(self._spec))

    # -- requests ------------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _asked(self, request: Request, model: type[_Model]) -> AsyncIterator[tuple[_Model, int]]:
        """The request, and the bytes of its body, which count as held until the answer is there."""
        body = await self._bodies.read(request)
        try:
            yield await _apart(lambda: _parsed(body, model), len(body)), len(body)
        finally:
            self._bodies.release(body)

    async def _read(self, request: Request, model: type[_Model]) -> tuple[_Model, int]:
        async with self._asked(request, model) as asked:
            return asked


def build(
    pool: LocalPool, problems: judge.Problems, config: ServeConfig, release: str, token: str | None = None
) -> ASGIApp:
    """The application. The pool stays the caller's."""
    routes = Routes(pool, problems, config, release)
    handlers = {HTTPException: _unknown}
    return Guard(Starlette(routes=routes.table(), exception_handlers=handlers), token)  # type: ignore[arg-type]


async def _unknown(request: Request, error: HTTPException) -> Response:
    """A path or a method that is not served."""
    return JSONResponse({"error": f"{request.method} {request.url.path}: {error.detail}; see GET /docs"},
                        error.status_code, error.headers)  # fmt: skip


async def _apart(work: Callable[[], _T], size: int) -> _T:
    """Done in a thread where the body is large; ValueErrors are refusals."""
    try:
        return await asyncio.to_thread(work) if size > _LARGE else work()
    except ValueError as error:
        raise Refused(422, str(error)) from None


def _parsed(body: bytes, model: type[_Model]) -> _Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise Refused(422, "; ".join(_explained(fault) for fault in error.errors(include_url=False)[:3])) from None


def _explained(fault: Any) -> str:
    where = ".".join(map(str, fault["loc"]))
    text = "unknown field" if fault["type"] == "extra_forbidden" else fault["msg"]
    return f"{where}: {text}" if where else text


def _judged(report: Any) -> Any:
    if not report.verdict.judged:
        raise Refused(503, f"the sandbox failed, which says nothing about the program: {report.error}", retry_after="1")
    return report


def _json(content: Any) -> Response:
    return Response(json.dumps(content), media_type="application/json")
