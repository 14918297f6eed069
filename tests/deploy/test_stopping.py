"""A run that is asked to end, by a real signal at each of its phases: the real controller and learner, in one process.

A whole run with its engines and programs is stopped in `tests/whole/test_loop.py`.
"""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepcoder.deploy.commands.common import asked_to_stop, told_where_it_goes_on
from stepcoder.deploy.run.directory import goes_on
from stepcoder.deploy.training.stopping import Stopping, StopRequested
from tests.deploy.test_resume import assert_same_end
from tests.tools.loop import ROOT
from tests.tools.one_process import STEPS, SUBTASKS, Learner, Rollout, checkpoint, configured, go
from tests.tools.patience import HANG_S

LONG_S = 600.0


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)}
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in kept.items():
        signal.signal(number, handler)


def ask_at(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, call: int) -> None:
    """SIGTERM at the beginning of the method's call number `call`, which then takes as long as it takes."""
    real, calls = getattr(kind, name), iter(range(1, 1000))

    async def asking(thing: Any, *arguments: Any) -> Any:
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGTERM)
        return await real(thing, *arguments)

    monkeypatch.setattr(kind, name, asking)


@pytest.mark.parametrize("staleness", [0, 1])
@pytest.mark.parametrize(
    ("kind", "name", "call", "done"),
    [(Rollout, "write", 3, 1), (Rollout, "write", 5, 2), (Learner, "step", 2, 2), (Learner, "publish", 3, 2)],
)
def test_a_run_that_is_asked_to_end_goes_on_as_if_it_had_not_been(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleness: int, kind: type, name: str, call: int,
    done: int,
) -> None:  # fmt: skip
    if staleness and kind is Rollout:  # what is written next is asked for while a step trains
        call, done = call + SUBTASKS, done + 1
    straight, _ = go(configured(tmp_path / "straight", model, "ppo", staleness), model, monkeypatch)
    config = configured(tmp_path / "asked", model, "ppo", staleness, checkpoint_every=STEPS)
    with monkeypatch.context() as patched:
        ask_at(patched, kind, name, call)
        stopping = Stopping(LONG_S).install()
        run, _ = go(config, model, patched, stopping=stopping)
    assert stopping.asked and stopping.exit_code == 128 + signal.SIGTERM
    reached = [p.name for p in (run / "checkpoints").iterdir()]
    assert reached == [f"step-{done:08d}"]
    _, said = go(configured(tmp_path / "asked", model, "ppo", staleness), model, monkeypatch)
    assert f"going on from the checkpoint of step {done} of {STEPS}" in said
    assert_same_end(run, straight)


@pytest.mark.parametrize("staleness", [0, 1])
def test_what_was_drawn_for_a_step_is_in_the_checkpoint_also_when_groups_are_replaced(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleness: int
) -> None:
    """The second step draws further subtasks for groups without spread; asked in the middle of that, none is lost."""

    def refilling(name: str, **run: object) -> Any:
        config = configured(tmp_path / name, model, "grpo without equal groups", staleness, **run)
        return config.model_copy(update={"refill_rounds": 3})

    straight, _ = go(refilling("straight"), model, monkeypatch)
    with monkeypatch.context() as patched:
        ask_at(patched, Rollout, "write", 6 + SUBTASKS * staleness)
        run, _ = go(refilling("asked", checkpoint_every=STEPS), model, patched, stopping=Stopping(LONG_S).install())
    (kept,) = (run / "checkpoints").iterdir()
    assert len(json.loads((kept / "state.json").read_text())["issued"]) > SUBTASKS
    go(refilling("asked"), model, monkeypatch)
    assert_same_end(run, straight)


