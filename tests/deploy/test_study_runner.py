"""A study's runs: skipped when done, gone on with when stopped, never two at once where one is meant.

The launcher here writes what a run would leave instead of training: a real run takes half a minute. The real one,
killed and gone on with, is in `tests/whole/test_study.py`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from stepcoder.deploy.run.lock import RunLock
from stepcoder.deploy.study import runner
from stepcoder.deploy.study.launch import Here
from stepcoder.deploy.study.plan import Plan, load_plan
from stepcoder.deploy.study.runner import Study
from stepcoder.deploy.study.trials import Progress, done, minutes_left
from stepcoder.errors import UserError
from tests.deploy.test_study_plan import GOOD, ROOT, written
from tests.tools.patience import HANG_S
from tests.tools.study import write_run


class Written:
    """A launcher whose run is over at once: `outcome` leaves its files and gives its exit code."""

    at_once = 1
    here = True

    def __init__(self, outcome: Callable[[Path], int]) -> None:
        self.outcome = outcome
        self.lines: list[Sequence[str]] = []
        self.stopped = 0

    def start(self, name: str, line: Sequence[str], log: Path) -> "Written":
        self.lines.append(line)
        self.code = self.outcome(Path(line[line.index("--run.directory") + 1]))
        return self

    def poll(self) -> int | None:
        return self.code

    def stop(self) -> None:
        self.stopped += 1


def finish(path: Path) -> int:
    write_run(path, seed=0, gain=0.1)
    (path / "checkpoints" / "step-00000006").mkdir(parents=True)
    return 0


def ran(plan: Plan, outcome: Callable[[Path], int] = finish) -> tuple[int, list[str], list[str]]:
    """Exit code, the runs that were started (ARM/seed-N), what was said."""
    launcher, said = Written(outcome), list[str]()
    code = Study(plan, launcher, said.append).run()
    started = [line[line.index("--run.directory") + 1] for line in launcher.lines]
    return code, ["/".join(Path(path).parts[-2:]) for path in started], said


@pytest.fixture(autouse=True)
def this_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that the written runs say they began on."""
    monkeypatch.setattr(runner, "processor", lambda: ("CPU", ""))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return load_plan(written(tmp_path))


def test_every_run_is_done_once_and_the_checkpoints_of_those_that_are_done_go(plan: Plan) -> None:
    code, started, said = ran(plan)
    assert code == 0
    assert started == ["ppo/seed-0", "both/seed-0", "ppo/seed-1", "both/seed-1", "random/seed-1"]
    assert not list(plan.directory.rglob("checkpoints"))
    assert said[0] == "5 runs, 0 done; 5 left" and "; 4 left, about 30 min" in said[2]
    assert ran(plan) == (0, [], ["5 runs, 5 done"])


def test_what_was_stopped_goes_on_and_what_is_done_is_skipped(plan: Plan) -> None:
    trials = plan.trials()
    write_run(trials[0].path, 0, 0.1)
    write_run(trials[1].path, 0, 0.1, ended=None)
    code, started, said = ran(plan)
    assert code == 0 and started[0] == "both/seed-0" and len(started) == 4
    assert said[1].startswith("both, seed 0, on from step 6")


def test_a_run_that_fails_is_told_and_tried_again_by_the_next_command(plan: Plan) -> None:
    def one_fails(path: Path) -> int:
        return 1 if "both/seed-0" in str(path) else finish(path)

    code, started, said = ran(plan, one_fails)
    assert code == 1 and len(started) == 5 and "failed: both, seed 0: exit code 1" in said[-1]
    assert ran(plan)[:2] == (0, ["both/seed-0"])


def test_two_failures_in_a_row_end_the_study(plan: Plan) -> None:
    with pytest.raises(UserError, match="2 runs in a row failed"):
        ran(plan, lambda path: 2)


def test_a_run_that_ends_well_without_a_report_is_a_failure(plan: Plan) -> None:
    with pytest.raises(UserError, match="in a row failed"):
        ran(plan, lambda path: 0)


