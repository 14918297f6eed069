"""What every engine keeps, inside a Ray actor: what it answers, how it takes new weights, how it dies."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import ray
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from stepcoder.executor.report import Verdict
from stepcoder.learner.config import GAE, GuardsConfig, LoRAConfig, SharedCritic
from stepcoder.learner.guards import Guards
from stepcoder.learner.rank import LearnerRank
from stepcoder.rollout.config import RolloutConfig
from stepcoder.rollout.engine import Completion, EngineDied, EngineStats, Sampling, greedy
from stepcoder.rollout.engines import engine_environment, make_engine
from stepcoder.rollout.lifeline import tie_to_parent
from stepcoder.rollout.trajectory import Trajectory
from stepcoder.rollout.weights import TransferFailed, WeightPublisher
from tests.tools.learner import learner_config, make_groups, make_rank
from tests.tools.loop import alive, engine_processes
from tests.tools.patience import HANG_S, until

CONFIG = RolloutConfig(
    dtype="float32", max_model_len=256, max_num_seqs=16, kv_cache_gib=1, cpu_threads=1, weights_deadline_s=60.0
)
PROMPT = [14, 71, 52, 87, 117, 97]


class Served:
    """An engine as a Ray actor, with nothing around it."""

    def __init__(self, model: str, config: RolloutConfig) -> None:
        tie_to_parent()
        self.engine = make_engine(model, config)

    async def pid(self) -> int:
        return os.getpid()

    async def generate(self, prompt: list[int], sampling: Sampling, seed: int) -> Completion:
        return await self.engine.generate(prompt, sampling, seed)

    async def greedy(self, prompt: list[int], count: int) -> list[int]:
        return await greedy(self.engine, prompt, count)

    async def version(self) -> int:
        return self.engine.version

    async def stats(self) -> EngineStats:
        return self.engine.stats

    async def join_transfer(self, init_info: dict[str, Any]) -> None:
        await self.engine.join_transfer(init_info)

    async def start_update(self) -> None:
        await self.engine.start_update()

    async def receive_update(self, update_info: dict[str, Any]) -> None:
        await self.engine.receive_update(update_info)

    async def finish_update(self, version: int) -> None:
        await self.engine.finish_update(version)

    async def close(self) -> None:
        self.engine.close()


def serve(kind: str, model: Path) -> Any:
    config = CONFIG.model_copy(update={"engine": kind})
    actor = ray.remote(Served).options(
        num_cpus=0, max_concurrency=64, runtime_env={"env_vars": engine_environment(config)}
    )
    return actor.remote(str(model), config)


@pytest.fixture(scope="module", params=["vllm", "transformers"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def engine(cluster: None, kind: str, model: Path) -> Any:
    return serve(kind, model)


@pytest.fixture(scope="module")
def adapted(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[LearnerRank, str]:
    """A learner with adapters on the first model and a critic on its trunk, after three steps, and what it saved."""
    config = learner_config(lora=LoRAConfig(rank=4), advantage=GAE(critic=SharedCritic()))
    rank, folder = make_rank(model, config), tmp_path_factory.mktemp("adapted")
    for step in (1, 2, 3):
        rank.step(step, *make_groups(seed=step))
    rank.save(str(folder))
    return rank, str(folder / "policy")


@pytest.fixture(scope="module")
def references(models: list[str], adapted: tuple[LearnerRank, str]) -> list[list[int]]:
    """The 40 most likely tokens by each model and the adapted one, by transformers' own generation."""
    written = []
    for directory in (*models, adapted[1]):
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
        output = model.generate(torch.tensor([PROMPT]), do_sample=False, max_new_tokens=40)
        written.append(output[0, len(PROMPT) :].tolist())
    return written


def generate(engine: Any, sampling: Sampling, seeds: list[int]) -> list[Completion]:
    return ray.get([engine.generate.remote(PROMPT, sampling, seed) for seed in seeds], timeout=HANG_S)


