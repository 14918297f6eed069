"""Ray's job API with messages for a person."""

import asyncio
import logging
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from ray.exceptions import AuthenticationError

from stepcoder.deploy.jobs.upload import Upload
from stepcoder.errors import UserError

if TYPE_CHECKING:
    from ray.job_submission import JobStatus, JobSubmissionClient

ENTRY = ("python", "-m", "stepcoder")
PATIENCE_S = 60.0  # a dashboard answers before the agent that starts jobs does

T = TypeVar("T")


def checked_address(address: str | None) -> str | None:
    """The dashboard's URL; `host:port` is one too. None leaves the choice to Ray."""
    if address is None:
        return None
    url = urlsplit(address if "://" in address else f"http://{address}")
    try:
        complete = url.hostname is not None and (url.port is not None or url.scheme == "https")
    except ValueError:
        complete = False
    if url.scheme not in ("http", "https") or not complete:
        raise UserError(
            f"--address {address}: give the URL of the cluster's dashboard, such as http://head:8265 (not the ray:// "
            "address, nor the port of 'ray start')."
        )
    return url.geturl().rstrip("/")


def asked(address: str | None, call: Callable[[], T]) -> T:
    """What a call to the job API gives; its failures as UserError."""
    where = address or "the address that RAY_API_SERVER_ADDRESS names, or this machine's"
    try:
        return call()
    except AuthenticationError as error:
        raise token_refused(where, missing="no authentication token" in str(error)) from None
    except OSError as error:  # requests' errors are of this kind
        raise UserError(
            f"{where}: no Ray dashboard answers ({type(error).__name__}). Give --address URL as 'ray start --head' "
            "prints it; from outside the cluster forward its port first, such as ssh -L 8265:127.0.0.1:8265 HEAD."
        ) from None
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{where}: {said(error)}") from None


def said(error: Exception) -> str:
    """The last line with words of it: the cluster's answers are tracebacks, with a full stop of Ray's after them."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in reversed(lines) if any(map(str.isalpha, line))), type(error).__name__)


def token_refused(where: str, *, missing: bool) -> UserError:
    return UserError(
        f"{where}: the cluster refuses this machine's token. " * (not missing)
        + f"{where}: the cluster asks for a token and none is set here. " * missing
        + "Set RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token) to what 'ray get-auth-token' prints "
        "on the head node, and RAY_AUTH_MODE=token."
    )


def quiet() -> None:
    """Ray tells what it packs, which files it leaves out, and where it sends them."""
    for name in ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
        logging.getLogger(name).setLevel(logging.ERROR)


def connect(address: str | None) -> "JobSubmissionClient":
    from ray.job_submission import JobSubmissionClient

    quiet()  # its modules have set their levels by now
    url = checked_address(address)
    return asked(url, lambda: JobSubmissionClient(url))


def submit(
    client: "JobSubmissionClient", line: Sequence[str], upload: Upload, variables: dict[str, str], name: str | None
) -> str:
    """Hand `stepcoder LINE` to the cluster; the job's name, of which `free_name` tells."""
    if name is not None:
        jobs = asked(client.get_address(), client.list_jobs)
        name = free_name(name, {job.submission_id: job.status for job in jobs if job.submission_id})

    def call() -> str:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return client.submit_job(
                    entrypoint=shlex.join([*ENTRY, *line]),
                    runtime_env=upload.runtime_env(variables),
                    submission_id=name,
                )
            except RuntimeError as error:
                if "try again later" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(1)

    return asked(client.get_address(), call)


def free_name(name: str, jobs: Mapping[str, "JobStatus"]) -> str:
    """`name`, or with the next number where jobs had it before: Ray keeps the names of those that have ended.

    One of them that has not ended raises UserError.
    """
    taken = 0
    for job, status in jobs.items():
        found = re.fullmatch(rf"{re.escape(name)}(?:-(\d+))?", job)
        if found is None:
            continue
        if not status.is_terminal():
            raise UserError(
                f"--name {name}: the job {job} is {status.value.lower()}. Stop it with 'ray job stop {job}', follow it "
                f"with 'ray job logs -f {job}', or give another name."
            )
        taken = max(taken, int(found[1] or 1))
    return f"{name}-{taken + 1}" if taken else name


def follow(client: "JobSubmissionClient", name: str) -> int:
    """Print the job's output to its end; its exit code. Ctrl-C ends the following alone."""

    async def tail() -> None:
        async for lines in client.tail_job_logs(name):
            print(lines, end="", flush=True)

    print(f"{name}: follow with 'ray job logs -f {name}', stop with 'ray job stop {name}'")
    try:
        asked(client.get_address(), lambda: asyncio.run(tail()))
    except KeyboardInterrupt:
        print(f"\n{name}: no longer followed; it goes on")
        return 130
    job = asked(client.get_address(), lambda: client.get_job_info(name))
    print(f"{name}: {job.status.value.lower()}")
    return 0 if job.status == "SUCCEEDED" else job.driver_exit_code or 1
