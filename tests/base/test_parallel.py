"""What starts something large together goes to one process. Of a part of the tests only that part is looked at."""

import re

import pytest

from tests.tools.loop import ROOT
from tests.tools.parallel import LONG, SHARED, place, share


def test_tests_that_share_a_start_go_to_one_process(request: pytest.FixtureRequest) -> None:
    for fixture, name in (("cluster", "ray"), ("seats", "ray"), ("head", "head")):
        using = [item.nodeid for item in request.session.items if fixture in getattr(item, "fixturenames", ())]
        assert [test for test in using if share(test) != name] == []


@pytest.mark.parametrize("pattern", [*SHARED.values(), *(name for name in LONG if name not in SHARED)])
def test_every_name_means_a_file(pattern: str) -> None:
    files = [str(file.relative_to(ROOT / "tests").with_suffix("")) for file in (ROOT / "tests").rglob("test_*.py")]
    assert [file for file in files if re.fullmatch(pattern, file)]


def test_the_longest_begin() -> None:
    tests = ["tests/base/test_words.py::test_b", "tests/whole/test_loop.py::test_a[x]", "tests/whole/test_job.py::test"]
    assert sorted(tests, key=place) == tests[::-1]
    assert share("tests/learner/test_ranks.py::test") == share("tests/rollout/test_worker.py::test") == "ray"
    assert share(tests[0]) == share("tests/base/test_words.py::test_a") == "base/test_words"