def written(engine: Any, sampling: Sampling, seeds: list[int]) -> list[list[int]]:
    return [completion.response_ids for completion in generate(engine, sampling, seeds)]


def busy(engine: Any) -> float:
    """Seconds; they grow while a request is in flight."""
    return ray.get(engine.stats.remote(), timeout=HANG_S).busy_s


def test_a_seed_decides_what_is_sampled_whatever_else_is_in_flight(engine: Any) -> None:
    sampling = Sampling(temperature=1.0, max_new_tokens=24)
    first = written(engine, sampling, [1, 2, 3])
    crowd = [engine.generate.remote(PROMPT[:4], Sampling(1.0, 0.9, 7, 40), seed) for seed in range(9)]
    assert written(engine, sampling, [3, 2, 1]) == first[::-1]
    ray.get(crowd, timeout=HANG_S)
    assert written(engine, sampling, [2]) == first[1:2]
    assert len({tuple(ids) for ids in first}) == 3


@pytest.mark.parametrize("truncation", [{}, {"top_p": 0.8}, {"top_k": 3}, {"top_p": 0.9, "top_k": 20}])
def test_logprobs_are_those_of_the_sampled_tokens_at_the_sampling_temperature(
    engine: Any, model: Path, truncation: dict[str, Any]
) -> None:
    (completion,) = generate(engine, Sampling(temperature=0.7, max_new_tokens=16, **truncation), [5])
    ids = completion.response_ids
    with torch.no_grad():
        forward = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)(torch.tensor([PROMPT + ids]))
    logits = forward.logits[0, len(PROMPT) - 1 : -1]
    whole = torch.log_softmax(logits / 0.7, -1)  # also where only a part of it was sampled
    expected = whole.gather(1, torch.tensor(ids)[:, None])[:, 0]
    above = torch.where(whole > expected[:, None] + 1e-4, whole.exp(), 0.0)
    assert above.sum(-1).max() < truncation.get("top_p", 1.0) + 1e-3
    assert (above > 0).sum(-1).max() < truncation.get("top_k", whole.shape[1])
    assert completion.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_completion_says_why_it_ended(engine: Any, model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    before = ray.get(engine.stats.remote(), timeout=HANG_S)
    (long,) = generate(engine, Sampling(temperature=1.0, max_new_tokens=12), [7])
    assert (long.finish_reason, len(long.response_ids)) == ("length", 12)
    character = tokenizer.decode(long.response_ids)[3]
    (stopped,) = generate(engine, Sampling(temperature=1.0, max_new_tokens=12, stop=(character,)), [7])
    ids = stopped.response_ids
    assert stopped.finish_reason == "stop"
    assert ids == long.response_ids[: len(ids)] and character in tokenizer.decode(ids)
    assert character not in tokenizer.decode(ids[:-1])
    ended = generate(engine, Sampling(temperature=2.0, max_new_tokens=250), list(range(8)))
    ids_of_eos = [c.response_ids for c in ended if c.finish_reason == "eos"]
    assert ids_of_eos and all(ids.index(tokenizer.eos_token_id) == len(ids) - 1 for ids in ids_of_eos)
    after = ray.get(engine.stats.remote(), timeout=HANG_S)
    assert after.completions - before.completions == 10 and after.busy_s > before.busy_s
    tokens = sum(len(c.response_ids) for c in (long, stopped, *ended))
    assert after.generated_tokens - before.generated_tokens == tokens


def test_a_prompt_without_room_is_refused_with_the_setting_to_change(engine: Any) -> None:
    with pytest.raises(ValueError, match="rollout.max_model_len"):
        ray.get(engine.generate.remote([1] * 256, Sampling(temperature=1.0), 0), timeout=HANG_S)
    (last,) = ray.get([engine.generate.remote([1] * 255, Sampling(temperature=1.0), 0)], timeout=HANG_S)
    assert len(last.response_ids) == 1


def test_after_each_weight_update_it_writes_what_a_fresh_model_writes(
    engine: Any, models: list[str], references: list[list[int]]
) -> None:
    assert len({tuple(reference) for reference in references}) == 4
    assert ray.get(engine.greedy.remote(PROMPT, 40), timeout=HANG_S) == references[0]
    learners = [AutoModelForCausalLM.from_pretrained(model) for model in models]
    shapes = [(name, tuple(parameter.shape)) for name, parameter in learners[0].named_parameters()]
    publisher = WeightPublisher("gloo", "float32", deadline_s=60.0)
    publisher.connect([engine], shapes, host="127.0.0.1")
    for version, index in enumerate((1, 2, 0), start=1):
        busy_s = busy(engine)
        flying = engine.generate.remote(PROMPT, Sampling(temperature=1.0, max_new_tokens=200), 1)
        until(lambda busy_s=busy_s: busy(engine) > busy_s, lambda: "the request did not begin")
        publisher.publish(learners[index].named_parameters(), version)
        assert ray.get(engine.version.remote()) == version
        assert ray.get(engine.greedy.remote(PROMPT, 40), timeout=HANG_S) == references[index]
        assert ray.get(flying, timeout=HANG_S).weight_version == version - 1  # whether it ended before or went on
        assert generate(engine, Sampling(temperature=1.0), [1])[0].weight_version == version
    publisher.close()


def token_logprobs(model: Any, ids: list[int]) -> list[float]:
    with torch.no_grad():
        logits = model(torch.tensor([PROMPT + ids])).logits[0, len(PROMPT) - 1 : -1]
    return torch.log_softmax(logits, -1).gather(1, torch.tensor(ids)[:, None])[:, 0].tolist()


def test_each_token_has_the_weights_that_wrote_it_and_the_log_probability_under_them(
    engine: Any, kind: str, models: list[str]
) -> None:
    """vLLM goes on with new weights in the middle of a completion; transformers ends it with the old ones."""
    learners = [AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32) for model in models[:2]]
    shapes = [(name, tuple(parameter.shape)) for name, parameter in learners[0].named_parameters()]
    publisher = WeightPublisher("gloo", "float32", deadline_s=60.0)
    publisher.connect([engine], shapes, host="127.0.0.1")
    publisher.publish(learners[0].named_parameters(), 100)
    mixed = False
    for version in range(101, 140):  # on a busy machine a completion may be over before the update begins
        busy_s = busy(engine)
        flying = engine.generate.remote(PROMPT, Sampling(temperature=1.0, max_new_tokens=240), version)
        until(lambda busy_s=busy_s: busy(engine) > busy_s, lambda: "the request did not begin")
        publisher.publish(learners[version % 2].named_parameters(), version)
        found: Completion = ray.get(flying, timeout=HANG_S)
        versions = found.token_versions or [found.weight_version] * len(found.response_ids)
        assert versions == sorted(versions) and set(versions) <= {version - 1, version}
        by = [token_logprobs(learner, found.response_ids) for learner in learners]
        assert found.logprobs == pytest.approx([by[v % 2][i] for i, v in enumerate(versions)], abs=1e-4)
        mixed = mixed or len(set(versions)) == 2
        if mixed or kind == "transformers":
            break
    publisher.close()
    assert mixed == (kind == "vllm")


