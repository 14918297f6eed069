"""What the tests of jobs share."""

from collections.abc import Iterator

import pytest

from tests.tools.head import Head, started


@pytest.fixture(scope="package")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A cluster for one job after the other: a test ends its own."""
    with started(tmp_path_factory.mktemp("head") / "home") as found:
        yield found
