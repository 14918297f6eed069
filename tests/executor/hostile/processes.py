"""The executor's own processes: other tests and libraries leave others below this one, and open files in it."""

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
