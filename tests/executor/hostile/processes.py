"""The executor's own processes: other tests and libraries leave others below this one, and open files in it."""

import contextlib

import psutil


def is_ours(process: psutil.Process) -> bool:
    """A fork server or what it forked."""
    try:
        return any("executor.sandbox.start" in word for word in process.cmdline())
    except psutil.Error:
        return False


def processes(parent: psutil.Process | None = None) -> set[psutil.Process]:
    """All of them below `parent`, which is this process unless another is given."""
    return {process for process in (parent or psutil.Process()).children(recursive=True) if is_ours(process)}


def servers(level: int) -> set[psutil.Process]:
    """The fork servers, and at level 1 the processes that wait for them: not the programs below."""
    found = {process for process in psutil.Process().children() if is_ours(process)}
    if level == 1:
        for process in list(found):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.update(process.children())
    return found


def kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
