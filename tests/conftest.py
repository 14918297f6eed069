"""What holds for every test, and what is started once and shared."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepcoder.rollout.vllm.kernels import forbidden, honour_restriction, loaded

honour_restriction()  # tests import vLLM into this process, too
# Tiny models gain nothing from a second thread, and beside other work two threads mostly wait for each other. Processes
# whose number of threads is tested set it themselves.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
for name in ("COLUMNS", "LINES"):  # a terminal's, of which pytest-xdist's processes have one: no test is about it
    os.environ.pop(name, None)
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module", autouse=True)
def frozen() -> None:
    """DeepSpeed collects garbage several times for each engine: not through all that was imported and is there."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's directory, for reading only."""
    from tests.tools.tiny_model import build_tiny_model

    return build_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A Ray of two processor cores in this process, whose workers find the tests' modules.

    A test ends its actors, also by dropping their handles. A command that is tested in a process of its own starts its
    own Ray.
    """
    import ray

    from tests.tools.cluster import start_cluster

    start_cluster()
    yield
    ray.shutdown()


KERNELS = pytest.StashKey[set[str]]()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Which of vLLM's libraries the tests ran with, from each of their processes."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["kernels"] = loaded()  # pyright: ignore[reportAttributeAccessIssue]  # pytest-xdist's
    else:
        session.config.stash.setdefault(KERNELS, set()).add(loaded())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    node.config.stash.setdefault(KERNELS, set()).add(getattr(node, "workeroutput", {}).get("kernels", ""))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    names = ", ".join(sorted(config.stash.get(KERNELS, set()) - {""}))
    restricted = " (restricted to those of an older CPU)" if forbidden(os.environ) else ""
    if names:
        terminalreporter.write_line(f"vLLM's kernels that the tests loaded: {names}{restricted}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of several processes
        from tests.tools.parallel import place

        items.sort(key=lambda item: place(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from tests.tools.parallel import Shares

    return Shares(config, log)
