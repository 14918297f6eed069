"""The pages of `stepcoder view`: whatever runs hold is text on them, and what is missing is said."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from benchmarks.made_run import Words, make_run
from stepcoder.deploy.view.app import build
from stepcoder.deploy.view.opening import opened
from stepcoder.deploy.view.pages import STATIC
from stepcoder.deploy.view.report import report
from stepcoder.deploy.view.run import Run
from stepcoder.visible import visible

LONG = "x" * 100_000  # no server reads an address as long as this
HOSTILE = (
    "</code></pre></script><script>alert(1)</script>", "<img src=x onerror=alert(2)>", "\x1b[31mred\x1b]0;title\x07",
    "\u202egnol\u2066", "a\x00b", "'\"`><svg/onload=alert(3)>", "{{ 7 * 7 }}{% raw %}", "javascript:alert(4)",
    "..\\..//../../etc/passwd", "]]><!--", "\r\nSet-Cookie: a=b", LONG, "\u2028\u2029\ufeff\x85",
)  # fmt: skip
# YAML and Parquet keep no lone surrogates; nothing else is left out.
texts = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
# No code of ours makes an id of nothing, and the two texts of a program are Python in a run that trains.
hostile_words = st.builds(
    lambda first, second, names: replace(Words(), **{name: first + second for name in names}),
    texts, texts, st.sets(st.sampled_from([field.name for field in fields(Words)]), min_size=1),
)  # fmt: skip

OURS = {file.read_text(encoding="utf-8").strip() for kind, file in STATIC.values() if kind == "text/javascript"} | {""}
# A smaller example of a run costs a second; the words tell enough.
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[tuple[str, frozenset[str]]] = set()
        self.scripts: list[str] = []
        self.links: list[str] = []
        self.text, self._in_script = "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add((tag, frozenset(name for name, _ in attrs)))
        self._in_script = tag == "script"
        if tag == "script":
            self.scripts.append("")
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data
        else:
            self.text += data


def client(*runs: Path) -> TestClient:
    return TestClient(build(opened([str(run) for run in runs])), base_url="http://127.0.0.1:8070")


def addresses(browser: TestClient, run: str) -> list[str]:
    """Of every kind of page, as the pages themselves link to them."""
    rows = browser.get("/api/problems", params={"run": run}).json()["rows"]
    step = Page(browser.get("/step", params={"run": run}).text)
    programs = [link for link in step.links if link.startswith("/trajectory")]
    assert Page(browser.get(programs[0]).text).links
    return ["/", "/problems", "/step", "/config", *(row[10] for row in rows[:2]), *programs[:3]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("view") / "made", 6, 4, 3, problems=8)


def test_every_page_is_there_and_shows_the_run(made: Path) -> None:
    browser = client(made)
    pages = {where: browser.get(where) for where in addresses(browser, "made")}
    assert {page.status_code for page in pages.values()} == {200}
    overview = Page(pages["/"].text)
    assert "Pass rate, held-out problems" in overview.text and "actor) ; starting" not in overview.text
    assert "starting again from the newest checkpoint" in overview.text  # the restart with its cause
    program = next(Page(page.text) for where, page in pages.items() if where.startswith("/trajectory"))
    assert "start point: the model writes from here" in program.text and "return a - b" in program.text
    assert "curriculum.schedule" in Page(pages["/config"].text).text


def test_an_address_of_a_completion_shows_that_completion(made: Path) -> None:
    row = pq.read_table(made / "trajectories" / "step-00000004.parquet").to_pylist()[5]
    browser = client(made)
    page = browser.get(
        "/trajectory", params={"run": "made", "step": 4, "ticket": row["ticket"], "sample": row["sample"]}
    )
    found = Page(page.text)
    assert row["problem_id"] in found.text and f"reward {row['reward']:+.2f}" in " ".join(found.text.split())
    tokens = json.loads(next(script for script in found.scripts if script.strip().startswith("{")))
    assert tokens["used"] == pytest.approx(
        [a * c for a, c in zip(row["advantages"], row["credit"], strict=True)], rel=1e-4
    )
    assert row["tests"][0]["input"] in found.text
    written = unescape("".join(re.findall(r'data-t="\d+">([^<]*)<', page.text)))
    assert written == row["program"][row["prefix_chars"] :].replace("\n", "")


def test_two_completions_stand_side_by_side(made: Path) -> None:
    browser = client(made)
    one = {"run": "made", "step": 1, "ticket": 0, "sample": 0}
    page = Page(browser.get("/trajectory", params=one | {"with": "made:1:0:2"}).text)
    assert sum(script.strip().startswith("{") for script in page.scripts) == 2
    assert browser.get("/trajectory", params=one | {"with": "made:1:0:77"}).status_code == 404


@settings(max_examples=15, deadline=None, phases=QUICK, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=hostile_words)
@example(words=replace(Words(), **{field.name: HOSTILE[1] + LONG for field in fields(Words)}))
def test_no_text_of_a_run_becomes_markup(made: Path, tmp_path_factory: pytest.TempPathFactory, words: Words) -> None:
    known = harmless(made)
    folder = tmp_path_factory.mktemp("hostile") / "made"
    make_run(folder, 2, 2, 2, problems=3, words=words)
    browser = client(folder)
    pages = [browser.get(where) for where in addresses(browser, "made")]
    assert {page.status_code for page in pages} == {200}
    for text in [*(page.text for page in pages), report(opened([str(folder)]))]:
        found = Page(text)
        assert found.elements <= known
        assert all(link.startswith(("/", "#")) and link.isascii() for link in found.links)
        for script in found.scripts:
            assert script.strip() in OURS or json.loads(script)
        assert all(c.isprintable() or c in "\n\t" for c in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))
    for source in ("/api/overview", "/api/problems"):
        assert all(c.isprintable() for c in browser.get(source).text)
    shutil.rmtree(folder)


@cache
def harmless(made: Path) -> set[tuple[str, frozenset[str]]]:
    """Elements with the names of their attributes on pages of runs that want no harm, and of pages that lack all."""
    browser = client(made)
    beside = "/trajectory?run=made&step=1&ticket=0&sample=0&with=made:1:0:1"
    texts = [browser.get(one).text for one in (*addresses(browser, "made"), beside)] + [report(opened([str(made)]))]
    return set().union(*(Page(text).elements for text in texts)) | {
        ("span", frozenset({"class"})), ("span", frozenset({"class", "data-t"})), ("i", frozenset({"class"})),
        ("div", frozenset({"class"})), ("div", frozenset({"class", "data-line"})), ("li", frozenset()),
        ("span", frozenset({"class", "title"})), ("ul", frozenset()), ("aside", frozenset({"class", "aria-label"})),
        ("p", frozenset({"class"})), ("details", frozenset({"open"})), ("details", frozenset()), ("span", frozenset()),
    }  # fmt: skip


def test_hostile_text_is_shown_as_it_is() -> None:
    assert visible("a\x1b[0m\x00\u202eb") == "a␛[0m␀\\u202eb"
    assert visible("plain\n\ttext é 漢") == "plain\n\ttext é 漢"


@pytest.mark.parametrize(
    "where",
    [
        "/static/../app.py", "/static/%2e%2e%2fapp.py", "/static/..%5capp.py", "/static//etc/passwd",
        "/step?run=made&step=../../1", "/step?run=..%2Fmade", "/step?run=/etc", "/trajectory?run=made&step=1&ticket=0",
        "/trajectory?run=made&step=1&ticket=0&sample=99", "/trajectory?run=made&step=-1&ticket=0&sample=0",
        "/trajectory?run=made&step=1&ticket=0&sample=0&with=/etc/passwd:1:0:0", "/problem?run=made&id=../../etc/passwd",
        "/problem?run=made&id=%00", "/step?run=made&step=99999999999999999999999999", "/step?step=%ff", "/nothing",
        "/api/problems?run=..", "/step?run=made&step=5%0d%0aSet-Cookie:x=1",
    ],
)  # fmt: skip
def test_what_no_run_holds_is_not_found(made: Path, where: str) -> None:
    answer = client(made).get(where)
    assert answer.status_code == 404 and "set-cookie" not in answer.headers
    assert "root:" not in answer.text and "import" not in answer.text


# -- runs as they are found ------------------------------------------------------------------------------------------


def damaged(made: Path, folder: Path) -> Path:
    return Path(shutil.copytree(made, folder / "made"))


def everything(run: Path) -> str:
    """The text of the pages that are always there."""
    browser, found = client(run), ""
    for where in ("/", "/problems", "/step", "/config"):
        answer = browser.get(where)
        assert answer.status_code == 200
        found += Page(answer.text).text
    for source in ("/api/overview", "/api/problems"):
        assert browser.get(source).status_code == 200
    assert report(opened([str(run)]))
    return found


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("metrics.jsonl", "metrics.jsonl is missing"), ("config.yaml", "config.yaml is missing"),
        ("trajectories", "trajectories/ is empty"), ("groups.jsonl", ""), ("problems.parquet", ""),
        ("events.jsonl", ""), ("report.json", ""),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_and_the_rest_is_shown(made: Path, tmp_path: Path, name: str, told: str) -> None:
    run = damaged(made, tmp_path)
    shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
    found = everything(run)
    assert told in found and "trajectories" in found.lower()
    if name == "groups.jsonl":  # an earlier version's run: of its trajectories
        assert Run("made", str(run)).groups() == [
            replace(group, reward=pytest.approx(group.reward)) for group in of_files(Run("made", str(made)))
        ]


def of_files(run: Run) -> list[Any]:
    from stepcoder.deploy.view.run import Group

    return [Group(step, *row) for step in run.trajectories.steps() for row in run.trajectories.groups(step)]


@pytest.mark.parametrize("name", ["metrics.jsonl", "groups.jsonl", "events.jsonl", "config.yaml", "problems.parquet",
                                  "report.json", "trajectories/step-00000003.parquet"])  # fmt: skip
@pytest.mark.parametrize("how", ["half", "noise", "empty", "folder"])
def test_a_damaged_file_costs_what_it_held(made: Path, tmp_path: Path, name: str, how: str) -> None:
    run = damaged(made, tmp_path)
    file = run / name
    data = file.read_bytes()
    file.unlink()
    match how:
        case "half":
            file.write_bytes(data[: len(data) // 2])
        case "noise":
            file.write_bytes(bytes(n * 7919 % 256 for n in range(3000)))
        case "empty":
            file.touch()
        case "folder":
            file.mkdir()
    found = everything(run)
    assert "Curves" in found
    if name.startswith("trajectories") and how in ("half", "noise"):
        browser = client(run)
        page = browser.get("/step?run=made&step=3")
        assert page.status_code == 200 and "step-00000003.parquet is damaged" in Page(page.text).text


def test_columns_of_other_types_count_as_missing(made: Path, tmp_path: Path) -> None:
    run = damaged(made, tmp_path)
    file = run / "trajectories" / "step-00000003.parquet"
    table = pq.read_table(file)
    for name in ("token_starts", "tests", "executed_lines", "prefix_chars", "advantages", "finish_reason"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(["<script>"] * table.num_rows))
    pq.write_table(table.drop_columns(["response_ids", "prompt", "hidden_passed"]), file)
    row = table.to_pylist()[0]
    page = client(run).get(f"/trajectory?run=made&step=3&ticket={row['ticket']}&sample={row['sample']}")
    assert page.status_code == 200 and "of an earlier version" in Page(page.text).text and "<script>" not in page.text


ODD = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(10**30), 10**30) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8,
)  # fmt: skip
NAMES = st.sampled_from(["step", "eval", "pass_rate", "verdict/passed", "curriculum/histogram", "ticket", "problem",
                         "stage", "passed", "total", "reward", "time", "text", "seconds/generate"])  # fmt: skip


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(st.dictionaries(NAMES, ODD, max_size=6), max_size=5), step=st.integers(0, 3))
def test_any_json_lines_are_read(tmp_path_factory: pytest.TempPathFactory, records: list[dict], step: int) -> None:
    run = tmp_path_factory.mktemp("odd")
    lines = [json.dumps({"step": step} | record) + "\n" for record in records]
    for name in ("metrics.jsonl", "groups.jsonl", "events.jsonl"):
        (run / name).write_text("".join(lines))
    (run / "config.yaml").write_text(json.dumps(records))
    kept = [line for line in lines if type(n := json.loads(line)["step"]) is int and 0 <= n < 1 << 31]
    assert run.name in everything(run) and [json.dumps(r) + "\n" for r in Run("odd", str(run)).metrics()] == kept


def test_a_file_that_grows_is_read_from_where_it_was_and_a_new_one_anew(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": n, "pass_rate": n / 10}) + "\n" for n in range(1, 9)]
    run = Run("r", str(tmp_path))
    assert run.metrics() == []
    file.write_text("".join(lines[:3]) + lines[3][:9])
    assert [record["step"] for record in run.metrics()] == [1, 2, 3]
    with file.open("a") as stream:
        stream.write(lines[3][9:] + lines[4])
    assert [record["step"] for record in run.metrics()] == [1, 2, 3, 4, 5]
    file.write_text("".join(lines[:2]) + json.dumps({"step": 3, "pass_rate": 0.9}) + "\n" + "".join(lines[3:]))
    assert [record["pass_rate"] for record in run.metrics()][2] == 0.9 and len(run.metrics()) == 8


def test_numbers_are_sent_again_only_when_they_have_changed(made: Path, tmp_path: Path) -> None:
    run = damaged(made, tmp_path)
    browser = client(run)
    first = browser.get("/api/overview")
    again = browser.get("/api/overview", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304 and not again.content
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 7, "reward/mean": 0.125}) + "\n")
    news = browser.get("/api/overview", headers={"If-None-Match": first.headers["etag"]}).json()
    reward = next(chart for chart in news["charts"] if chart["id"] == "reward")
    assert reward["series"][0]["x"][-1] == 7 and reward["series"][0]["y"][-1] == 0.125


def test_a_run_at_a_uri_is_read(made: Path) -> None:
    import fsspec

    system = fsspec.filesystem("memory")
    system.put(str(made), "/viewed/made", recursive=True)
    try:
        browser = TestClient(build(opened(["memory://viewed"])), base_url="http://localhost")
        assert all(browser.get(where).status_code == 200 for where in addresses(browser, "made"))
    finally:
        system.rm("/viewed", recursive=True)


def test_several_runs_lie_over_each_other_and_their_settings_are_compared(made: Path, tmp_path: Path) -> None:
    other = damaged(made, tmp_path / "other")
    text = (other / "config.yaml").read_text()
    (other / "config.yaml").write_text(text.replace("seed: 0", "seed: 5"))
    browser = client(made, other)
    charts = browser.get("/api/overview").json()["charts"]
    reward = next(chart for chart in charts if chart["id"] == "reward")
    assert len({series["run"] for series in reward["series"]}) == 2
    assert sum(chart["title"] == "Verdicts" for chart in charts) == 2
    page = Page(browser.get("/config").text)
    assert "2 differences" in page.text or "1 difference" in page.text
    assert "run.seed" in page.text.split("All settings")[0]


@pytest.fixture(scope="module", autouse=True)
def nothing_else(made: Path) -> Iterator[None]:
    """Pages only read."""
    before = {file: file.stat().st_mtime_ns for file in made.rglob("*")}
    yield
    assert {file: file.stat().st_mtime_ns for file in made.rglob("*")} == before