def test_an_evaluation_is_given_up(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(tmp_path / "run", model, "ppo", 0, checkpoint_every=STEPS)
    config = config.model_copy(update={"eval": config.eval.model_copy(update={"every": 1, "at_end": True})})
    ask_at(monkeypatch, Rollout, "run", 1)
    run, _ = go(config, model, monkeypatch, stopping=Stopping(LONG_S).install())
    assert checkpoint(run, 1).is_dir()
    assert "eval" not in (run / "metrics.jsonl").read_text()


def test_a_life_that_has_not_begun_is_not_asked_by_an_earlier_ones_event() -> None:
    stopping = Stopping(LONG_S)

    async def life(begins: bool) -> str:
        if begins:
            stopping.begin()
        return await stopping.beside(asyncio.sleep(0.01, "done"))

    assert [asyncio.run(life(begins)) for begins in (True, False, True)] == ["done"] * 3


def test_the_grace_does_not_run_on_when_what_there_was_to_save_is_saved() -> None:
    stopping = Stopping(LONG_S).install()

    async def life() -> None:
        stopping.begin()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
        stopping.over()

    asyncio.run(life())
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0 and stopping.asked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_before_there_is_anything_to_save_it_ends_at_once_and_says_so(
    number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    stopping = Stopping(LONG_S, lambda: "what follows").install()
    with pytest.raises(SystemExit) as caught:
        os.kill(os.getpid(), number)
    assert caught.value.code == 128 + number and not stopping.asked
    assert f"asked to end by {number.name}: at once; what follows" in caplog.text


def test_what_the_same_command_does_is_told_by_the_checkpoints_that_there_are(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / ".writing-step-00000004-1").mkdir(parents=True)
    assert "begins at the first step" in goes_on(str(tmp_path)) and "begins" in asked_to_stop(signal.SIGTERM, 0, 4)
    for step in (2, 10):
        (tmp_path / "checkpoints" / f"step-{step:08d}").mkdir()
    assert goes_on(str(tmp_path)) == "the same command goes on from the checkpoint of step 10"
    assert asked_to_stop(signal.SIGHUP, 2, 4).startswith(
        "by SIGHUP, the checkpoint of step 2 of 4 is written; the same"
    )
    with pytest.raises(KeyboardInterrupt, match="goes on from the checkpoint of step 10"):
        with told_where_it_goes_on(str(tmp_path)):
            raise KeyboardInterrupt


def test_a_terminal_that_closes_ends_it_and_takes_no_word(tmp_path: Path) -> None:
    """What is told on the way out, to a terminal that is not there, is no error; under nohup nothing happens at all."""
    said = tmp_path / "said"
    script = f"""
import os, signal, sys, time
from stepcoder.deploy.commands.common import stop, stopped
from stepcoder.ending import on_request
on_request(stop)
try:
    print("ready", flush=True)
    time.sleep(1 if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else 1000)
    code = 7
except KeyboardInterrupt as ended:
    code = stopped(ended)
print("out", flush=True)
print("err", file=sys.stderr, flush=True)
open({str(said)!r}, "w").write(str(code))
"""
    for ignoring, code in ((False, 129), (True, 7)):
        said.unlink(missing_ok=True)
        ours, its = pty.openpty()
        process = subprocess.Popen(
            ["setsid", "--ctty", *["nohup"][: int(ignoring)], sys.executable, "-c", script],
            stdin=its, stdout=subprocess.PIPE if ignoring else its, stderr=subprocess.DEVNULL if ignoring else its,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        os.close(its)
        assert b"ready" in (process.stdout.readline() if process.stdout else os.read(ours, 100))
        os.close(ours)
        process.wait(HANG_S)
        assert said.read_text() == str(code)


@pytest.mark.parametrize("grace_s", [LONG_S, 0.05, 0.0])
def test_a_second_request_and_the_end_of_the_grace_end_it_at_once(grace_s: float) -> None:
    stopping = Stopping(grace_s).install()

    async def training() -> None:
        stopping.begin()
        os.kill(os.getpid(), signal.SIGTERM)
        if grace_s == LONG_S:
            with pytest.raises(StopRequested):
                await stopping.beside(asyncio.sleep(LONG_S))
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LONG_S)  # a step that does not end

    with pytest.raises(SystemExit) as caught:
        asyncio.run(training())
    assert caught.value.code == 128 + signal.SIGTERM
