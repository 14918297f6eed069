"""An engine on CPUs leaves a core to whoever wants it, and takes it back."""

import os
import subprocess
import sys
import time

import pytest
import torch

from stepcoder.rollout.threads import shares_cores
from stepcoder.rollout.vllm.cpu_sharing import PERIOD_S, RETRY_S, SharedCores, ThreadChooser, _waited_ns, waited


def test_all_threads_compute_while_nothing_waits():
    chooser = ThreadChooser(4)
    assert [chooser.period(0.3, 0.05) for _ in range(5)] == [4] * 5


@pytest.mark.parametrize(("waiting", "threads"), [(0.4, 4), (0.6, 3), (1.5, 3), (1.6, 2), (9.0, 1)])
def test_as_many_threads_go_as_waited(waiting, threads):
    assert ThreadChooser(4).period(0.5, 0.5 * waiting) == threads


def test_one_thread_stays():
    chooser = ThreadChooser(1)
    assert [chooser.period(0.3, 3.0) for _ in range(3)] == [1, 1, 1]


def test_all_threads_are_tried_again_later_and_later_while_it_stays_crowded():
    chooser, tries, clock = ThreadChooser(2), [], 0
    for _ in range(200):
        if chooser.period(1.0, 1.1 * chooser.threads - 1.0) == 2:
            tries.append(clock)
        clock += 1
    assert [later - sooner for sooner, later in zip(tries, tries[1:], strict=False)] == [4, 6, *[10] * 18]


def test_after_the_other_has_gone_a_new_one_is_met_like_the_first():
    chooser = ThreadChooser(2)
    for _ in range(40):
        chooser.period(1.0, 1.1)
    while chooser.threads == 1:
        chooser.period(1.0, 0.0)
    assert chooser.period(1.0, 0.0) == 2
    assert chooser.period(1.0, 1.1) == 1
    assert [chooser.period(1.0, 0.0) for _ in range(2)] == [1, 2]


def test_a_thread_that_has_ended_waits_no_longer(tmp_path):
    assert _waited_ns(tmp_path / "gone") == 0


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="this kernel does not say how long threads wait")
def test_waiting_for_a_core_is_seen():
    core = min(os.sched_getaffinity(0))
    code = "import os, sys\nos.sched_setaffinity(0, [int(sys.argv[1])])\nwhile True: pass"
    other = subprocess.Popen([sys.executable, "-c", code, str(core)])
    mine = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, [core])
        before, end = waited(), time.monotonic() + 60
        while waited() < before + 0.05 and time.monotonic() < end:
            pass
        assert waited() >= before + 0.05
    finally:
        os.sched_setaffinity(0, mine)
        other.kill()
        other.wait()


def test_threads_of_pytorch_follow(monkeypatch):
    kept, waits = torch.get_num_threads(), iter([0.0, 9.0])
    try:
        torch.set_num_threads(2)
        monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)  # vLLM does this
        shared = SharedCores(2, lambda: next(waits))
        with shared.step():
            time.sleep(PERIOD_S)
        assert torch.get_num_threads() == 1
    finally:
        torch._C.set_num_threads(kept)


def test_a_given_number_of_threads_is_kept():
    assert not shares_cores(2)
    assert RETRY_S[0] < RETRY_S[1]