def sampled(engine: Any, version: int) -> list[Trajectory]:
    """What the engine writes now, as the learner gets it."""
    completions = generate(engine, Sampling(temperature=1.0, max_new_tokens=32), list(range(8)))
    return [
        Trajectory(
            ticket=0, sample=i, problem_id="p", level="introductory", stage=0,
            prompt_ids=np.array(PROMPT, np.int32), response_ids=np.array(c.response_ids, np.int32),
            logprobs=np.array(c.logprobs, np.float32), executed=np.ones(len(c.response_ids), bool),
            code=np.ones(len(c.response_ids), bool), token_lines=np.ones(len(c.response_ids), np.int32),
            error_line=None, reward=1.0 if i % 2 else -0.3, verdict=Verdict.PASSED, finish_reason=c.finish_reason,
            weight_version=version, program="",
        )
        for i, c in enumerate(completions)
    ]  # fmt: skip


def test_one_damaged_tensor_of_a_sync_shows_in_the_gap_and_raises_the_alarm(engine: Any, models: list[str]) -> None:
    learner, guards = make_rank(Path(models[1]), learner_config()), Guards(GuardsConfig(gap_alarms=2))
    shapes = [(name, tuple(tensor.shape)) for name, tensor in learner._full_weights()]
    publisher = WeightPublisher("gloo", "float32", deadline_s=60.0)
    publisher.connect([engine], shapes, host="127.0.0.1")
    findings, gaps = [], []
    for step, damaged in enumerate((None, "model.layers.1.mlp.down_proj.weight", "model.norm.weight", None), start=1):
        weights = ((name, t.roll(1, 0) * 1.5 if name == damaged else t) for name, t in learner._full_weights())
        publisher.publish(weights, step)
        metrics = learner.step(step, sampled(engine, step))
        findings.append(guards.see(metrics))
        gaps.append(metrics["gap/logprob_abs_mean"])
    publisher.close()
    # in fp32 the two agree on every token, before the damage and after it
    assert max(gaps[0], gaps[3]) < 1e-3 < 0.01
    assert min(gaps[1], gaps[2]) > GuardsConfig().max_gap, gaps
    assert [f.metrics["gap/alarm"] for f in findings] == [0, 1, 1, 0]
    assert [len(f.warnings) for f in findings] == [0, 1, 1, 0]
    assert [f.stop is None for f in findings] == [True, True, False, True]
    assert "max_gap" in findings[1].warnings[0]


