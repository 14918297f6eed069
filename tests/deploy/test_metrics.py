"""Metrics files, their summary, picture and progress lines."""

import asyncio
import io
import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.exceptions import ActorDiedError
from rich.console import Console

from stepcoder.deploy.cli import main
from stepcoder.deploy.run.metrics import MetricsWriter, read_metrics, scores, truncate
from stepcoder.deploy.shown.counting import counted
from stepcoder.deploy.shown.plot import learning_curve, smooth, strokes
from stepcoder.deploy.shown.progress import RunProgress
from stepcoder.deploy.shown.summary import difference, evaluation, interval, report, sampling_error, table
from stepcoder.words import duration

LEVELS = {"a": "introductory", "b": "introductory", "c": "interview"}


def run_with_metrics(folder: Path) -> Path:
    before = evaluation({"a": [2, 8], "b": [4, 8], "c": [0, 8]}, LEVELS)
    after = evaluation({"a": [6, 8], "b": [7, 8], "c": [1, 8]}, LEVELS)
    with MetricsWriter(folder) as writer:
        writer.write_evaluation(0, {"train": before, "heldout": before})
        for step in range(1, 6):
            writer.write(
                step,
                {
                    "pass_rate": 0.1 * step, "reward/mean": -0.5 + 0.1 * step, "executed_share": 0.7,
                    "kl/reference": 0.01 * step,
                    "curriculum/histogram": {0: step, 1: 6 - step}, "tokens/generated": 100, "seconds/generate": 2.0,
                    "seconds/train": 3.0, "seconds/learner_update": 2.5,
                },
            )  # fmt: skip
        writer.write_evaluation(5, {"train": after, "heldout": after})
    return folder / "metrics.jsonl"


def test_scores_are_an_evaluations_pass_rate_or_the_mean_of_the_last_steps(tmp_path: Path) -> None:
    run_with_metrics(tmp_path)
    file = tmp_path / "metrics.jsonl"
    assert scores(file, "eval/train/pass_rate") == {0: (2 + 4 + 0) / 24, 5: (6 + 7 + 1) / 24}
    assert scores(file, "pass_rate") == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4, 5: 0.5})
    # of step 1 there is only itself
    assert scores(file, "pass_rate", over=3) == pytest.approx({1: 0.1, 2: 0.15, 3: 0.2, 4: 0.3, 5: 0.4})
    assert scores(file, "unknown") == scores(tmp_path / "none", "pass_rate") == {}


def test_a_resumed_run_counts_no_step_twice(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as writer:
        writer.write_evaluation(0, {})
        for step in range(1, 8):
            writer.write(step, {"pass_rate": float(step)})
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 8, "pass_ra')  # a kill in the middle of a line
    with MetricsWriter(tmp_path, resumed_step=5) as writer:
        assert writer.dropped == 3
        assert writer.evaluated(0) and not writer.evaluated(5)
        writer.write(6, {"pass_rate": 60.0})
    assert [(r["step"], r.get("pass_rate")) for r in read_metrics(tmp_path / "metrics.jsonl")] == [
        (0, None), (1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 5.0), (6, 60.0),
    ]  # fmt: skip


@given(cut=st.integers(0, 10_000), step=st.integers(0, 6))
def test_a_file_cut_at_any_byte_reads_as_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, cut: int, step: int
) -> None:
    path = tmp_path_factory.mktemp("metrics") / "metrics.jsonl"
    lines = [json.dumps({"step": n, "reward/mean": n / 3}) + "\n" for n in range(1, 6)]
    text = "".join(lines)[:cut]
    path.write_text(text, encoding="utf-8")
    whole = text.count("\n")
    assert [record["step"] for record in read_metrics(path)] == list(range(1, whole + 1))
    truncate(path, step)
    assert path.read_text(encoding="utf-8") == "".join(lines[: min(whole, step)])


