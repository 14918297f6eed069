"""Learner and engines in turns on the same GPUs: who is asked for what, and when."""

from pathlib import Path
from typing import Any

import pytest

from stepcoder.rollout.service import IssuedGroup
from tests.tools import one_process
from tests.tools.one_process import Learner, Rollout, configured, go


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What learner and engines of a run in this process are asked for, in order."""
    found: list[str] = []

    class Sleeper(Rollout):
        asleep = False

        async def write(self, *arguments: Any) -> IssuedGroup:
            assert not self.asleep
            if found[-1:] != ["generate"]:
                found.append("generate")
            return await super().write(*arguments)

        async def sleep(self) -> None:
            found.append("sleep")
            self.asleep = True

        async def wake(self, part: str) -> None:
            found.append(f"wake {part}")
            self.asleep = part == "weights"

    class Recorded(Learner):
        async def step(self, step: int, *arguments: Any) -> dict[str, float]:
            found.append(f"train {step}")
            return await super().step(step, *arguments)

        async def publish(self, version: int) -> None:
            found.append(f"publish {version}")
            await super().publish(version)

    monkeypatch.setattr(one_process, "Rollout", Sleeper)
    monkeypatch.setattr(one_process, "Learner", Recorded)
    return found


def test_engines_sleep_while_the_learner_trains_and_get_its_weights_before_they_write(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    config = configured(tmp_path / "run", model, "ppo", 0, steps=2).model_copy(update={"placement": "colocated"})
    go(config, model, monkeypatch)
    once = ["generate", "sleep", "train {0}", "wake weights", "publish {0}", "wake kv_cache"]
    assert calls == ["publish 0", *(call.format(step) for step in (1, 2) for call in once)]
    calls.clear()
    longer = config.model_copy(update={"run": config.run.model_copy(update={"steps": 3})})
    go(longer, model, monkeypatch)  # a checkpoint's weights come to engines that are awake
    assert calls == ["publish 2", *(call.format(3) for call in once)]


def test_engines_on_gpus_of_their_own_never_sleep(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    go(configured(tmp_path / "run", model, "ppo", 0, steps=2), model, monkeypatch)
    assert calls == ["publish 0", "generate", "train 1", "publish 1", "generate", "train 2", "publish 2"]