def test_merged_adapters_write_what_a_fresh_model_writes(
    engine: Any, adapted: tuple[LearnerRank, str], references: list[list[int]]
) -> None:
    assert ray.get(engine.greedy.remote(PROMPT, 40), timeout=HANG_S) != references[3]
    rank, _ = adapted
    rank.connect_engines([engine], "gloo", "float32", 1, 60.0)
    rank.publish(4)
    assert ray.get(engine.version.remote()) == 4
    assert ray.get(engine.greedy.remote(PROMPT, 40), timeout=HANG_S) == references[3]
    rank._publisher.close()


def processes(engine: Any) -> tuple[psutil.Process, list[psutil.Process]]:
    """The actor's, and those of the engine in it."""
    actor = psutil.Process(ray.get(engine.pid.remote(), timeout=HANG_S))
    children = actor.children(recursive=True)
    assert engine_processes(children)
    return actor, children


# `tests/rollout/test_worker.py` kills an actor with vLLM
@pytest.mark.parametrize("own", ["transformers", pytest.param("vllm", marks=pytest.mark.exhaustive)])
def test_its_processes_die_with_an_actor_that_was_killed(cluster: None, own: str, model: Path) -> None:
    engine = serve(own, model)
    actor, children = processes(engine)
    actor.send_signal(signal.SIGKILL)
    until(lambda: not any(map(alive, children)), lambda: [child for child in children if alive(child)])
    with pytest.raises(
        TransferFailed, match="died"
    ):  # as soon as it is known, where the deadline would be another error
        WeightPublisher("gloo", "float32", deadline_s=HANG_S).connect([engine], [("a", (1,))], host="127.0.0.1")


def test_who_waits_for_an_engine_that_dies_is_told_and_so_is_everyone_after(engine: Any) -> None:
    _, children = processes(engine)
    waiting = [engine.generate.remote(PROMPT, Sampling(1.0, max_new_tokens=240), seed) for seed in range(16)]
    for child in children:
        child.kill()
    with pytest.raises(EngineDied):
        ray.get(waiting, timeout=HANG_S)
    ended, _ = ray.wait(waiting, num_returns=16, timeout=HANG_S)
    assert len(ended) == 16
    with pytest.raises(EngineDied):
        generate(engine, Sampling(temperature=1.0), [0])
    ray.kill(engine)
