"""The pages that show a study are made of its files, twice the same."""

from pathlib import Path

import pytest

from benchmarks.study_page import ROOT, first_table, replaced, whole
from stepcoder.deploy.study.results import read
from stepcoder.errors import UserError
from tests.tools.study import write_study


def test_pages_of_the_same_files_are_the_same_and_fit_their_lines(tmp_path: Path) -> None:
    results = read(write_study(tmp_path / "study", {"ppo": 0.0, "cccs": 0.1, "both": 0.3}))
    for text, page in ((whole(results), "docs/study.md"), (first_table(results), "README.md")):
        old = (ROOT / page).read_text(encoding="utf-8")
        new = replaced(old, text)
        assert text in new and replaced(new, text) == new
        assert max(map(len, text.splitlines())) <= 120
        assert new.partition("<!-- study -->")[0] == old.partition("<!-- study -->")[0]
    assert "difference from both" in whole(results) and "All 9 runs are done." in whole(results)


def test_the_pages_show_what_the_files_of_the_runs_say() -> None:
    results = read(ROOT / "docs" / "study")
    assert whole(results) in (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    assert first_table(results) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_page_without_the_place_is_refused() -> None:
    with pytest.raises(UserError, match="not one place"):
        replaced("# A page\n", "text")
