"""The pages of `stepcoder view` in a browser, on a run of the real loop."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.made_run import make_run
from stepcoder.deploy.run.metrics import MetricsWriter
from tests.tools.browser import Page, browser, chromium
from tests.tools.loop import ROOT, STEPS
from tests.tools.patience import HANG_S


@contextmanager
def viewed(*runs: Path) -> Iterator[str]:
    """The address of a server of its own."""
    command = [sys.executable, "-m", "stepcoder.deploy.cli", "view", *map(str, runs), "--port", "0"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stderr.read()
        yield found[0].rstrip("/")
    finally:
        process.terminate()
        assert process.wait(timeout=HANG_S) == 0


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture(scope="module")
def run(straight: Callable[[str], tuple[Path, str]]) -> Path:
    chromium()  # skips before anything is trained
    return straight("transformers")[0]


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A larger run of made-up numbers, with several levels and stages."""
    return make_run(tmp_path_factory.mktemp("made") / "second", 8, 30, 4, problems=150)


@pytest.fixture(scope="module")
def server(run: Path, second: Path) -> Iterator[str]:
    with viewed(run, second) as address:
        yield address


@pytest.fixture(autouse=True)
def quiet(page: Page) -> Iterator[None]:
    """Nothing on the console, and nothing that the policy had to stop."""
    page.errors.clear()
    page.look()
    yield
    assert page.errors == []


INK = """[...document.querySelectorAll('figure.chart')].map((figure) => {
  const canvas = figure.querySelector('canvas');
  const box = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let ink = 0; for (let i = 3; i < box.data.length; i += 4) ink += box.data[i] > 0; return ink; })"""


def test_every_chart_is_drawn_and_names_its_values_where_the_mouse_is(page: Page, server: str) -> None:
    page.open(server + "/")
    titles = page.texts("figure.chart figcaption b")
    for wanted in ("Reward", "Verdicts", "Start points", "Executed tokens", "Distance from the reference", "Speed",
                   "Sampler and learner", "Where the time goes", "Pass rate, training problems"):  # fmt: skip
        assert wanted in titles
    assert all(ink > 500 for ink in page.run(INK))
    page.hover("[data-chart=reward] .u-over")
    step = "document.querySelector('[data-chart=%s]').dataset.step"
    page.wait(f"{step % 'reward'} < 8 && {step % 'reward'} === {step % 'kl'}")  # the same step everywhere
    first = page.run(step % "reward")
    page.run("document.querySelector('[data-chart=reward] .plot').focus()")
    page.press("ArrowRight")
    page.wait(f"{step % 'reward'} === '{int(first) + 1}'")
    page.click("[data-chart=reward] .legend button")
    page.wait("document.querySelector('[data-chart=reward] .legend button').ariaPressed === 'false'")


def test_problems_are_sorted_and_searched_and_their_start_points_drawn(page: Page, server: str) -> None:
    page.open(server + "/problems?run=second")
    page.wait("document.querySelectorAll('#problems tbody tr').length === 100")
    column = "[...document.querySelectorAll('#problems tbody tr')].map((row) => row.cells[%d].textContent)"
    page.click("[data-sort=visits]")
    visits = [int(text) for text in page.run(column % 5)]
    assert visits == sorted(visits, reverse=True) and len(set(visits)) > 1
    page.click("[data-sort=visits]")
    assert page.run("document.querySelector('#problems th[aria-sort]').ariaSort") == "ascending"
    page.click("[data-sort=id]")
    names = page.run(column % 0)
    assert names == page.run(f"({column % 0}).sort((a, b) => a.localeCompare(b))")
    page.type("#search", "calculate/14")
    names = page.run(column % 0)
    assert len(names) == 11 and all("calculate/14" in name for name in names)
    assert page.texts("#shown") == ["11 of 150 problems"]
    last = page.run("(() => { const map = document.querySelector('#heat'), box = map.getContext('2d');"
                    "return [...box.getImageData(map.width - 1, 0, 1, map.height).data]; })()")  # fmt: skip
    assert len(last) == 4 * 150 and set(last[3::4]) == {255} and len(set(last[0::4])) > 2
    page.hover("#heat")
    page.wait("document.querySelector('#heat-told').textContent")
    assert re.search(r"made/calculate\S*, step \d: (full generation|stage \d|not tried)", page.texts("#heat-told")[0])
    page.run("document.querySelector('#heat').focus()")
    told = page.texts("#heat-told")[0]
    page.press("ArrowLeft")
    page.press("ArrowDown")
    page.wait(f"document.querySelector('#heat-told').textContent !== {json.dumps(told)}")
    page.click("#problems tbody a")
    page.wait("document.querySelector('h1') && document.querySelector('h1').textContent.includes('calculate/14')")
    assert page.texts(".visits tbody tr")