def test_a_seed_stays_with_the_kind_of_processor_it_was_begun_on(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(plan.trials()[0].path, 0, 0.1)
    monkeypatch.setattr(runner, "processor", lambda: ("another", ""))
    code, started, said = ran(plan)
    assert code == 1 and started == ["ppo/seed-1", "both/seed-1", "random/seed-1"]
    assert any("both, seed 0: this seed was begun on CPU; go on there" in line for line in said)


def test_two_studies_in_one_directory_are_refused(plan: Plan) -> None:
    plan.directory.mkdir(parents=True)
    lock = RunLock(plan.directory)
    with pytest.raises(UserError, match="^directory: another driver is writing .* give another --directory"):
        ran(plan)
    lock.release()


def test_what_is_under_way_is_stopped_when_the_study_ends(plan: Plan) -> None:
    class Endless(Written):
        def poll(self) -> int | None:
            raise KeyboardInterrupt

    launcher = Endless(lambda path: 0)
    with pytest.raises(KeyboardInterrupt):
        Study(plan, launcher, lambda text: None).run()
    assert launcher.stopped == 1 and len(launcher.lines) == 1


def test_a_run_that_a_killed_study_left_behind_is_waited_for(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan.trials()[0]
    first.path.mkdir(parents=True)
    lock, waits = RunLock(first.path), list[float]()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            lock.release()

    monkeypatch.setattr(runner.time, "sleep", sleep)
    assert ran(plan)[0] == 0 and len(waits) == 3


def test_minutes_are_those_of_steps_and_evaluations_and_leave_room_for_the_end(tmp_path: Path) -> None:
    spent = Progress("stopped", 6, 6000, 600.0, 60.0, 30.0, None)
    assert minutes_left(20, spent) == 10
    assert minutes_left(10, spent) == pytest.approx((2 * 60 + 2 * 30 + 60) / 60)
    plan = load_plan(written(tmp_path, GOOD.replace("tokens: 5000", "minutes: 20")))
    launcher = Written(finish)
    write_run(plan.trials()[0].path, 0, 0.1, ended=None)
    Study(plan, launcher, lambda text: None).run()
    assert [line[line.index("--run.max_minutes") + 1] for line in launcher.lines][:2] == ["12.5", "20.0"]
    assert all(line[line.index("--run.max_tokens") + 1] == "none" for line in launcher.lines)


def test_done_is_what_a_report_says(tmp_path: Path) -> None:
    for ended, expected in (("steps", True), ("tokens", True), ("minutes", True), (None, False), ("?", False)):
        write_run(tmp_path, 0, 0.1, ended="x")
        (tmp_path / "report.json").write_text(f'{{"ended": {"null" if ended is None else chr(34) + ended + chr(34)}}}')
        assert done(tmp_path) is expected
    (tmp_path / "report.json").write_text("{")
    assert not done(tmp_path)


def test_a_process_of_a_study_ends_when_the_study_is_killed(tmp_path: Path) -> None:
    """The study is a process of its own here; what it starts is a shell that sleeps and says its number."""
    sleeper, number = tmp_path / "sleeper", tmp_path / "number"
    sleeper.write_text(f"#!/bin/sh\necho $$ > {number}.part && mv {number}.part {number}\nexec sleep 1000\n")
    sleeper.chmod(0o755)
    script = (
        "import sys, time; from pathlib import Path; from stepcoder.deploy.study.launch import Here\n"
        f"sys.executable = {str(sleeper)!r}\n"
        f"Here(0.0).start('x', ['train'], Path({str(tmp_path / 'log')!r})); time.sleep(1000)\n"
    )
    study = subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + HANG_S
    while not number.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    child = psutil.Process(int(number.read_text()))
    assert os.getpgid(child.pid) == child.pid  # no Ctrl-C of a terminal reaches it: the study tells it to end
    study.send_signal(signal.SIGKILL)
    study.wait()
    assert psutil.wait_procs([child], timeout=HANG_S)[1] == []


def test_a_run_has_the_time_that_its_own_settings_give_it_to_end(tmp_path: Path) -> None:
    assert runner.grace_s(load_plan(written(tmp_path))) == 25.0
    slow = GOOD.replace("both: {{", "both: {{run: {{grace_s: 300}}, ")
    assert runner.grace_s(load_plan(written(tmp_path, slow))) == 300.0


def test_a_process_of_this_machine_logs_its_command_and_gives_its_code(tmp_path: Path) -> None:
    handle = Here(0.0).start("x", ["runs", str(tmp_path)], tmp_path / "log")
    deadline = time.monotonic() + HANG_S
    while (code := handle.poll()) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    text = (tmp_path / "log").read_text()
    assert code == 2 and text.startswith(f"$ stepcoder runs {tmp_path}\n") and "there is no run at or below" in text
