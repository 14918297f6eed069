"""What the learner's tests share."""

from collections.abc import Iterator

import pytest

from tests.tools.ranks import Seats


@pytest.fixture(scope="package")
def seats(cluster: None) -> Iterator[Seats]:
    found = Seats()
    yield found
    found.close()
