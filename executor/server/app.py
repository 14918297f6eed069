"""The routes. Each one: a body within limits, a request of one form, a report, an answer of one form."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from stepcoder.errors import UserError
from stepcoder.executor.pool.local import LocalPool
from stepcoder.executor.report import Report
from stepcoder.executor.server import fusion, judge, nemo_gym, open_instruct, openapi, openrlhf
from stepcoder.executor.server.bodies import Bodies
from stepcoder.executor.server.config import ServeConfig
from stepcoder.executor.server.desk import Desk, Gone, departure
from stepcoder.executor.server.faults import explained
from stepcoder.executor.server.guard import Guard
from stepcoder.executor.server.metrics import Metrics
from stepcoder.executor.server.refusal import Refused
from stepcoder.executor.suite import Suite
from stepcoder.jsonl import dumps, loads

log = logging.getLogger(__name__)

_LONG_INTEGER = "Invalid JSON: number out of range"  # what pydantic says of more than 4,300 digits
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
            "/get_reward": self.rewards,
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
        """The body counts as held until the last line is sent."""
        async with contextlib.AsyncExitStack() as stack:
            asked, size = await stack.enter_async_context(self._asked(request, judge.BatchRequest))
            suites = await _apart(lambda: self._problems.all(asked.samples, "samples"), size)
            return _Lines(self._batch(asked.samples, suites, request.receive), stack.pop_all())

    async def _batch(
        self, samples: list[judge.JudgeRequest], suites: list[Suite], receive: Receive
    ) -> AsyncIterator[str]:
        """A line a program as it finishes: its place in the request as `index`, and what /judge answers."""
        async for index, found in self._reports([sample.program for sample in samples], suites, receive):
            try:
                told = judge.answer(samples[index], _raised(found), self._pool.config)
            except (Refused, UserError) as error:
                told = {"error": str(error)}
            except Exception as error:  # a defect of ours, which the other programs are not to pay for
                log.exception("program %d of a batch", index)
                told = {"error": f"{type(error).__name__}: {error}"}
            yield dumps({"index": index, **told}) + "\n"

    async def _reports(
        self, programs: Sequence[str], suites: Sequence[Suite], receive: Receive
    ) -> AsyncIterator[tuple[int, Report | Exception]]:
        """(place, report or what went wrong) of each program as it finishes. Gone."""
        places = asyncio.Semaphore(4 * self._pool.config.workers)  # the rest waits outside of the queue
        gone = asyncio.ensure_future(departure(receive))

        async def one(index: int) -> tuple[int, Report | Exception]:
            async with places:
                while not self._desk.room:
                    await asyncio.sleep(0.05)
                try:
                    return index, await self._desk.report_unless(programs[index], suites[index], gone, plain=False)
                except Gone:
                    raise
                except Exception as error:
                    return index, error

        tasks = [asyncio.ensure_future(one(index)) for index in range(len(programs))]
        try:
            for task in asyncio.as_completed(tasks):
                yield await task
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
                suite = await _apart(lambda: self._problems.read(nemo_gym.problem(asked, code)), size)
                report = _judged(await self._desk.report(code, suite, request.receive))
            return _json(nemo_gym.answer(asked, text, code, report))

    async def rewards(self, request: Request) -> Response:
        async with self._asked(request, openrlhf.RewardRequest) as (asked, size):
            samples = openrlhf.samples(asked)
            suites = await _apart(lambda: self._problems.all(samples, "labels"), size)
            reports: dict[int, Report] = {}
            async for index, found in self._reports([sample.program for sample in samples], suites, request.receive):
                reports[index] = _judged(_raised(found))
            return _json(openrlhf.answer([reports[n] for n in range(len(samples))], self._pool.config.reward))

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


class _Lines(StreamingResponse):
    """JSON lines; what they need is given back when they end, also where nobody came to read the first."""

    def __init__(self, lines: AsyncIterator[str], held: contextlib.AsyncExitStack) -> None:
        super().__init__(lines, media_type="application/x-ndjson")
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)


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
        if error.errors()[0]["msg"].startswith(_LONG_INTEGER):
            return _with_long_integers(body, model)
        raise Refused(422, explained(error)) from None


def _with_long_integers(body: bytes, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(loads(body))
    except ValidationError as error:
        raise Refused(422, explained(error)) from None
    except (ValueError, RecursionError) as error:
        raise Refused(422, f"Invalid JSON: {error}") from None


def _raised(found: Report | Exception) -> Report:
    if isinstance(found, Exception):
        raise found
    return found


def _judged(report: Report) -> Report:
    if not report.verdict.judged:
        raise Refused(503, f"the sandbox failed, which says nothing about the program: {report.error}", retry_after="1")
    return report


def _json(content: Any) -> Response:
    return Response(dumps(content), media_type="application/json")