def test_a_token_tells_its_numbers_and_a_group_is_walked_by_keys(page: Page, server: str, run: Path) -> None:
    page.open(server + f"/step?run=straight&step={STEPS}")
    page.click(".samples a")
    page.wait("location.pathname === '/trajectory' && document.readyState === 'complete'")
    page.wait("document.querySelectorAll('.program [data-t]').length > 0")
    page.hover(".program [data-t]")
    page.wait("document.querySelector('#token').textContent")
    told = page.texts("#token")[0]
    assert "sampler, log p-" in told and "advantage × mask" in told and "executed by a test" in told
    page.run("document.querySelector('.program').focus()")
    page.press("ArrowRight")
    before = page.texts("#token b")
    page.press("ArrowRight")
    assert page.run("document.querySelectorAll('.here').length") >= 1
    page.press("Escape")
    assert page.run("document.querySelector('#token').hidden") and before
    assert page.texts(".sign") and page.texts(".exception")  # no program of a random model is Python
    assert "def " in page.texts("pre.text")[0] or page.texts("pre.text")  # the statement
    where = page.run("location.search")
    page.run("document.activeElement.blur()")
    page.press("n")
    page.wait("document.querySelector('.sample:nth-child(2)[aria-current]')")
    assert page.run("location.search") != where
    page.run("document.querySelector('.by').value = 'sampler_logprobs';"
             "document.querySelector('.by').dispatchEvent(new Event('change'))")  # fmt: skip
    page.wait("document.querySelectorAll('.program :is(.n1, .n2, .n3, .n4)').length > 0")


def test_two_completions_are_compared(page: Page, server: str) -> None:
    page.open(server + "/trajectory?run=second&step=3&ticket=60&sample=0")
    page.run("document.querySelector('.compare select').selectedIndex = 2")
    page.click(".compare button")
    page.wait("document.readyState === 'complete' && document.querySelectorAll('article.trajectory').length === 2")
    left, right = page.run("[...document.querySelectorAll('article')].map((e) => e.getBoundingClientRect().left)")
    assert right > left + 300 and len(page.texts(".tests tbody tr")) == 2
    assert page.run("document.querySelectorAll('.start').length") == 2
    page.hover("article:nth-child(2) .program [data-t]")
    page.wait("document.querySelectorAll('article:nth-child(2) .here').length >= 1")


def test_settings_are_searched_and_compared(page: Page, server: str) -> None:
    page.open(server + "/config")
    assert any("subtasks_per_step" in row for row in page.texts(".differs"))
    page.type("#filter", "curriculum rho")
    assert [text for text in page.texts("section:last-of-type tbody tr:not([hidden]) td:first-child")] == [
        "curriculum.schedule.rho"
    ]


def test_a_run_that_goes_on_gains_points(page: Page, run: Path, tmp_path: Path) -> None:
    live = Path(shutil.copytree(run, tmp_path / "live"))
    with viewed(live) as address:
        page.open(address + "/")
        points = "Number(document.querySelector('[data-chart=reward]').dataset.points)"
        assert page.wait(points) == STEPS
        with MetricsWriter(live, STEPS, loggers=()) as metrics:
            metrics.write(STEPS + 1, {"reward/mean": 0.75})
        page.wait(f"{points} === {STEPS + 1}")
        assert "0.75" in page.texts(".tiles")[0]
        page.open(address + "/problems?run=live")
        rows = page.wait("document.querySelectorAll('#problems tbody tr').length")
        group = {"ticket": [999], "problem": ["one/more"], "stage": [0], "passed": [1], "total": [2], "reward": [0.5]}
        with MetricsWriter(live, STEPS + 1, loggers=()) as metrics:
            metrics.write_groups(STEPS + 1, group)
        page.wait(f"document.querySelectorAll('#problems tbody tr').length === {rows + 1}")
        page.open("about:blank")  # it asks no more


def test_a_report_is_one_page_that_asks_for_nothing(page: Page, run: Path, second: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    command = [sys.executable, "-m", "stepcoder.deploy.cli", "report", str(second), str(run), "-o", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
                          timeout=HANG_S, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    page.open(out.as_uri())
    assert all(ink > 500 for ink in page.run(INK))
    assert page.wait("document.querySelectorAll('#problems tbody tr').length") == 100
    assert page.texts(".start") and page.run("performance.getEntriesByType('resource').length") == 0
    page.hover(".program [data-t]")
    page.wait("document.querySelector('#token').textContent")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_lies_outside_of_a_window(page: Page, server: str, width: int, dark: bool) -> None:
    page.look(width, dark=dark)
    for where in ("/", "/problems?run=second", "/step?run=second", "/config",
                  "/trajectory?run=second&step=3&ticket=60&sample=0&with=second:3:60:1"):  # fmt: skip
        page.open(server + where)
        assert page.run("document.documentElement.scrollWidth") <= width, where
        ground = page.run("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) == dark