@pytest.mark.parametrize("number", [0, 9])
def test_events_hold_the_same_numbers_and_forget_repeated_steps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    """Files are read in the order of their names, which hold the second and a number: 10 would come before 9."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.summary.writer import event_file_writer

    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(number))
    with MetricsWriter(tmp_path) as writer:
        for step in (1, 2, 3):
            writer.write(step, {"pass_rate": step / 4, "curriculum/histogram": {0: 5}})
    with MetricsWriter(tmp_path, resumed_step=2) as writer:
        writer.write(3, {"pass_rate": 0.5})
        writer.write_evaluation(3, {"train": evaluation({"a": [1, 2]}, LEVELS)})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("pass_rate")] == [(1, 0.25), (2, 0.5), (3, 0.5)]
    assert [e.value for e in events.Scalars("curriculum/histogram/0")] == [5.0, 5.0]
    assert [e.value for e in events.Scalars("eval/train/pass_rate")] == [0.5]


def test_how_groups_ended_is_kept_by_step_and_no_step_twice(tmp_path: Path) -> None:
    for resumed, steps in ((0, (1, 2, 3)), (1, (2, 3))):
        with MetricsWriter(tmp_path, resumed) as writer:
            for step in steps:
                writer.write_groups(step, {"ticket": [step, resumed]})
    assert [(record["step"], record["ticket"]) for record in read_metrics(tmp_path / "groups.jsonl")] == [
        (1, [1, 0]), (2, [2, 1]), (3, [3, 1]),
    ]  # fmt: skip


def test_numbers_that_json_lacks_are_written_as_text(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as writer:
        writer.write(1, {"policy/loss": math.nan, "kl/reference": np.float32(0.5), "tokens/generated": np.int64(7)})
    line = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    assert json.loads(line) == {"step": 1, "policy/loss": "nan", "kl/reference": 0.5, "tokens/generated": 7}


def test_evaluation_by_hand() -> None:
    # Shares 0.25, 0.5, 0: mean 0.25; deviations 0, 0.25, -0.25 -> variance 0.0625; over 3 problems: sqrt(0.0625 / 3).
    result = evaluation({"a": [2, 8], "b": [4, 8], "c": [0, 8]}, LEVELS)
    assert result["pass_rate"] == pytest.approx(0.25)
    assert result["stderr"] == pytest.approx(0.14433757)
    # p(1-p)/7: 0.1875/7 + 0.25/7 + 0 = 0.0625; root 0.25; over 3.
    assert result["sampling_stderr"] == pytest.approx(0.25 / 3)
    assert (result["n_problems"], result["n_samples"]) == (3, 24)
    assert result["by_level"] == {"interview": 0.0, "introductory": 0.375}
    around = interval(result)
    assert around.low == 0.0 and around.high == pytest.approx(0.25 + 1.959964 * 0.14433757)


def test_the_difference_is_paired() -> None:
    # Changes 0.5, 0.25, 0.25 (mean 1/3, sample variance 1/48, standard error sqrt(1/144) = 1/12).
    change = difference({"a": [0, 4], "b": [1, 4], "c": [2, 4]}, {"a": [2, 4], "b": [2, 4], "c": [3, 4], "new": [4, 4]})
    assert change.mean == pytest.approx(1 / 3)
    assert change.half == pytest.approx(1.959964 / 12)
    with pytest.raises(ValueError, match="no problem in common"):
        difference({"a": [1, 2]}, {"b": [1, 2]})


def test_sampling_error_is_zero_where_every_completion_agrees() -> None:
    assert sampling_error({"a": [8, 8], "b": [0, 8]}) == 0.0


def test_the_report_compares_first_and_last(tmp_path: Path) -> None:
    result = report(run_with_metrics(tmp_path))
    assert result["steps"] == 5 and result["tokens_generated"] == 500 and result["seconds_per_step"] == 5.0
    train = result["splits"]["train"]
    assert train["before"]["pass_rate"] == pytest.approx(0.25)
    assert train["after"]["pass_rate"] == pytest.approx(14 / 24)
    assert train["difference"]["mean"] == pytest.approx(1 / 3)
    out = io.StringIO()
    Console(file=out, width=120).print(table(result))
    assert "+33.3 points" in out.getvalue() and "introductory" in out.getvalue() and "heldout (3)" in out.getvalue()


def test_the_picture_is_drawn_from_any_stage_of_a_run(tmp_path: Path) -> None:
    from matplotlib.image import imread

    path = run_with_metrics(tmp_path)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for kept in (1, 2, len(lines)):
        path.write_text("".join(lines[:kept]), encoding="utf-8")
        picture = np.asarray(imread(learning_curve(path, tmp_path / "out" / "curve.png")))
        height, width = picture.shape[:2]
        assert width > 1200 and height > 800
        colours = {tuple(colour) for colour in (picture[::4, ::4, :3].reshape(-1, 3) * 255).astype(int)}
        assert len(colours) > 20
    path.write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="no metrics"):
        learning_curve(path, tmp_path / "none.png")


def test_runs_are_compared_in_a_table_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.image import imread

    monkeypatch.setenv("COLUMNS", "80")
    for name in ("ppo", "young"):
        (tmp_path / name).mkdir()
    first = run_with_metrics(tmp_path / "ppo")
    started = first.read_text(encoding="utf-8").splitlines(keepends=True)[0]  # nothing but its first evaluation
    (tmp_path / "young" / "metrics.jsonl").write_text(started, encoding="utf-8")
    runs = [str(tmp_path / "ppo"), str(tmp_path / "young")]
    assert main(["compare", *runs, "--names", "PPO", "just begun", "--out", str(tmp_path / "c.png")]) == 0
    shown = capsys.readouterr().out
    assert "+33.3 points" in shown and "5 steps" in shown and "5.0 s each" in shown and "just begun" in shown

    def rates(shown: str) -> list[list[str]]:
        return [[cell.strip() for cell in line.split("│")[2:4]] for line in shown.splitlines() if "heldout" in line]

    assert rates(shown) == [["25.0 %", "58.3 %"], ["25.0 %", "-"]]
    colours = {tuple(c) for c in (np.asarray(imread(tmp_path / "c.png"))[..., :3].reshape(-1, 3) * 255).astype(int)}
    assert {(0x1F, 0x6F, 0xEB), (0xE8, 0x59, 0x0C)} <= colours  # a line of each run
    finished = started.replace('"step": 0', '"step": 9')  # nothing but its last evaluation
    (tmp_path / "young" / "metrics.jsonl").write_text(finished, encoding="utf-8")
    assert main(["compare", runs[1], runs[1], "--names", "one", "[two]", "--out", str(tmp_path / "c.png")]) == 0
    shown = capsys.readouterr().out
    assert "[two]" in shown and rates(shown) == [["-", "25.0 %"]] * 2
    for arguments, words in (
        ([str(tmp_path)], "no metrics.jsonl"),
        ([*runs, "--names", "one"], "2 different names are needed"),
        ([*runs, "--out", str(tmp_path / "c.pdf")], "must end in .png"),
        ([*runs, "--out", str(tmp_path / "none" / "c.png")], "there is no directory"),
    ):
        assert main(["compare", *arguments]) == 2
        assert words in capsys.readouterr().err


def test_smoothing_starts_at_the_first_value_and_keeps_constants() -> None:
    assert smooth([3.0])[0] == pytest.approx(3.0)
    assert smooth([2.0] * 5) == pytest.approx([2.0] * 5)
    assert smooth([0.0, 1.0], weight=0.5) == pytest.approx([0.0, 2 / 3])


def test_without_a_terminal_a_step_is_one_plain_line() -> None:
    out = io.StringIO()
    with RunProgress(12, console=Console(file=out, width=40)) as progress:
        progress.phase("generating")
        progress.begin_steps()
        progress.step(1, {"pass_rate": 0.344, "reward/mean": -0.21, "tokens_per_s/generate": 512.3})
        progress.evaluation(1, {"train": evaluation({"a": [1, 2], "b": [1, 2]}, LEVELS)})
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("step  1/12  passed  34%  reward -0.21  512 tokens/s")
    assert lines[1] == "evaluation after step 1: train 50.0 % [50.0, 50.0]"


def test_the_time_left_of_a_run_that_ends_by_its_tokens_goes_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    now, out = [0.0], io.StringIO()
    monkeypatch.setattr("stepcoder.deploy.shown.progress.time.monotonic", lambda: now[0])
    with RunProgress(1000, console=Console(file=out, width=40)) as progress:
        progress.begin_steps(tokens_left=5000)
        for step, tokens in ((1, 1000), (2, 3000), (3, 1000)):
            now[0] += 60.0
            progress.step(step, {"tokens/generated": tokens})
    lines = out.getvalue().splitlines()
    assert lines[0].endswith("60.0 s  4 min left")  # 4,000 more at 1,000 a minute
    assert lines[1].endswith("60.0 s  30 s left")  # 1,000 more at 2,000 a minute
    assert lines[2].endswith("60.0 s")


def test_in_a_terminal_the_phase_is_shown() -> None:
    out = io.StringIO()
    with RunProgress(2, done=1, console=Console(file=out, force_terminal=True, width=100)) as progress:
        progress.phase("publishing weights")
        progress.step(2, {"pass_rate": 1.0})
    assert "publishing weights" in out.getvalue() and "2/2" in out.getvalue()


def test_durations_read_well() -> None:
    assert [duration(s) for s in (7.4, 99, 150, 3_900)] == ["7 s", "99 s", "2 min", "1 h 05 min"]


def test_without_a_terminal_long_work_says_once_a_minute_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])  # minutes that nobody waits for
    out = io.StringIO()
    with RunProgress(12, console=Console(file=out, width=40)) as progress:
        count = progress.count("evaluating", 720)
        for second in range(1, 150):
            now[0] = 100.0 + second
            count.see(0 if second < 70 else 2 * second, 80 * second)
        count.see(721, 9)
        count.close()
    assert out.getvalue().splitlines() == [
        "evaluating 0/720 completions",
        "evaluating 240/720 completions, 80 tokens/s, 4 min left",
    ]


def test_in_a_terminal_long_work_is_a_bar_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with RunProgress(console=console) as progress:
        count = progress.count("evaluating", 40)
        now[0] += 30
        count.see(10, 600)
        progress.message("a line above")
        count.close()
    text = out.getvalue()
    assert "10/40" in text and "20 tokens/s, 90 s left" in text and "step" not in text


def test_counting_ends_with_its_work_and_no_failure_of_its_own_reaches_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stepcoder.deploy.shown.counting.LOOK_EVERY_S", 0.0)
    seen: list[tuple[int, int]] = []

    class Counter:
        def __init__(self, dies_at: int) -> None:
            self.calls, self.dies_at = 0, dies_at

        async def finished(self) -> tuple[int, int]:
            await asyncio.sleep(0)
            self.calls += 1
            if self.calls == self.dies_at:
                raise ActorDiedError()
            return 5 + self.calls, 100 * self.calls

    async def work(counter: Counter) -> None:
        async with counted(progress, "generating", 9, counter):
            while counter.calls < 4:
                await asyncio.sleep(0)

    progress = RunProgress(console=Console(file=io.StringIO()))
    monkeypatch.setattr(
        "stepcoder.deploy.shown.progress.Count.see", lambda self, done, tokens: seen.append((done, tokens))
    )
    asyncio.run(work(Counter(dies_at=99)))
    assert seen[:3] == [(1, 100), (2, 200), (3, 300)]  # what was there before the work does not count
    dying = Counter(dies_at=2)

    async def outlives() -> None:
        async with counted(progress, "generating", 9, dying):
            await asyncio.sleep(0.05)

    asyncio.run(outlives())
    assert dying.calls == 2


def test_the_time_left_is_no_more_than_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with RunProgress(100, console=Console(file=out, width=200), ends=600.0) as progress:
        progress.begin_steps()
        now[0] = 60.0
        progress.step(1, {})
    assert out.getvalue().rstrip().endswith("60.0 s  9 min left")


def test_no_two_runs_of_a_picture_are_drawn_alike() -> None:
    drawn = strokes(map(str, range(24)))
    assert len({(line["color"], line["linestyle"]) for line in drawn.values()}) == len(drawn) == 24
