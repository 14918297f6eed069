"""A job on a running Ray cluster: submitted, followed, stopped, and submitted again."""

from pathlib import Path

import psutil
import pytest

from tests.tools.head import Head, started
from tests.tools.loop import alive, engine_processes, metrics, write_config
from tests.tools.patience import until


@pytest.mark.slow
def test_a_job_can_be_followed_stopped_and_submitted_again(head: Head, model: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, model, "job", eval={"at_start": False, "at_end": False})
    run = tmp_path / "job"
    head.submit("first", config, 500, wait=False)
    until((run / "checkpoints" / "step-00000002").is_dir, lambda: head.job("logs", "first"))
    assert "step   1/500" in head.job("logs", "first")
    engines = engine_processes(psutil.Process(head.process.pid).children(recursive=True))
    assert engines
    taken = head.stepcoder("first", config)
    assert taken.returncode == 2 and "the job first is running" in taken.stderr, taken.stdout + taken.stderr
    head.job("stop", "first")
    until(lambda: not any(map(alive, engines)), lambda: engines)
    reached = max(int(folder.name.split("-")[1]) for folder in (run / "checkpoints").glob("step-*"))
    engine = ("--rollout.engine", "transformers")
    done = head.stepcoder("first", config, "--run.steps", str(reached + 2), *engine)
    assert done.returncode == 0 and "first-2: succeeded" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count(f"going on from the checkpoint of step {reached} of {reached + 2}") == 1
    assert f"step {reached + 2}/{reached + 2}" in done.stdout
    assert sorted(metrics(run)) == list(range(1, reached + 3))


def test_a_missing_and_a_wrong_token_are_refused_in_words(tmp_path: Path) -> None:
    with started(tmp_path / "home", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="a" * 64) as head:
        home = tmp_path / "elsewhere"
        home.mkdir()
        submit = ("stepcoder", "submit", "--address", head.address, "--", "eval", "--run", "/shared/run")
        wrong = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "b" * 64}
        missing = {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": ""}
        for variables, said in ((wrong, "refuses this machine's token"), (missing, "asks for a token")):
            refused = head.run(*submit, HOME=str(home), **variables)
            assert refused.returncode == 2 and said in refused.stderr, refused.stdout + refused.stderr
            assert "Traceback" not in refused.stderr
