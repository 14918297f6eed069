"""The start of a Ray of one's own, and what a signal does meanwhile."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.tools.loop import ROOT
from tests.tools.patience import HANG_S


@pytest.mark.parametrize("starts", [True, False])
def test_a_signal_while_ray_starts_leaves_nothing_and_is_answered_as_at_any_other_time(
    starts: bool, tmp_path: Path
) -> None:
    """In Ray's place: it takes SIGTERM, and a process of its own has ended before what that one has started."""
    number = tmp_path / "number"
    script = f"""
import os, signal, subprocess, sys, time
import ray
from ray._private.utils import set_sigterm_handler
from pathlib import Path
from stepcoder.deploy.config.load import load_config
from stepcoder.deploy.training.cluster import join_cluster
from stepcoder.deploy.training.stopping import Stopping

def init(**_):
    if {starts}:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(15))  # as the core does
        return
    ray._private.utils.set_sigterm_handler(lambda *_: os._exit(15))
    subprocess.run(["sh", "-c", "sleep 1000 & echo $! > {number}"])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1000)

ray.init = init
Stopping(60.0, lambda: "and then").install()
join_cluster(load_config(None, [], {{}}))
os.kill(os.getpid(), signal.SIGTERM)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=HANG_S, env=environment
    )
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (143, ["asked to end by SIGTERM: at once; and then"])
    assert starts or not psutil.pid_exists(int(number.read_text()))
